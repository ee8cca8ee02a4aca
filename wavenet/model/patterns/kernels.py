"""The dilated convolution that a layer of each kind equals, as the taps of an ordinary one.

Written once for NumPy's arrays, which engines read, and for torch's tensors, through which
gradients flow: `xp` is one of the two modules.
"""

from collections.abc import Mapping
from typing import Any

from wavenet.config import ModelConfig, dilations
from wavenet.model.patterns import shapes

Weights = Mapping[str, Any]


def taps(xp: Any, config: ModelConfig, weights: Weights, matrices: Any, identity: Any) -> Any:
    """A layer's taps, one for each of its offsets, oldest first: (T, 2G, R).

    `weights` has the names that `shapes` gives them. `matrices` are those of `tap_matrices`, and
    `identity` is that of `config.groups` numbers, both of the weights' kind.
    """
    kernel = _kernel(xp, config.layer, weights, identity)
    halves = kernel.reshape(len(kernel), 2, config.gate_channels // 2, -1)
    parts = [
        xp.einsum("tk,khgr->thgr", matrix, halves[:, :, channels.start : channels.stop])
        for matrix, channels in zip(matrices, shapes.halves(config), strict=True)
    ]
    spread = xp.concatenate(parts, axis=2)
    return spread.reshape(len(spread), config.gate_channels, -1)


def tap_matrices(config: ModelConfig, layer: int) -> list[list[list[float]]]:
    """How much of each tap of the kernel lies at each offset, for each part of a layer: (T, K)."""
    taps, offsets = config.kernel_sizes[layer], config.offsets[layer]
    return [dilations.tap_matrix(taps, d, config.smooth, offsets) for d in config.parts[layer]]


def _kernel(xp: Any, kind: str, weights: Weights, identity: Any) -> Any:
    """The kernel that a kind's weights equal, (K, 2G, R), oldest tap first."""
    if kind == "separable":
        return xp.einsum("or,rk->kor", weights["pointwise"][:, :, 0], weights["depthwise"][:, 0])
    if kind == "bottleneck":
        expand, reduce = weights["expand"][:, :, 0], weights["reduce"][:, :, 0]
        widened = xp.einsum("ob,bck->okc", expand, weights["dilated"])
        return xp.einsum("okc,cr->kor", widened, reduce)
    # A hybrid layer differs from an ordinary one in its dilations, not in its weights.
    weight, groups = weights["weight"], len(identity)
    outputs, inputs, taps = weight.shape
    divided = weight.reshape(2, groups, outputs // groups // 2, inputs, taps)
    # A group of outputs reads its own group of inputs.
    kernel = xp.einsum("hgork,gi->khgoir", divided, identity)
    return kernel.reshape(taps, outputs, groups * inputs)
