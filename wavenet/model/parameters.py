"""The weights of a layer's dilated convolution and of the context module, by name and shape: what is learnt, saved and counted.

Every kind of convolution is linear, so it equals a dense one whose taps are made from its weights. Training and generation compute
with those: a factorised layer has fewer parameters, and what it learns is what its form allows, but no less arithmetic is done here.
`multiply_adds` counts both.

    dense       weight (2G, R / groups, K); each half of the gate is divided into groups like the residual channels
    separable   depthwise (R, 1, K): each channel on its own; then pointwise (2G, R, 1)
    bottleneck  reduce (B, R, 1); dilated (B, B, K); expand (2G, B, 1)
    hybrid      weight (2G, R, K): the first half of the channels of tanh and of sigmoid with dilation 1, the others with the layer's
"""

from math import prod

from wavenet.config import Config, ModelConfig
from wavenet.model import parameters
from wavenet.model.distributions.registry import distribution_for

Shapes = dict[str, tuple[int, ...]]


def convolution(model: ModelConfig, layer: int) -> Shapes:
    """Weights of a layer's dilated convolution, shaped (outputs, inputs, taps). A bias (2G,) comes on top."""
    taps, r, gate = model.kernel_sizes[layer], model.residual_channels, model.gate_channels
    narrow = model.bottleneck_channels or max(1, r // 4)
    kinds: dict[str, Shapes] = {
        "dense": {"weight": (gate, r // model.groups, taps)},
        "separable": {"depthwise": (r, 1, taps), "pointwise": (gate, r, 1)},
        "bottleneck": {
            "reduce": (narrow, r, 1),
            "dilated": (narrow, narrow, taps),
            "expand": (gate, narrow, 1),
        },
        "hybrid": {"weight": (gate, r, taps)},
    }
    return kinds[model.layer]


def halves(model: ModelConfig) -> tuple[range, ...]:
    """Which channels of each half of the gate go by each of the layer's dilations, `ModelConfig.parts`."""
    g = model.gate_channels // 2
    return (range(g // 2), range(g // 2, g)) if model.layer == "hybrid" else (range(g),)


def pyramid(model: ModelConfig) -> Shapes:
    """Weights of the context module's convolutions; each has a bias besides. None for a network without."""
    if model.context == "none":
        return {}
    s, n = model.skip_channels, len(model.pyramid_dilations)
    narrow = s // (n + 1)
    branches: Shapes = {f"branches.{i}": (narrow, s, 2) for i in range(n)}
    return branches | {"mean": (narrow, s, 1), "project": (s, narrow * (n + 1), 1)}


def multiply_adds(model: ModelConfig) -> tuple[int, int]:
    """Of all dilated convolutions, for one sample: as the pattern defines them, and as they are computed, tap by tap."""
    own = sum(
        prod(shape) for i in range(len(model.schedule)) for shape in convolution(model, i).values()
    )
    return own, sum(
        len(heard) for heard in model.offsets
    ) * model.residual_channels * model.gate_channels


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of the config's network."""
    m = config.model
    gate, n, output = m.gate_channels // 2, len(m.schedule), distribution_for(m)
    convolutions: parameters.Shapes = {
        "hidden": (m.head_channels, m.skip_channels, 1),
        "output": (output.n_params, m.head_channels, 1),
    }
    convolutions |= {f"context.{name}": shape for name, shape in parameters.pyramid(m).items()}
    for i in range(n):
        convolutions[f"stack.layers.{i}.skip"] = (m.skip_channels, gate, 1)
        if i < n - 1:
            convolutions[f"stack.layers.{i}.residual"] = (m.residual_channels, gate, 1)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (output.n_inputs, m.residual_channels)
    }
    for i in range(n):
        dilated = parameters.convolution(m, i) | {"bias": (m.gate_channels,)}
        shapes |= {f"stack.layers.{i}.dilated.{name}": shape for name, shape in dilated.items()}
    if m.mel_bands:
        convolutions["conditioner.mel"] = (m.mel_channels, m.mel_bands, 2 * m.mel_context + 1)
    if m.label_channels:
        shapes["conditioner.label.weight"] = (len(m.labels), m.label_channels)
    if m.condition_channels:
        shapes |= {
            f"stack.layers.{i}.condition.weight": (m.gate_channels, m.condition_channels)
            for i in range(n)
        }
    for name, shape in convolutions.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes
