"""Three thousand steps of every way the CPU engine can run, against the float64 parallel pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engines.parity import (
    GAUSSIAN,
    LOGISTIC,
    NEAR,
    UNEVEN,
    WIDE,
    Shared,
    Streams,
    explained,
    noise_of,
    teacher_forced,
)
from tests.helpers import arrays, network
from wavenet.config import ModelConfig
from wavenet.engines.cpu import numba_engine
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.cpu.panels import dequantised
from wavenet.engines.options import EngineOptions
from wavenet.engines.reference import ReferenceEngine
from wavenet.engines.weights import PackedPyramid, PackedWeights, pack
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.network import WaveNet

STEPS = 3000
DEEP = ModelConfig(
    layers=16,
    dilation_cycle=128,
    kernel_size=2,
    residual_channels=40,
    gate_channels=80,
    skip_channels=48,
    head_channels=33,
    levels=256,
)
ODD = ModelConfig(
    dilations=(1, 2, 6, 11, 16, 100, 7),
    kernel_size=3,
    residual_channels=24,
    gate_channels=36,
    skip_channels=20,
    head_channels=40,
    levels=128,
)
MODELS = {"deep": DEEP, "odd dilations": ODD, "kernel 3": WIDE, "kernel 4": UNEVEN}
MODELS["pyramid"] = replace(
    ODD, layer="bottleneck", context="pyramid", pyramid_dilations=(1, 40, 9), pyramid_window=100
)
MIXTURES = {
    "logistic": LOGISTIC,
    "gaussian": GAUSSIAN,
    "deep logistic": replace(DEEP, output="logistic"),
}
# Streams, and whether two threads share the work. Quick tests go the first way, to whose results
# those of the others are equal, as `test_threads` holds.
WAYS = {
    "one stream": (1, False),
    "one stream, two threads": (1, True),
    "nine streams": (9, False),
    "five streams, two threads": (5, True),
}
every_way = pytest.mark.parametrize(
    ("batch", "shared"),
    [
        pytest.param(*w, id=name, marks=[pytest.mark.slow] * (w != (1, False)))
        for name, w in WAYS.items()
    ],
)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> WaveNet:
    return network(request.param)


def engine_for(
    model: WaveNet, shared: bool, monkeypatch: pytest.MonkeyPatch, precision: str = "fp32"
) -> NumbaEngine:
    monkeypatch.setattr(numba_engine, "MIN_PIPELINED_BYTES", 0)
    engine = NumbaEngine(model.config, arrays(model), EngineOptions(precision, threads=1 + shared))
    if shared:
        engine._scheduler = Shared()
    return engine


@every_way
def test_logits_stay_within_two_in_a_hundred_thousand(
    model: WaveNet, batch: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(model, shared, monkeypatch)
    x = np.random.default_rng(batch).integers(0, model.config.levels, (batch, STEPS))
    expected = teacher_forced(model, x)
    error = np.abs(Streams(engine, model, range(batch)).prefill(x) - expected).max(axis=(0, 2))
    assert error.max() < 2e-5, f"largest difference {error.max():.1e} at sample {error.argmax()}"
    assert expected.std() > 0.5


def flips(model: WaveNet, x: np.ndarray, noise: np.ndarray) -> list[float]:  # type: ignore[type-arg]
    """Where x differs from the draws of its float64 predictions: how far noise lay from a boundary.

    Every draw is predicted from the codes that were generated before it, so one that may go either
    way does not spoil those after it.
    """
    params = teacher_forced(model, x)
    drawn = Categorical(model.config.levels).draw(params, noise, Sampling())
    distances = []
    for t in np.flatnonzero((drawn != x)[0]):
        p = np.exp(params[0, t] - params[0, t].max())
        boundaries = np.cumsum(p) / p.sum()
        distances.append(float(np.abs(boundaries - noise[0, t]).min()))
    return distances


@pytest.mark.parametrize(
    "shared", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["one thread", "two threads"]
)
def test_sequences_differ_only_where_noise_falls_on_a_boundary(
    model: WaveNet, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = noise_of(model, 11, 1, STEPS)
    x = Streams(engine_for(model, shared, monkeypatch), model).generate(noise)
    assert max(flips(model, x, noise), default=0) < NEAR
    assert len(np.unique(x)) > 10


def test_a_wrong_draw_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(UNEVEN)
    noise = noise_of(model, 11, 1, STEPS)
    x = Streams(engine_for(model, False, monkeypatch), model).generate(noise)
    x[0, 2000] ^= 1
    with pytest.raises(AssertionError):
        assert max(flips(model, x, noise), default=0) < NEAR


@every_way
@pytest.mark.parametrize("config", MIXTURES.values(), ids=MIXTURES)
def test_mixtures_go_every_way(
    config: ModelConfig, batch: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above: predictions first, then every drawn sample, predicted from those before it."""
    model = network(config)
    engine, noise = engine_for(model, shared, monkeypatch), noise_of(model, 11, batch, 1000)
    x = Streams(engine, model, range(batch)).generate(noise)
    params = teacher_forced(model, x)
    error = np.abs(Streams(engine, model, range(batch)).prefill(x) - params).max()
    assert error < 5e-5, f"largest difference {error:.1e}"
    differs = np.argwhere(model.distribution.draw(params, noise, Sampling()) != x)
    assert len(differs) < 0.2 * x.size
    assert all(explained(model, params[b, t], noise[b, t], int(x[b, t])) for b, t in differs)


def in_double(value: Any) -> Any:
    """Arrays of packed weights as float64."""
    if isinstance(value, PackedWeights | PackedPyramid):
        return value._make(map(in_double, value))
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if isinstance(value, tuple) and isinstance(value[0], np.ndarray):
        return tuple(map(in_double, value))
    return value


@every_way
def test_bf16_computes_exactly_with_its_rounded_weights(
    model: WaveNet, batch: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the weights are rounded.

    With the same weights, the reference predicts the same logits as closely as in float32.
    """
    engine = engine_for(model, shared, monkeypatch, "bf16")
    x = np.random.default_rng(batch).integers(0, model.config.levels, (batch, 300))
    reference = ReferenceEngine(model.config, arrays(model))
    exact = Streams(reference, model).prefill(x[:1])
    rounded = dequantised(pack(model.config, arrays(model)), "bf16")
    reference.weights = in_double(rounded)
    expected, params = (Streams(e, model, range(batch)).prefill(x) for e in (reference, engine))
    assert np.abs(params - expected).max() < 2e-5
    difference = np.sqrt(np.square(expected[:1] - exact).mean())
    # The logits spread by about 2.
    assert 1e-4 < difference < 5e-2
