"""Every pattern from a config: its receptive field, its first weights and its cost.

It also learns, and generates.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import CONDITIONED, SMALL, VARIANTS, arrays, network, some_codes, some_inputs
from wavenet.config import Config, ModelConfig
from wavenet.engines import create_engine
from wavenet.engines.options import DEFAULTS
from wavenet.engines.weights import dense_taps
from wavenet.generation.noise import uniforms
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint, locate, parameters
from wavenet.model.cost import model_cost
from wavenet.model.distributions.base import Sampling
from wavenet.model.layers import GatedLayer
from wavenet.model.network import WaveNet
from wavenet.model.patterns.pyramid_pooling import window_mean
from wavenet.training.session import train

UNCONDITIONED = {name: config for name, config in VARIANTS.items() if not config.condition_channels}
OUTPUTS = [replace(SMALL, output=output) for output in ("logistic", "gaussian")]
every_variant = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


KNOWN = [
    (ModelConfig(growth="fibonacci", dilation_cycle=13, layers=6), 1 + 1 + 2 + 3 + 5 + 8 + 13),
    (ModelConfig(growth="coprime", dilation_cycle=11, layers=8), 1 + 29 + 1 + 2),
    (ModelConfig(layers=10, groups=4), 1024),
    (ModelConfig(layers=10, layer="separable"), 1024),
    (ModelConfig(layers=10, layer="bottleneck", kernel_size=3), 2047),
    (ModelConfig(layers=10, layer="hybrid"), 1024),
    (ModelConfig(dilations=(1, 1), layer="hybrid", kernel_size=(4, 2)), 5),
    # Smoothing adds a sample for each layer.
    (ModelConfig(layers=10, smooth=True), 1034),
    (ModelConfig(layers=10, context="pyramid", pyramid_window=64), 1024 + 63),
    (ModelConfig(layers=10, context="pyramid", pyramid_dilations=(300, 7)), 1024 + 300),
]


@pytest.mark.parametrize(("config", "receptive_field"), KNOWN)
def test_known_receptive_fields(config: ModelConfig, receptive_field: int) -> None:
    assert config.receptive_field == receptive_field
    assert model_cost(config, 16000).receptive_field == receptive_field
    assert WaveNet(config).receptive_field == receptive_field


def covered_lags(config: ModelConfig) -> set[int]:
    """Lags whose sample the last prediction of a network of positive weights depends on."""
    model = WaveNet(replace(config, output="logistic")).double()
    with torch.no_grad():
        for p in model.parameters():
            # Small enough for no gate to saturate.
            p.abs_().add_(0.1).mul_(0.2)
    shape = (1, config.residual_channels, model.receptive_field + 20)
    embedded = torch.full(shape, 0.01, dtype=torch.float64, requires_grad=True)
    model._head(model.stack(embedded))[:, -1].sum().backward()
    assert embedded.grad is not None
    return set(torch.nonzero(embedded.grad.abs().sum(dim=(0, 1)).flip(0)).flatten().tolist())


# The last one has gaps.
DENSE_STACKS = [((1, 2, 4), 2), ((1, 2, 4, 1, 2), 2), ((1, 3, 9), 3), ((1, 1, 1), 4), ((4, 4), 2)]


@pytest.mark.parametrize(
    "config",
    [
        *UNCONDITIONED.values(),
        *(replace(SMALL, dilations=d, kernel_size=kernel) for d, kernel in DENSE_STACKS),
    ],
)
def test_a_prediction_reads_its_offsets_and_no_more(config: ModelConfig) -> None:
    lags = {0}
    for offsets in config.offsets:
        lags = {lag + offset for lag in lags for offset in offsets}
    if config.context == "pyramid":
        offsets = (*config.pyramid_dilations, *range(config.pyramid_window))
        lags = {lag + offset for lag in lags for offset in offsets}
    assert max(lags) == config.receptive_field - 1
    assert covered_lags(config) == lags


@pytest.mark.parametrize("config", [*VARIANTS.values(), *CONDITIONED.values(), *OUTPUTS])
def test_counted_costs_and_expected_shapes_are_those_of_the_modules(config: ModelConfig) -> None:
    model = WaveNet(config)
    cost = model_cost(config, 16000)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert parameters.expected_shapes(config) == shapes
    own, computed = parameters.multiply_adds(config)
    kernels = [shape for name, shape in shapes.items() if ".dilated." in name and len(shape) > 1]
    assert own == sum(map(math.prod, kernels))
    assert computed == sum(layer.dilated.kernel().numel() for layer in model.stack.layers)
    assert cost.computed_macs_per_sample - cost.macs_per_sample == computed - own
    folds = config.layer != "dense" or config.groups > 1 or config.smooth
    assert (own != computed) == folds == ("computed_macs_per_sample" in cost.to_dict())


DENSE = 10 * 2 * 64 * 128


@pytest.mark.parametrize(
    ("settings", "defined", "computed"),
    [
        ({}, DENSE, DENSE),
        ({"groups": 4}, 10 * 2 * 16 * 128, DENSE),
        ({"layer": "separable"}, 10 * (64 * 2 + 64 * 128), DENSE),
        ({"layer": "bottleneck"}, 10 * (64 * 16 + 2 * 16 * 16 + 16 * 128), DENSE),
        ({"layer": "hybrid"}, DENSE, (2 + 9 * 3) * 64 * 128),
        ({"smooth": True}, DENSE, (3 + 9 * 4) * 64 * 128),
    ],
)
def test_known_counts_of_multiply_adds(
    settings: dict[str, Any], defined: int, computed: int
) -> None:
    model = ModelConfig(layers=10, residual_channels=64, gate_channels=128, **settings)
    assert parameters.multiply_adds(model) == (defined, computed)


@every_variant
def test_engines_fold_what_training_folds(config: ModelConfig) -> None:
    model = network(config)
    weights = arrays(model)
    for i, layer in enumerate(model.stack.layers):
        taps = layer.dilated.kernel().detach().numpy().transpose(2, 1, 0)
        np.testing.assert_allclose(dense_taps(config, i, weights), taps, rtol=1e-5, atol=1e-6)


def gate_power(layer: GatedLayer) -> torch.Tensor:
    """The variance at a layer's gate where its input is white noise of unit variance."""
    return layer.dilated.kernel().square().sum((1, 2)).mean()


@pytest.mark.parametrize("name", ["groups", "separable", "bottleneck", "hybrid", "smooth"])
def test_a_gate_starts_with_inputs_of_unit_variance(name: str) -> None:
    sizes: dict[str, Any] = {"residual_channels": 64, "gate_channels": 128, "layers": 30}
    wide = replace(VARIANTS[name], kernel_size=2, bottleneck_channels=0, **sizes)
    model = WaveNet(wide)
    for i, layer in enumerate(model.stack.layers):
        assert 0.6 < gate_power(layer).item() < 1.6, f"layer {i}"
    mean = torch.stack([gate_power(layer) for layer in model.stack.layers]).mean()
    assert mean.item() == pytest.approx(1, abs=0.1)


def test_a_group_reads_its_own_channels_alone() -> None:
    model = network(VARIANTS["groups"])
    for layer in model.stack.layers:
        # (halves of the gate, groups, G / 2, groups, R / 2, K)
        kernel = layer.dilated.kernel().reshape(2, 2, 3, 2, 5, 3)
        for a in range(2):
            assert kernel[:, a, :, a].abs().min() > 0
            assert not kernel[:, a, :, 1 - a].any()


@pytest.mark.parametrize("window", [2, 3, 7, 8, 13, 64, 100])
def test_the_mean_over_a_window(window: int) -> None:
    u = torch.rand(120, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exact = torch.stack([u[i : i + window].mean(0) for i in range(121 - window)])
    torch.testing.assert_close(window_mean(u, window), exact, rtol=1e-14, atol=1e-14)
    half = u.bfloat16()
    assert (window_mean(half, window) - window_mean(half.double(), window)).abs().max() < 1e-6


def test_the_window_sum_of_an_engine_stays_exact() -> None:
    config = replace(SMALL, context="pyramid", pyramid_window=50)
    engine = create_engine("numba", config, arrays(network(config)))
    state = engine.init_state(2)
    engine.generate(state, np.stack([uniforms(1, i, 0, 3000) for i in range(2)]), Sampling())
    length = state.skips.shape[1]
    last = state.skips[:, (2999 - np.arange(50)) % length].astype(np.float64).sum(1)
    np.testing.assert_allclose(state.sums, last, rtol=0, atol=1e-11)
    assert last.max() > 1


@pytest.mark.parametrize("config", [*VARIANTS.values(), *CONDITIONED.values()])
def test_half_precision_is_close(config: ModelConfig) -> None:
    model = network(config)
    x = some_codes(model, 2, 100)
    inputs = some_inputs(config, *x.shape)
    exact = model(x, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x, inputs)
    # The logits spread by 2.
    assert 0 < (half - exact).abs().mean() < 0.05


@pytest.mark.parametrize("config", UNCONDITIONED.values(), ids=UNCONDITIONED)
def test_a_run_of_every_pattern(
    config: ModelConfig, small_config: Config, training_folder: Path, tmp_path: Path
) -> None:
    """It trains from a config file, is stopped and resumed, then played by two engines."""
    path, out = tmp_path / "pattern.toml", tmp_path / "run"
    learning = replace(small_config.train, steps=30, evaluate_every=10, learning_rate=1e-2)
    path.write_text(replace(small_config, model=config, train=learning).to_toml(), encoding="utf-8")
    train(training_folder, config=str(path), out=out, stop_at=10)
    run = train(training_folder, config=str(path), out=out)
    bits = [m["validation_bits"] for m in run.metrics() if "validation_bits" in m]
    # A code of 32 levels has 5 bits.
    assert bits[-1] < bits[0] < 5
    model = checkpoint.load(locate.find(out))
    assert model.config.model == config
    assert model.training.step == 30
    first, second = (
        Sampler(model, seed=3, engine=e, options=DEFAULTS).collect([60])[0]
        for e in ("numba", "reference")
    )
    # Where noise falls on a boundary between levels, all that follows differs.
    assert (first == second).mean() > 0.9
