"""The readable network is the trained one on every preset: same weights, values and gradients."""

from dataclasses import replace

import pytest
import torch

from tests.conftest import VARIANTS, network, some_inputs
from wavenet.config import ModelConfig, loading
from wavenet.model.network import WaveNet
from wavenet.model.reference import ReferenceWaveNet

PREDICTED = 24


def presets() -> dict[str, ModelConfig]:
    """Every preset's network; those that take their labels from recordings get some."""
    models = {name: loading.load(name).model for name in loading.preset_names()}
    return {
        name: replace(model, labels=("ada", "bob")) if model.label_channels else model
        for name, model in models.items()
    }


@pytest.mark.parametrize("config", presets().values(), ids=presets())
def test_the_readable_network_agrees_in_values_and_gradients(config: ModelConfig) -> None:
    # In double precision, since in single each is further from the truth than they differ.
    fast = network(config).double()
    readable = ReferenceWaveNet.from_arrays(config, fast.state_dict()).double()
    generator = torch.Generator().manual_seed(0)
    shape = (1, config.receptive_field + PREDICTED)
    x = torch.randint(0, fast.distribution.levels, shape, generator=generator)
    inputs = some_inputs(config, *x.shape)
    inputs = inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)
    expected, params = fast(x, inputs), readable(x, inputs)
    torch.testing.assert_close(params, expected, rtol=1e-9, atol=1e-9)
    assert expected.std() > 0.3
    weights = torch.randn(params.shape, dtype=torch.float64, generator=generator)
    for result in (expected, params):
        (result * weights).mean().backward()
    gradients = {n: p.grad for n, p in fast.named_parameters() if p.grad is not None}
    for name, parameter in readable.named_parameters():
        assert (parameter.grad is None) == (name not in gradients), name
        if parameter.grad is not None:
            difference = (parameter.grad - gradients[name]).norm()
            assert difference <= 1e-9 * gradients[name].norm(), name


def test_layers_that_are_not_shown_are_refused() -> None:
    config = VARIANTS["separable"]
    with pytest.raises(ValueError, match=r"use network\.WaveNet"):
        ReferenceWaveNet.from_arrays(config, WaveNet(config).state_dict())
