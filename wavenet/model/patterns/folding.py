"""The other kinds of dilated convolution, in NumPy: the taps that engines compute with.

`convolution` makes the same in torch.
"""

from collections.abc import Callable, Mapping

import numpy as np

from wavenet.config import ModelConfig, dilations
from wavenet.glossary import Array
from wavenet.model.patterns import shapes

Weights = Mapping[str, Array]


def fold(config: ModelConfig, layer: int, weights: Weights) -> Array:
    """A layer's taps, one for each of its offsets, oldest first: (T, R, 2G) in float64.

    `weights` are those of its dilated convolution, by the names that `shapes` gives them.
    """
    precise = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    kernel = _KERNELS[config.layer](precise, config.groups)
    halved = kernel.reshape(*kernel.shape[:2], 2, -1)
    kernel_size, offsets = config.kernel_sizes[layer], config.offsets[layer]
    taps = np.zeros((len(offsets), config.residual_channels, 2, config.gate_channels // 2))
    for dilation, channels in zip(config.parts[layer], shapes.halves(config), strict=True):
        # (T, K)
        matrix = np.array(dilations.tap_matrix(kernel_size, dilation, config.smooth, offsets))
        taps[..., channels] = np.einsum("tk,krhg->trhg", matrix, halved[..., channels])
    return taps.reshape(len(offsets), config.residual_channels, -1)


# --- weights by name -> the kernel that they equal, (K, R, 2G), oldest tap first ------------------


def _grouped(weights: Weights, groups: int) -> Array:
    # (K, R / groups, 2G)
    kernel = weights["weight"].transpose(2, 1, 0)
    if groups == 1:
        return kernel
    taps, inputs, outputs = kernel.shape
    divided = kernel.reshape(taps, inputs, 2, groups, -1)
    # A group of outputs reads its own group of inputs.
    dense: Array = np.einsum("krhgo,gi->kirhgo", divided, np.eye(groups))
    return dense.reshape(taps, groups * inputs, outputs)


def _separable(weights: Weights, groups: int) -> Array:
    return np.multiply(weights["depthwise"].transpose(2, 0, 1), weights["pointwise"][:, :, 0].T)


def _bottleneck(weights: Weights, groups: int) -> Array:
    expand, reduce = weights["expand"][:, :, 0], weights["reduce"][:, :, 0]
    kernel: Array = np.einsum("ob,bck,cr->kro", expand, weights["dilated"], reduce, optimize=True)
    return kernel


_KERNELS: dict[str, Callable[[Weights, int], Array]] = {
    "dense": _grouped,
    "separable": _separable,
    "bottleneck": _bottleneck,
    "hybrid": _grouped,
}
