"""A network's weights as engines read them: contiguous, inputs before outputs, layers stacked.

    embedding     (n_inputs, R)
    conv          L arrays (T, R, 2G): a tap for each of the layer's offsets, oldest first;
                  columns 0 ... G - 1 feed tanh, the others the sigmoid
    conv_bias     (L, 2G)
    out           (L, G, R + S): columns of the residual path, then those of the skip path; nothing
                  reads the last layer's residual path, which is zero
    out_bias      (L, R + S)
    hidden        (S, H)
    hidden_bias   (H,)
    output        (H, n_params)
    output_bias   (n_params,)
    offsets       L tuples: how many samples back each tap reads, in the order of `conv`
    pyramid       the context module's weights, or None

Layers of the kinds in `model.patterns` are folded into the dense taps that they equal, so engines
know one kind of layer only. All this takes the config and NumPy arrays, no torch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.glossary import Array
from wavenet.model.patterns import kernels, shapes

# How many channels an engine keeps for a number of channels; those that are added are zero.
Width = Callable[[int], int]


class PackedPyramid(NamedTuple):
    """Weights of the context module, `patterns.pyramid_pooling`, with n branches of P channels.

    Each of `branches` multiplies relu(skip sum) of `offsets` samples ago, then that of the present.
    The last row of `branch_bias` belongs to the mean over the past `window` samples.
    """

    branches: Array  # (n, 2S, P)
    mean: Array  # (S, P)
    branch_bias: Array  # (n + 1, P)
    project: Array  # ((n + 1) P, S)
    project_bias: Array  # (S,)
    offsets: tuple[int, ...]
    window: int

    @property
    def lag(self) -> int:
        """How many samples back from the present it reads."""
        return max(*self.offsets, self.window - 1)


class PackedWeights(NamedTuple):
    """Weights and offsets of one network; the module's docstring gives the shapes."""

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
            reason = f"weight {name} holds NaN or infinite numbers: this model is of no use"
            raise EngineError("", reason, "take an earlier checkpoint")


def pack(
    config: ModelConfig, weights: Mapping[str, Array], dtype: DTypeLike = np.float32
) -> PackedWeights:
    """The weights of a checkpoint, or of a module's state as NumPy arrays.

    Raises EngineError when one is not finite.
    """
    require_finite(weights)

    def packed(array: Any) -> Array:
        return np.ascontiguousarray(array, dtype)

    layers = range(len(config.schedule))
    paths = [_residual_and_skip(config, i, weights) for i in layers]
    return PackedWeights(
        embedding=packed(weights["embedding.weight"]),
        conv=tuple(packed(dense_taps(config, i, weights)) for i in layers),
        conv_bias=packed([weights[f"stack.layers.{i}.dilated.bias"] for i in layers]),
        out=packed([matrix for matrix, _ in paths]),
        out_bias=packed([bias for _, bias in paths]),
        hidden=packed(_matrix(weights, "hidden")),
        hidden_bias=packed(weights["hidden.bias"]),
        output=packed(_matrix(weights, "output")),
        output_bias=packed(weights["output.bias"]),
        # The config has the newest offset first, taps are packed oldest first.
        offsets=tuple(offsets[::-1] for offsets in config.offsets),
        pyramid=_pyramid(config, weights, packed) if config.context == "pyramid" else None,
    )


def dense_taps(config: ModelConfig, layer: int, weights: Mapping[str, Array]) -> Array:
    """A layer's taps, one for each of its offsets, oldest first: (T, R, 2G)."""
    prefix = f"stack.layers.{layer}.dilated."
    if config.ordinary_layers:
        kernel = np.asarray(weights[f"{prefix}weight"])  # (2G, R, K)
        return kernel.transpose(2, 1, 0)
    names = shapes.convolution(config, layer)
    precise = {name: np.asarray(weights[prefix + name], np.float64) for name in names}
    matrices, identity = np.array(kernels.tap_matrices(config, layer)), np.eye(config.groups)
    taps: Array = kernels.taps(np, config, precise, matrices, identity)
    return taps.transpose(0, 2, 1)


def _matrix(weights: Mapping[str, Array], name: str) -> Array:
    """The matrix (inputs, outputs) of a convolution of one tap."""
    return np.asarray(weights[f"{name}.weight"])[..., 0].T


def _residual_and_skip(
    config: ModelConfig, layer: int, weights: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Matrix (G, R + S) and bias (R + S,) of a layer's two output paths, side by side."""
    prefix = f"stack.layers.{layer}"
    skip, skip_bias = _matrix(weights, f"{prefix}.skip"), weights[f"{prefix}.skip.bias"]
    # Nothing reads the last layer's residual, so a checkpoint has no weights for it.
    residual = np.zeros((len(skip), config.residual_channels))
    residual_bias = np.zeros(config.residual_channels)
    if layer < len(config.schedule) - 1:
        residual = _matrix(weights, f"{prefix}.residual")
        residual_bias = weights[f"{prefix}.residual.bias"]
    return np.concatenate([residual, skip], 1), np.concatenate([residual_bias, skip_bias])


def _pyramid(
    config: ModelConfig, weights: Mapping[str, Array], packed: Callable[[Any], Array]
) -> PackedPyramid:
    def taps(name: str) -> Array:
        """The taps below each other, oldest first: (K S, P)."""
        weight = np.asarray(weights[f"context.{name}.weight"])  # (P, S, K)
        return weight.transpose(2, 1, 0).reshape(-1, len(weight))

    branches = [f"branches.{i}" for i in range(len(config.pyramid_dilations))]
    return PackedPyramid(
        branches=packed([taps(name) for name in branches]),
        mean=packed(taps("mean")),
        branch_bias=packed([weights[f"context.{name}.bias"] for name in (*branches, "mean")]),
        project=packed(taps("project")),
        project_bias=packed(weights["context.project.bias"]),
        offsets=config.pyramid_dilations,
        window=config.pyramid_window,
    )


def widened(array: Array, width: Width, *axes: int) -> Array:
    """The array with as many channels along `axes`, by default the last, as `width` asks for."""
    missing = [(0, 0)] * array.ndim
    for axis in axes or (-1,):
        missing[axis] = (0, width(array.shape[axis]) - array.shape[axis])
    return np.pad(array, missing)


def widened_halves(array: Array, width: Width) -> Array:
    """The same along the last axis, 2G, where each half of the gate becomes as wide as G asks."""
    halves = array.reshape(*array.shape[:-1], 2, array.shape[-1] // 2)
    return widened(halves, width).reshape(*array.shape[:-1], -1)
