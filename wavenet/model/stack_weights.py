"""The weights of all layers, prepared for the stack's passes, and their gradients on the way back.

A layer's own weights are a few kilobytes. Stacked, they are cast, scaled and laid out in a handful
of operations, whatever the number of layers.

    StackParameters    as the layers have them, in float32 even where the stack computes in half
                       precision. Gradients come back in the same layout, each contiguous, so that
                       autograd gives every parameter its slice without another copy.
    StackWeights       as the passes read them, and the gradients that the passes fill.

Channels (R, S and each half of the gate) can be filled up with zeros to a multiple: machine code
for CPUs computes with whole vectors, and tensor cores want the rows of matrices in half precision
to be multiples of 16 bytes. What is filled up stays zero through all layers: z = tanh(0) *
sigmoid(0) = 0. Time needs no filling up: a row is a time step, so where a matrix begins among the
rows moves its address by whole rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wavenet.arithmetic import ceil_div
from wavenet.model.gates import Gates


class StackParameters(NamedTuple):
    """The weights of all layers; the last one has no residual path.

    There is a tap for each offset, oldest first; zeros follow where layers differ in their number.
    `conditioning` is what the layers make of the features, at frame rate.
    """

    taps: Tensor  # (L, 2G, R, T)
    bias: Tensor  # (L, 2G)
    residual: Tensor  # (L - 1, R, G)
    residual_bias: Tensor  # (L - 1, R)
    skip: Tensor  # (L, S, G)
    skip_bias: Tensor  # (L, S)
    conditioning: Tensor | None = None  # (F, batch, L * 2G)


class StackWeights(NamedTuple):
    """What the passes compute with, scaled as the gates want it."""

    taps: Tensor  # (L, T, 2G, R)
    bias: Tensor  # (L, 2G)
    residual: Tensor  # (L - 1, R, G)
    residual_bias: Tensor  # (L - 1, R)
    skip: Tensor  # (S, L, G)
    skip_bias: Tensor  # (S,), of all layers together
    # Where channels are filled up, frames of zeros follow, which count for nothing.
    conditioning: Tensor | None = None  # (L, F, batch * 2G)


class WeightGradients(NamedTuple):
    """What the passes fill: gradients of `StackWeights`. That of `residual_bias` follows from them.

    Biases are in float32 at least: they are sums over all rows.
    """

    taps: Tensor  # (L, T, 2G, R)
    bias: Tensor  # (L, 2G)
    residual: Tensor  # (L - 1, R, G)
    skip: Tensor  # (S, L, G)
    skip_bias: Tensor  # (S,)
    conditioning: Tensor | None  # (F, batch, L, 2G)


def prepare(p: StackParameters, dtype: torch.dtype, gates: Gates, multiple: int) -> StackWeights:
    """The weights in the precision that the stack computes in; channels in multiples."""
    layers, width, channels, taps = p.taps.shape
    g, r, s = (filled_up(n, multiple) for n in (width // 2, channels, p.skip.shape[1]))
    halves = p.taps.view(layers, 2, -1, channels, taps).permute(0, 4, 1, 2, 3)
    weights = StackWeights(
        _filled(halves, (layers, taps, 2, g, r), dtype),
        _filled(p.bias.view(layers, 2, -1), (layers, 2, g), dtype),
        _filled(p.residual, (layers - 1, r, g), dtype),
        _filled(p.residual_bias, (layers - 1, r), dtype),
        _filled(p.skip.transpose(0, 1), (s, layers, g), dtype),
        _filled(p.skip_bias.sum(0), (s,), dtype),
    )
    _scale(weights.taps[:, :, 0], gates.filter_scale)
    _scale(weights.bias[:, 0], gates.filter_scale)
    _scale(weights.residual, gates.z_scale)
    _scale(weights.skip, gates.z_scale)
    conditioning = None
    if p.conditioning is not None:
        frames, batch, _ = p.conditioning.shape
        by_layer = p.conditioning.view(frames, batch, layers, 2, -1).permute(2, 0, 1, 3, 4)
        # Any number of frames can then be taken in multiples.
        more = multiple - 1 if frames > 1 else 0
        conditioning = _filled(by_layer, (layers, frames + more, batch, 2, g), dtype)
        _scale(conditioning[:, :, :, 0], gates.filter_scale)
        conditioning = conditioning.flatten(2)
    taps_and_bias = weights.taps.flatten(2, 3), weights.bias.flatten(1)
    return StackWeights(*taps_and_bias, *weights[2:6], conditioning)


def taps_for_gradients(weights: StackWeights, gates: Gates) -> Tensor:
    """The taps that dh is multiplied by: what its filter's half is short of, they make up for."""
    if gates.dh_scale == 1:
        return weights.taps
    taps = weights.taps.clone()
    _scale(taps[:, :, : taps.shape[2] // 2], gates.dh_scale)
    return taps


def new_gradients(weights: StackWeights, batch: int, dskips: Tensor) -> WeightGradients:
    """Room for the gradients of weights; that of the skip paths' bias is known."""
    total = torch.promote_types(dskips.dtype, torch.float32)
    dconditioning = None
    if weights.conditioning is not None:
        layers, frames, _ = weights.conditioning.shape
        dconditioning = dskips.new_empty(frames, batch, layers, weights.bias.shape[1])
    return WeightGradients(
        torch.empty_like(weights.taps),
        torch.empty_like(weights.bias, dtype=total),
        torch.empty_like(weights.residual),
        torch.empty_like(weights.skip),
        dskips.sum(0, dtype=total),
        dconditioning,
    )


def gradients_of_parameters(
    d: WeightGradients, p: StackParameters, gates: Gates
) -> StackParameters:
    """The gradients of what was prepared, from those that the passes filled."""
    dtype, (layers, width, channels, _) = p.taps.dtype, p.taps.shape
    half, filter_scale = width // 2, gates.filter_scale * gates.dh_scale
    taps = d.taps.view(*d.taps.shape[:2], 2, -1, d.taps.shape[3])[:, :, :, :half, :channels]
    dtaps = _contiguous(taps.permute(0, 2, 3, 4, 1), dtype)
    dbias = _contiguous(d.bias.view(layers, 2, -1)[:, :, :half], dtype)
    dresidual = _contiguous(d.residual[:, :channels, :half], dtype)
    dskip = _contiguous(d.skip[: p.skip.shape[1], :, :half].transpose(0, 1), dtype)
    dconditioning = None
    if d.conditioning is not None and p.conditioning is not None:
        frames = d.conditioning.view(*d.conditioning.shape[:3], 2, -1)[: len(p.conditioning)]
        dconditioning = _contiguous(frames[..., :half], dtype)
        _scale(dconditioning[:, :, :, 0], filter_scale)
        dconditioning = dconditioning.flatten(2)
    _scale(dtaps[:, 0], filter_scale)
    _scale(dbias[:, 0], filter_scale)
    _scale(dresidual, gates.z_scale)
    _scale(dskip, gates.z_scale)
    dbias = dbias.flatten(1)
    dskip_bias = _contiguous(d.skip_bias[: p.skip.shape[1]].expand(layers, -1), dtype)
    dresidual_bias = _residual_bias_gradient(p.taps, dbias)
    return StackParameters(
        dtaps.flatten(1, 2), dbias, dresidual, dresidual_bias, dskip, dskip_bias, dconditioning
    )


class LayerWeights(NamedTuple):
    """One layer's part of the weights, by which the forward pass multiplies rows: views of them."""

    taps: tuple[Tensor, ...]  # (R, 2G) each
    bias: Tensor  # (2G,)
    residual: Tensor | None  # (G, R)
    residual_bias: Tensor | None  # (R,)
    conditioning: Tensor | None  # (F, batch * 2G)


def layer_weights(weights: StackWeights) -> list[LayerWeights]:
    """Those of each layer. Made at once, views cost a fraction of what single ones do."""
    residual = (*weights.residual.transpose(1, 2).unbind(), None)
    residual_bias = (*weights.residual_bias.unbind(), None)
    none = (None,) * len(weights.bias)
    conditioning = none if weights.conditioning is None else weights.conditioning.unbind()
    taps, bias = taps_by_layer(weights.taps.transpose(2, 3)), weights.bias.unbind()
    parts = zip(taps, bias, residual, residual_bias, conditioning, strict=True)
    return [LayerWeights(*part) for part in parts]


def taps_by_layer(taps: Tensor) -> list[tuple[Tensor, ...]]:
    """(L, T, ...) -> for each layer a view of each tap."""
    flat, count = taps.flatten(0, 1).unbind(), taps.shape[1]
    return [flat[i : i + count] for i in range(0, len(flat), count)]


def filled_up(channels: int, multiple: int) -> int:
    """The next multiple."""
    return ceil_div(channels, multiple) * multiple


def fill_up(rows: Tensor, multiple: int) -> Tensor:
    """Channels of zeros behind those that there are, up to the next multiple."""
    more = filled_up(rows.shape[1], multiple) - rows.shape[1]
    return torch.nn.functional.pad(rows, (0, more)) if more else rows


def _residual_bias_gradient(taps: Tensor, dbias: Tensor) -> Tensor:
    """(L - 1, R): the gradient of the residual stream behind each layer, summed over its rows.

    Each later layer adds dh @ tap to it for every tap, so its sum over rows grows by the sum of dh,
    which is `dbias`, times the sum of the taps: no row has to be read again.
    """
    added = torch.bmm(dbias[:, None], taps.sum(3))[:, 0]  # (L, R)
    later = added.new_ones(len(added) - 1, len(added)).triu_(1)
    return later @ added


def _filled(t: Tensor, sizes: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A contiguous copy, with zeros behind it along each axis up to its size."""
    if tuple(t.shape) == tuple(sizes):
        return t.to(dtype, copy=True, memory_format=torch.contiguous_format)
    filled = t.new_zeros(sizes, dtype=dtype)
    filled[tuple(slice(n) for n in t.shape)] = t
    return filled


def _contiguous(t: Tensor, dtype: torch.dtype) -> Tensor:
    if t.dtype == dtype and t.is_contiguous():
        return t
    return t.to(dtype, copy=True, memory_format=torch.contiguous_format)


def _scale(t: Tensor, factor: float) -> None:
    if factor != 1:
        t.mul_(factor)
