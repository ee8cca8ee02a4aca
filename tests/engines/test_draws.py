"""The numba engine's draws are the oracles' draws, on identical predictions and noise."""

import numpy as np
import pytest

from tests.test_mixtures import EXTREME, as_params
from wavenet.engines.cpu.sampling import draw, draw_settings, require_known
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture

COUNT = 2000
MIXTURES = [LogisticMixture(4), GaussianMixture(4)]


def drawn(d: Distribution, params: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Codes by the compiled draw and by the oracle, for params (COUNT, n_params)."""
    noise, settings = noise_for(0, [0], 0, COUNT, d.n_noise)[0], draw_settings(d, sampling)
    params = params.astype(np.float32)
    codes = np.array([draw(p, u, settings) for p, u in zip(params, noise, strict=True)])
    return codes, d.draw(params, noise, sampling)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.01, 0.0, 100.0])
@pytest.mark.parametrize("d", MIXTURES, ids=lambda d: d.kind)
def test_mixtures(d: Distribution, temperature: float) -> None:
    rng = np.random.default_rng(0)
    usual = rng.normal(0, [[1], [0.3], [1.5]], (COUNT, 3, 4)) - [[0], [0], [4]]
    for params in (usual, *(np.tile(p, (COUNT, 1, 1)) for p in EXTREME.values())):
        codes, expected = drawn(d, as_params(params), Sampling(temperature))
        # A last bit of exp may decide between two codes.
        assert (codes != expected).mean() < 1e-3
        assert np.abs(codes - expected).max() <= 1


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(0.7),
        Sampling(0),
        Sampling(1, 5),
        Sampling(1, 0, 0.6),
        Sampling(1.3, 12, 0.9),
    ],
)
def test_categorical(sampling: Sampling) -> None:
    params = np.random.default_rng(0).normal(0, 2, (COUNT, 64))
    codes, expected = drawn(Categorical(64), params, sampling)
    # The compiled sums are float32.
    assert (codes != expected).mean() < 1e-3


def test_an_output_without_a_draw_is_named() -> None:
    class Other(LogisticMixture):
        kind = "laplace"  # type: ignore[misc]

    with pytest.raises(
        EngineError,
        match="the numba engine has no draw for a laplace output; use --engine reference",
    ):
        require_known(Other(2))
