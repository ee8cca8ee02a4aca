"""Receptive field, parameters and multiply-adds: known ones, published ones, the module's own."""

import pytest

from wavenet.config import ModelConfig, loading
from wavenet.model.cost import model_cost, receptive_field
from wavenet.model.network import WaveNet


@pytest.mark.parametrize(
    ("layers", "cycle", "kernel", "expected"),
    [
        (30, 512, 3, 6139),
        (24, 32, 3, 505),
        (12, 32, 3, 253),
        (30, 1, 3, 61),
        (30, 512, 2, 3070),
        (20, 512, 2, 2047),
        (50, 512, 2, 5116),
    ],
)
def test_known_cycles(layers: int, cycle: int, kernel: int, expected: int) -> None:
    model = ModelConfig(layers=layers, dilation_cycle=cycle, kernel_size=kernel)
    assert model_cost(model, 16000).receptive_field == expected


@pytest.mark.parametrize(
    ("dilations", "kernels", "expected"), [([1, 2], 2, 4), ([1, 1, 2, 4, 8], [3, 2, 2, 2, 2], 18)]
)
def test_known_lists(dilations: list[int], kernels: int | list[int], expected: int) -> None:
    assert receptive_field(dilations, kernels) == expected


@pytest.mark.parametrize(
    ("name", "samples", "parameters", "macs"),
    [
        ("r9y9-mulaw256", 6139, 4_029_952, 3.98e6),
        ("r9y9-mol", 505, 3_178_654, 3.17e6),
        ("nv-wavenet", 2047, 711_424, 0.67e6),
        ("ibab", 5116, 1_515_968, 1.47e6),
        ("wavenet-1024", 4093, 4_113_152, 4.10e6),
        ("paper", 3070, 0.782e6, 0.758e6),
        ("small", 2047, 0.23e6 * 1.04, 0.2e6 * 1.13),
    ],
)
def test_reference_presets_have_the_published_sizes(
    name: str, samples: int, parameters: float, macs: float
) -> None:
    """They are published without conditioning."""
    preset = loading.load(name, {"model.mel_bands": 0})
    cost = model_cost(preset.model, preset.audio.sample_rate)
    assert cost.receptive_field == samples
    assert cost.parameters == pytest.approx(parameters, rel=0.05)
    assert cost.macs_per_sample == pytest.approx(macs, rel=0.05)


@pytest.mark.parametrize("name", loading.preset_names())
def test_counted_parameters_are_those_of_the_module(name: str) -> None:
    preset = loading.load(name, {"model.labels": ["ada", "bob"]} if name == "voices" else {})
    model = WaveNet(preset.model)
    cost = model_cost(preset.model, preset.audio.sample_rate)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.receptive_field == model.receptive_field
    assert preset.name == name
    assert preset.purpose


def test_a_scalar_input_costs_a_product_and_a_lookup_none() -> None:
    mulaw, mixture = ModelConfig(levels=256), ModelConfig(output="logistic", mixtures=10)
    a, b = model_cost(mulaw, 16000), model_cost(mixture, 16000)
    assert b.parameters == sum(p.numel() for p in WaveNet(mixture).parameters())
    assert a.macs_per_sample - b.macs_per_sample == (256 - 30) * 64 - 64


def test_the_receptive_field_grows_layer_by_layer_to_that_of_the_model() -> None:
    cost = model_cost(ModelConfig(dilations=(1, 2, 8), kernel_size=3), 1000)
    assert [layer.receptive_field for layer in cost.layers] == [3, 7, 23]
    assert cost.receptive_field_ms == 23.0
    assert cost.state_bytes == 4 * 64 * 22
