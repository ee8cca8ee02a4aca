"""The numba engine's draws are the oracles' draws, on identical predictions and noise."""

import numpy as np
import pytest

from tests.engines.parity import NEAR, SAMPLINGS, near_draws
from tests.helpers import EXTREME_MIXTURES, mixture_params
from wavenet.engines.cpu.sampling import draw, draw_settings
from wavenet.engines.kinds import require_known
from wavenet.errors import UnsupportedModelError
from wavenet.generation.noise import noise_for
from wavenet.glossary import Array
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture

COUNT = 2000
MIXTURES = [LogisticMixture(4), GaussianMixture(4)]


def drawn(d: Distribution, params: Array, sampling: Sampling) -> tuple[Array, Array]:
    """Codes by the compiled draw and by the oracle, for params (COUNT, n_params)."""
    noise, settings = noise_for(0, [0], 0, COUNT, d.n_noise)[0], draw_settings(d, [sampling])
    params = params.astype(np.float32)
    codes = np.array([draw(p, u, settings, 0) for p, u in zip(params, noise, strict=True)])
    return codes, d.draw(params, noise, sampling)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.01, 0.0, 100.0])
@pytest.mark.parametrize("d", MIXTURES, ids=lambda d: d.kind)
def test_mixtures(d: Distribution, temperature: float) -> None:
    rng = np.random.default_rng(0)
    usual = rng.normal(0, [[1], [0.3], [1.5]], (COUNT, 3, 4)) - [[0], [0], [4]]
    for params in (usual, *(np.tile(p, (COUNT, 1, 1)) for p in EXTREME_MIXTURES.values())):
        codes, expected = drawn(d, mixture_params(params), Sampling(temperature))
        # A last bit of exp may decide between two codes.
        assert (codes != expected).mean() < 1e-3
        assert np.abs(codes - expected).max() <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_categorical(sampling: Sampling) -> None:
    params = np.random.default_rng(0).normal(0, 2, (COUNT, 64))
    codes, expected = drawn(Categorical(64), params, sampling)
    # The compiled sums are float32.
    assert (codes != expected).mean() < 1e-3


def test_an_output_without_a_draw_is_named() -> None:
    class Other(LogisticMixture):
        kind = "laplace"  # type: ignore[misc]

    with pytest.raises(UnsupportedModelError, match="no draw for a laplace output"):
        require_known(Other(2), "numba")


@pytest.mark.parametrize(("off_edge", "codes"), [(0, {1, 2}), (-2 * NEAR, {1}), (2 * NEAR, {2})])
def test_a_code_at_the_edge_of_top_p_is_all_that_parity_forgives(
    off_edge: float, codes: set[int]
) -> None:
    """The two likeliest codes hold 0.8: the third is kept when top_p is above that.

    The noise falls on it then, and otherwise on the second.
    """
    params, sampling = np.log([0.5, 0.3, 0.2]), Sampling(1, 0, 0.8 + off_edge)
    assert set(near_draws(Categorical(3), params, np.array([0.95]), sampling)) == codes
