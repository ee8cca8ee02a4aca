"""Name and shape of the weights of the other kinds of layers, as checkpoints have them.

Shapes are (outputs, inputs, taps). Needs no torch.
"""

from collections.abc import Callable

from wavenet.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def convolution(model: ModelConfig, layer: int) -> Shapes:
    """Weights of a layer's dilated convolution. A bias (2G,) comes on top."""
    return _CONVOLUTIONS[model.layer](model, model.kernel_sizes[layer])


def _grouped(model: ModelConfig, taps: int) -> Shapes:
    inputs = model.residual_channels // model.groups
    return {"weight": (model.gate_channels, inputs, taps)}


def _separable(model: ModelConfig, taps: int) -> Shapes:
    channels = model.residual_channels
    return {"depthwise": (channels, 1, taps), "pointwise": (model.gate_channels, channels, 1)}


def _bottleneck(model: ModelConfig, taps: int) -> Shapes:
    narrow = model.bottleneck_channels or max(1, model.residual_channels // 4)
    return {
        "reduce": (narrow, model.residual_channels, 1),
        "dilated": (narrow, narrow, taps),
        "expand": (model.gate_channels, narrow, 1),
    }


# A hybrid layer differs from an ordinary one in its dilations, not in its weights.
_CONVOLUTIONS: dict[str, Callable[[ModelConfig, int], Shapes]] = {
    "dense": _grouped,
    "separable": _separable,
    "bottleneck": _bottleneck,
    "hybrid": _grouped,
}


def halves(model: ModelConfig) -> tuple[range, ...]:
    """The channels of each half of the gate that have each of `ModelConfig.parts`' dilations."""
    gate = model.gate_channels // 2
    if model.layer == "hybrid":
        return range(gate // 2), range(gate // 2, gate)
    return (range(gate),)


def pyramid(model: ModelConfig) -> Shapes:
    """Weights of the context module's convolutions; each has a bias besides. Empty without one."""
    if model.context == "none":
        return {}
    skip, n_branches = model.skip_channels, len(model.pyramid_dilations)
    narrow = skip // (n_branches + 1)
    shapes: Shapes = {f"branches.{i}": (narrow, skip, 2) for i in range(n_branches)}
    shapes["mean"] = (narrow, skip, 1)
    shapes["project"] = (skip, narrow * (n_branches + 1), 1)
    return shapes
