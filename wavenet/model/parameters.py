"""Name and shape of every weight of a network: what is learnt, saved and counted.

`expected_shapes` is the one list of them: checkpoints are checked against it and parameters counted
over it. Shapes are (outputs, inputs, taps), as `torch.nn.Conv1d` has them; `patterns.shapes` has
those of each kind of dilated convolution. Needs no torch.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from wavenet.config import ModelConfig
from wavenet.errors import UsageError
from wavenet.model.arguments import require_type
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.patterns import shapes as patterns
from wavenet.model.patterns.shapes import Shapes


def expected_shapes(model: ModelConfig) -> Shapes:
    """Name and shape of every weight, as a network's `state_dict` and its checkpoints have them."""
    return embedding(model) | stack(model) | context(model) | head(model) | conditioning(model)


def learnt_shapes(model: ModelConfig) -> Shapes:
    """`expected_shapes` without what training leaves as it is, and Adam has no moments of."""
    constants = {name for front_end in front_ends(model) for name in front_end.constants}
    return {name: s for name, s in expected_shapes(model).items() if name not in constants}


def require_weights(name: str, model: ModelConfig, weights: Mapping[str, Any]) -> None:
    """Raise UsageError, of the parameter `name`, unless these are a network's weights by name."""
    require_type(name, weights, Mapping)
    expected = expected_shapes(model)
    for weight in sorted(expected.keys() | weights.keys()):
        asked = expected.get(weight, "none")
        shape = tuple(np.shape(weights[weight])) if weight in weights else "missing"
        if shape != asked:
            reason = f"{weight} has shape {shape}, the config asks for {asked}"
            raise UsageError(name, None, reason)


def embedding(model: ModelConfig) -> Shapes:
    """The input table, a row for each code; a single row where samples enter by their value."""
    return {"embedding.weight": (distribution_for(model).n_inputs, model.residual_channels)}


def stack(model: ModelConfig) -> Shapes:
    """The gated layers but for their conditioning. The last one has no residual path."""
    gate = model.gate_channels // 2
    n_layers = len(model.schedule)
    shapes: Shapes = {}
    for i in range(n_layers):
        layer = f"stack.layers.{i}"
        for name, shape in patterns.convolution(model, i).items():
            shapes[f"{layer}.dilated.{name}"] = shape
        shapes[f"{layer}.dilated.bias"] = (model.gate_channels,)
        if i < n_layers - 1:
            shapes |= _with_bias(f"{layer}.residual", (model.residual_channels, gate, 1))
        shapes |= _with_bias(f"{layer}.skip", (model.skip_channels, gate, 1))
    return shapes


def context(model: ModelConfig) -> Shapes:
    """The context module between the skip sum and the head; empty for a network without one."""
    shapes: Shapes = {}
    for name, shape in patterns.pyramid(model).items():
        shapes |= _with_bias(f"context.{name}", shape)
    return shapes


def head(model: ModelConfig) -> Shapes:
    """Two convolutions of one tap, from the skip sum to the distribution's params."""
    n_params = distribution_for(model).n_params
    hidden = _with_bias("hidden", (model.head_channels, model.skip_channels, 1))
    return hidden | _with_bias("output", (n_params, model.head_channels, 1))


def conditioning(model: ModelConfig) -> Shapes:
    """The front ends, and what projects their features into every layer."""
    shapes: Shapes = {}
    for front_end in front_ends(model):
        shapes |= front_end.shapes()
    if model.condition_channels:
        for i in range(len(model.schedule)):
            projection = (model.gate_channels, model.condition_channels)
            shapes[f"stack.layers.{i}.condition.weight"] = projection
    return shapes


def multiply_adds(model: ModelConfig) -> tuple[int, int]:
    """Multiply-adds per sample of all dilated convolutions: as defined, and as computed here.

    Here every kind is computed as an ordinary convolution, tap by tap.
    """
    layers = range(len(model.schedule))
    defined = sum(prod(shape) for i in layers for shape in patterns.convolution(model, i).values())
    n_taps = sum(map(len, model.offsets))
    return defined, n_taps * model.residual_channels * model.gate_channels


def _with_bias(name: str, shape: tuple[int, ...]) -> Shapes:
    """A convolution's weight, and a bias for each of its outputs."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
