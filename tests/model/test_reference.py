"""The readable network is the trained one on every preset: same weights, values and gradients."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.helpers import FOLLOWING, VARIANTS, network, some_codes, some_inputs
from wavenet.config import ModelConfig, loading
from wavenet.model.network import WaveNet
from wavenet.model.reference import ReferenceWaveNet

PREDICTED = 24


# Seconds each.
LARGE = ("ibab", "music", "r9y9-mulaw256", "wavenet-1024")


def presets() -> Iterator[Any]:
    """Every preset's network, and one for each kind of frames.

    Those that take their labels from recordings get some.
    """
    for name, model in FOLLOWING.items():
        yield pytest.param(model, id=name)
    for name in loading.preset_names():
        model = loading.load(name).model
        if model.label_channels:
            model = replace(model, labels=("ada", "bob"))
        yield pytest.param(model, id=name, marks=[pytest.mark.slow] if name in LARGE else [])


@pytest.mark.parametrize("config", presets())
def test_the_readable_network_agrees_in_values_and_gradients(config: ModelConfig) -> None:
    # In double precision, since in single each is further from the truth than they differ.
    fast = network(config).double()
    readable = ReferenceWaveNet.from_arrays(config, fast.state_dict()).double()
    x = some_codes(fast, 1, PREDICTED)
    inputs = some_inputs(config, *x.shape)
    inputs = inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)
    expected, params = fast(x, inputs), readable(x, inputs)
    torch.testing.assert_close(params, expected, rtol=1e-9, atol=1e-9)
    assert expected.std() > 0.3
    weights = torch.randn_like(params)
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
