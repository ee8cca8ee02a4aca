"""A network's weights as engines read them: contiguous float32 arrays, inputs before outputs, layers stacked.

    embedding   (n_inputs, R)
    conv        (L, K, R, 2G)   tap K - 1 is the newest; columns 0 ... G - 1 feed tanh, the rest the sigmoid
    conv_bias   (L, 2G)
    out         (L, G, R + S)   the residual path's columns, then the skip path's; the last layer's residual is zero
    out_bias    (L, R + S)
    hidden      (S, H), hidden_bias (H,), output (H, n_params), output_bias (n_params,)
    dilations   (L,) int64

Only the config and NumPy arrays are needed: no torch.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.shapes import Array


class PackedWeights(NamedTuple):
    """See the module's text for shapes. A NamedTuple, so that a compiled kernel takes it as one argument."""

    embedding: Array
    conv: Array
    conv_bias: Array
    out: Array
    out_bias: Array
    hidden: Array
    hidden_bias: Array
    output: Array
    output_bias: Array
    dilations: Array

    @property
    def kernel_size(self) -> int:
        return int(self.conv.shape[1])

    @property
    def residual_channels(self) -> int:
        return int(self.embedding.shape[1])


def require_finite(weights: Mapping[str, Array]) -> None:
    """Raises EngineError that names the first weight with NaN or infinite numbers."""
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise EngineError(f"weight {name} holds NaN or infinite numbers: this model is of no use; take an earlier checkpoint")


def pack(config: ModelConfig, weights: Mapping[str, Array]) -> PackedWeights:
    """Pack a checkpoint's weights, or a module's state as NumPy arrays. Raises EngineError when one is not finite."""
    require_finite(weights)
    n = len(config.schedule)

    def rows(name: str) -> Array:
        return np.asarray(weights[f"{name}.weight"])[..., 0].T

    def layer(i: int, name: str) -> str:
        return f"stack.layers.{i}.{name}"

    def joined(i: int) -> tuple[Array, Array]:
        skip, skip_bias = rows(layer(i, "skip")), weights[layer(i, "skip.bias")]
        if i == n - 1:
            residual, residual_bias = np.zeros((len(skip), config.residual_channels)), np.zeros(config.residual_channels)
        else:
            residual, residual_bias = rows(layer(i, "residual")), weights[layer(i, "residual.bias")]
        return np.concatenate([residual, skip], axis=1), np.concatenate([residual_bias, skip_bias])

    out = [joined(i) for i in range(n)]
    arrays = (
        weights["embedding.weight"],
        np.stack([np.asarray(weights[layer(i, "dilated.weight")]).transpose(2, 1, 0) for i in range(n)]),
        np.stack([weights[layer(i, "dilated.bias")] for i in range(n)]),
        np.stack([w for w, _ in out]),
        np.stack([b for _, b in out]),
        rows("hidden"),
        weights["hidden.bias"],
        rows("output"),
        weights["output.bias"],
    )
    return PackedWeights._make([*(np.ascontiguousarray(a, np.float32) for a in arrays), np.array(config.schedule, np.int64)])
