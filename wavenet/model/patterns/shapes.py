"""Name and shape of the weights of every kind of layer, as checkpoints have them.

Shapes are (outputs, inputs, taps). Needs no torch.
"""

from wavenet.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def convolution(model: ModelConfig, layer: int) -> Shapes:
    """Weights of a layer's dilated convolution. A bias (2G,) comes on top."""
    gates, channels, taps = model.gate_channels, model.residual_channels, model.kernel_sizes[layer]
    if model.layer == "separable":
        return {"depthwise": (channels, 1, taps), "pointwise": (gates, channels, 1)}
    if model.layer == "bottleneck":
        n = model.bottleneck_channels or max(1, channels // 4)
        return {"reduce": (n, channels, 1), "dilated": (n, n, taps), "expand": (gates, n, 1)}
    # A hybrid layer differs from an ordinary one in its dilations, not in its weights.
    return {"weight": (gates, channels // model.groups, taps)}


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
