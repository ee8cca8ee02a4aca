"""A network's weights as engines read them: contiguous float arrays, inputs before outputs, layers stacked.

    embedding   (n_inputs, R)
    conv        L arrays (T, R, 2G)   one tap for each of the layer's offsets, oldest first; columns 0 ... G - 1 feed tanh, the rest
                                      the sigmoid
    conv_bias   (L, 2G)
    out         (L, G, R + S)   the residual path's columns, then the skip path's; the last layer's residual is zero
    out_bias    (L, R + S)
    hidden      (S, H), hidden_bias (H,), output (H, n_params), output_bias (n_params,)
    offsets     L tuples: samples back that each tap hears, in the order of `conv`
    pyramid     of the context module, or None

Every kind of layer is folded into the dense taps that it equals (see `patterns`), so that engines know one kind only. Only the config
and NumPy arrays are needed: no torch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from wavenet.arrays import Array
from wavenet.config import ModelConfig, dilations
from wavenet.errors import EngineError
from wavenet.model import parameters


class PackedPyramid(NamedTuple):
    """See `context`. P channels each."""

    branches: Array  # (n, 2S, P): what the skip sum was `offsets` samples ago, then what it is now
    mean: Array  # (S, P)
    branch_bias: Array  # (n + 1, P), the mean's last
    project: Array  # ((n + 1) P, S)
    project_bias: Array  # (S,)
    offsets: tuple[int, ...]
    window: int

    @property
    def reach(self) -> int:
        """Samples before the present that it hears."""
        return max(*self.offsets, self.window - 1)


class PackedWeights(NamedTuple):
    """See the module's text for shapes."""

    embedding: Array
    conv: tuple[Array, ...]
    conv_bias: Array
    out: Array
    out_bias: Array
    hidden: Array
    hidden_bias: Array
    output: Array
    output_bias: Array
    offsets: tuple[tuple[int, ...], ...]
    pyramid: PackedPyramid | None

    @property
    def residual_channels(self) -> int:
        return int(self.embedding.shape[1])


def require_finite(weights: Mapping[str, Array]) -> None:
    """Raises EngineError that names the first weight with NaN or infinite numbers."""
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise EngineError(
                f"weight {name} holds NaN or infinite numbers: this model is of no use; take an earlier checkpoint"
            )


def pack(
    config: ModelConfig, weights: Mapping[str, Array], dtype: type[np.floating[Any]] = np.float32
) -> PackedWeights:
    """Pack a checkpoint's weights, or a module's state as NumPy arrays. Raises EngineError when one is not finite."""
    require_finite(weights)
    n = len(config.schedule)

    def exact(array: Any) -> Array:
        return np.ascontiguousarray(array, dtype)

    def rows(name: str) -> Array:
        return np.asarray(weights[f"{name}.weight"])[..., 0].T

    def layer(i: int, name: str) -> str:
        return f"stack.layers.{i}.{name}"

    def joined(i: int) -> tuple[Array, Array]:
        skip, skip_bias = rows(layer(i, "skip")), weights[layer(i, "skip.bias")]
        if i == n - 1:
            residual, residual_bias = (
                np.zeros((len(skip), config.residual_channels)),
                np.zeros(config.residual_channels),
            )
        else:
            residual, residual_bias = rows(layer(i, "residual")), weights[layer(i, "residual.bias")]
        return np.concatenate([residual, skip], axis=1), np.concatenate([residual_bias, skip_bias])

    out = [joined(i) for i in range(n)]
    return PackedWeights(
        exact(weights["embedding.weight"]),
        tuple(exact(fold(config, i, weights)) for i in range(n)),
        exact([weights[layer(i, "dilated.bias")] for i in range(n)]),
        exact([w for w, _ in out]),
        exact([b for _, b in out]),
        exact(rows("hidden")),
        exact(weights["hidden.bias"]),
        exact(rows("output")),
        exact(weights["output.bias"]),
        tuple(heard[::-1] for heard in config.offsets),
        _pyramid(config, weights, exact) if config.context == "pyramid" else None,
    )


# --- a layer's dilated convolution -> the kernel (K, R, 2G) that it equals, oldest tap first; as `layers` makes it -------------


def _dense(weights: Mapping[str, Array], groups: int) -> Array:
    kernel = weights["weight"].transpose(2, 1, 0)  # (K, R / groups, 2G)
    if groups == 1:
        return kernel
    taps, inputs, outputs = kernel.shape
    divided = kernel.reshape(taps, inputs, 2, groups, -1)
    own = np.eye(groups)  # a group of outputs hears its own group of inputs
    whole: Array = np.einsum("krhgo,gi->kirhgo", divided, own).reshape(
        taps, groups * inputs, outputs
    )
    return whole


def _separable(weights: Mapping[str, Array], groups: int) -> Array:
    return np.multiply(weights["depthwise"].transpose(2, 0, 1), weights["pointwise"][:, :, 0].T)


def _bottleneck(weights: Mapping[str, Array], groups: int) -> Array:
    expand, reduce = weights["expand"][:, :, 0], weights["reduce"][:, :, 0]
    kernel: Array = np.einsum("ob,bck,cr->kro", expand, weights["dilated"], reduce, optimize=True)
    return kernel


_KERNELS: dict[str, Callable[[Mapping[str, Array], int], Array]] = {
    "dense": _dense, "separable": _separable, "bottleneck": _bottleneck, "hybrid": _dense
}  # fmt: skip


def fold(config: ModelConfig, layer: int, weights: Mapping[str, Array]) -> Array:
    """The dense taps that a layer's dilated convolution equals, one for each of its offsets: (T, R, 2G), oldest first."""
    names = parameters.convolution(config, layer)
    arrays = {
        name: np.asarray(weights[f"stack.layers.{layer}.dilated.{name}"], np.float64)
        for name in names
    }
    kernel = _KERNELS[config.layer](arrays, config.groups)
    heard, parts = (
        config.offsets[layer],
        zip(config.parts[layer], parameters.halves(config), strict=True),
    )
    taps = np.zeros((len(heard), config.residual_channels, 2, config.gate_channels // 2))
    halved = kernel.reshape(*kernel.shape[:2], 2, -1)
    for dilation, channels in parts:
        spread = np.array(
            dilations.tap_matrix(config.kernel_sizes[layer], dilation, config.smooth, heard)
        )  # (T, K)
        taps[..., channels] = np.einsum("tk,krhg->trhg", spread, halved[..., channels])
    return taps.reshape(len(heard), config.residual_channels, -1)


def _pyramid(
    config: ModelConfig, weights: Mapping[str, Array], exact: Callable[[Any], Array]
) -> PackedPyramid:
    def taps(name: str) -> Array:
        """(K S, P), oldest first."""
        weight = np.asarray(weights[f"context.{name}.weight"])
        return weight.transpose(2, 1, 0).reshape(-1, len(weight))

    names = [f"branches.{i}" for i in range(len(config.pyramid_dilations))]
    return PackedPyramid(
        exact([taps(name) for name in names]),
        exact(taps("mean")),
        exact([weights[f"context.{name}.bias"] for name in (*names, "mean")]),
        exact(taps("project")),
        exact(weights["context.project.bias"]),
        config.pyramid_dilations,
        config.pyramid_window,
    )
