"""What `benchmarks` compares engines with: an eager step that computes the same, and a bound."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import comparison
from benchmarks.eager_step import EagerStep
from benchmarks.roofline import Roofline, sample_bytes, sample_macs
from tests.helpers import SMALL
from wavenet.bench import measure
from wavenet.config import AudioConfig, Config, ModelConfig
from wavenet.engines.reference import ReferenceEngine
from wavenet.generation.noise import noise_for
from wavenet.model.cost import model_cost
from wavenet.model.distributions.base import Sampling

CONFIG = Config(audio=AudioConfig(sample_rate=8000), model=SMALL)


@pytest.mark.parametrize("output", ["mulaw", "logistic", "gaussian"])
def test_the_eager_step_draws_what_the_reference_draws(output: str) -> None:
    """What speed is compared with computes the same thing.

    It does so in float32, where a 16-bit sample may come out a step away.
    """
    model = replace(SMALL, output=output)
    weights = measure.random_weights(replace(CONFIG, model=model))
    reference = ReferenceEngine(model, weights)
    noise = noise_for(0, range(3), 0, 40, reference.distribution.n_noise)
    state = reference.init_state(3)
    eager = EagerStep(model, weights, 3)
    for layer, ring in zip(eager.layers, state[0].rings, strict=True):
        # It starts in silence, not in zeros.
        layer.queue[:] = layer.queue.new_tensor(ring[0])
    expected = reference.generate(state, noise, Sampling())
    drawn = np.array([eager.run(noise[:, t : t + 1]).tolist() for t in range(40)])
    assert np.abs(drawn - expected.T).max() <= (3 if reference.distribution.scalar_input else 0)
    assert len(np.unique(drawn)) > 5


def test_engines_stand_beside_the_eager_step_and_their_bound(hasty: None) -> None:
    compared = comparison.compare(CONFIG, comparison.cases(CONFIG))
    assert {c.row.engine for c in compared} == {"eager PyTorch", "numba", "reference"}
    for c in compared:
        assert (c.bound is not None) == (c.row.engine == "numba")
        assert c.times_eager is not None
        assert c.row.engine != "eager PyTorch" or c.times_eager == 1
        assert len(str(c)) == len(comparison.HEADER)


@pytest.mark.parametrize(
    "model",
    [replace(SMALL, layer="separable"), replace(SMALL, context="pyramid")],
    ids=["separable", "pyramid"],
)
def test_an_eager_step_of_another_pattern_is_left_out_by_name(
    model: ModelConfig, hasty: None
) -> None:
    lines: list[str] = []
    cases = comparison.cases(Config(model=model), lines.append, ["reference"])
    assert lines[0].startswith("eager PyTorch: left out")
    assert {c.row.engine for c in cases} == {"reference"}


def test_bounds_follow_from_bytes_and_products() -> None:
    macs = model_cost(SMALL, 8000).macs_per_sample
    # Padding is multiplied too.
    assert macs < sample_macs(SMALL)
    assert sample_bytes(SMALL, "fp32") == 2 * sample_bytes(SMALL, "bf16")
    slow_memory = Roofline({"fp32": 1e6, "bf16": 1e6}, 1e15)
    one = slow_memory.bound(SMALL, "fp32", 1, 1)
    assert one == pytest.approx(1e6 / sample_bytes(SMALL, "fp32"))
    assert slow_memory.bound(SMALL, "fp32", 1, 2) == pytest.approx(2 * one)
    assert slow_memory.bound(SMALL, "bf16", 16, 2) == pytest.approx(32 * one)
    slow_arithmetic = Roofline({"fp32": 1e15, "bf16": 1e15}, 1e6)
    assert slow_arithmetic.bound(SMALL, "bf16", 16, 2) == pytest.approx(2e6 / sample_macs(SMALL))
