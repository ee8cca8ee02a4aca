"""The gated stack's forward and backward pass in time-major layout, the backward pass written out by hand.

A row is one moment of one window, its channels side by side; rows go by time, then by window: row = time * batch + window. So what
the tap `back` samples ago hears is the same matrix from another row on: no padding, no copies, and products add up in place.

    for each layer, for each block of rows that fits the processor's cache:
        h     = bias + sum over taps k of x[(lookback - offset of k) * batch + rows] @ taps[k]^T   (rows, 2G)
        h    += shares of the frames around each moment @ told                               with conditions
        t, s  = sigmoid of h's halves; the filter's half of taps and bias was doubled, for tanh(a) = 2 sigmoid(2a) - 1
        z     = (2t - 1) s                                                                   (rows, G)
        next  = x[lookback * batch + rows] + residual_bias + z @ residual^T                  (rows, R)
        skips += z @ skip^T, for the rows that are predicted from                            (rows, S)

Sigmoid in place of tanh: torch's takes a sixth of the time, to the same 1e-7. Only x and h are kept for the backward pass; z is
one product away. With `group` set, only the x of every group-th layer is kept and the rest is computed again.

Backward, the gradient of the residual stream lives in one matrix of the first layer's length. A layer's output is the last rows of
its input's place, so the residual path's gradient is there already, and each tap adds its part some rows further up.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = (
    4 << 20
)  # of a block's rows, x to skips, on a CPU: small enough for its caches, large enough to be worth the calls
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class LayerWeights(NamedTuple):
    """One layer's weights, the filter's half of `taps` and `bias` doubled. The last layer has no residual path."""

    taps: Tensor  # (T, 2G, R), one for each of the layer's offsets, oldest first
    bias: Tensor  # (2G,)
    residual: Tensor | None  # (R, G)
    residual_bias: Tensor | None  # (R,)
    skip: Tensor  # (S, G)
    skip_bias: Tensor  # (S,)
    told: Tensor | None = (
        None  # (F, batch, 2G) what conditions add to h, at frame rate; doubled like the taps
    )


class StackShape(NamedTuple):
    """What the rows mean."""

    offsets: tuple[
        tuple[int, ...], ...
    ]  # moments back that each tap of every layer hears, newest first: as `ModelConfig.offsets`
    batch: int
    predicted: int  # rows at the end whose skip paths are summed
    checkpoint_every: (
        int  # layers whose activations are computed again in the backward pass, 0 to keep all
    )
    compiled: bool = False  # the passes over the gates are fused by torch.compile
    hop: int = 1  # moments from one frame of conditions to the next
    phase: int = 0  # moments from the first frame to the first row
    time: int = 0  # moments of x


def gated_stack(
    x: Tensor, layers: Sequence[LayerWeights], shape: StackShape, shares: Tensor | None = None
) -> Tensor:
    """x (time * batch, R) -> the skip paths' sum (predicted, S).

    shares (N * hop, N + 1): how much each moment has of the frames around it, in a stretch that begins on a frame.
    """
    flat = [w for layer in layers for w in layer]
    skips: Tensor = _GatedStack.apply(x, shape, torch.is_grad_enabled(), shares, *flat)  # type: ignore[no-untyped-call]
    return skips


def _unflatten(flat: Sequence[Any]) -> list[LayerWeights]:
    n = len(LayerWeights._fields)
    return [LayerWeights(*flat[i : i + n]) for i in range(0, len(flat), n)]


def _blocks(rows: int, width: int, like: Tensor, batch: int) -> list[tuple[int, int]]:
    """Rows from, to, whole moments of all windows; on a GPU all at once."""
    size = (
        max(256, BLOCK_BYTES // (width * like.element_size()))
        if like.device.type == "cpu"
        else max(1, rows)
    )
    size = -(-size // batch) * batch
    return [(a, min(rows, a + size)) for a in range(0, rows, size)]


def _frame_blocks(
    shares: Tensor, told: Tensor, rows: int, a: int, b: int, shape: StackShape
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """For rows a ... b of a layer's last `rows` ones: some of their moments, their shares, and the frames shared (frames, batch * 2G)."""
    first = shape.phase + shape.time - (rows - a) // shape.batch
    frames, moments, at = told.flatten(1), (b - a) // shape.batch, 0
    if len(told) == 1:  # a label, which never changes
        yield slice(moments), shares.expand(moments, 1), frames
        return
    while at < moments:
        frame, inside = divmod(first + at, shape.hop)
        count = min(len(shares) - inside, moments - at)
        near = frames[frame : frame + shares.shape[1]]
        yield slice(at, at + count), shares[inside : inside + count, : len(near)], near
        at += count


class _GatedStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shape: StackShape,
        keep: bool,
        shares: Tensor | None,
        *flat: Tensor | None,
    ) -> Tensor:
        layers = _unflatten(flat)
        skips = (
            torch.stack([layer.skip_bias for layer in layers])
            .sum(0)
            .expand(shape.predicted, -1)
            .clone()
        )
        kept: list[Tensor] = [
            x
        ]  # x and h of every layer in turn, or with a group, the x of every group's first layer
        for i, layer in enumerate(layers):
            h = (
                _empty(x, _rows_after(x, i, shape), layer.bias.numel())
                if keep and not shape.checkpoint_every
                else None
            )
            out = _forward(x, h, layer, i, shape, skips, shares)
            if h is not None:
                kept.append(h)
            if out is not None:
                x = out
                if keep and (not shape.checkpoint_every or (i + 1) % shape.checkpoint_every == 0):
                    kept.append(x)
        ctx.shape = shape
        ctx.save_for_backward(shares, *flat, *kept)
        return skips

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dskips: Tensor) -> tuple[Tensor | None, ...]:
        shape, dskips = ctx.shape, dskips.contiguous()
        weights = len(LayerWeights._fields) * len(shape.offsets)
        shares, *saved = ctx.saved_tensors
        layers, saved = _unflatten(saved[:weights]), saved[weights:]
        dx = torch.zeros_like(
            saved[0]
        )  # the gradient of every layer's x in turn, each the last rows of the one before
        grads: list[tuple[Tensor | None, ...]] = []
        dskip_bias = dskips.sum(0)
        group = shape.checkpoint_every or len(layers)
        for start in reversed(range(0, len(layers), group)):
            which = range(start, min(start + group, len(layers)))
            kept = (
                _recompute(saved[start // group], layers, which, shape, shares)
                if shape.checkpoint_every
                else list(zip(saved[::2], saved[1::2], strict=True))
            )
            for i in reversed(which):
                x, h = kept[i - start]
                # cloned, since whoever scales or adds to gradients in place does it to each
                *own, dtold = _backward(x, h, layers[i], i, shape, dx, dskips, shares)
                grads.append((*own, dskip_bias.clone(), dtold))
            del kept
        return dx, None, None, None, *(g for layer in reversed(grads) for g in layer)


def _recompute(
    x: Tensor,
    layers: Sequence[LayerWeights],
    which: range,
    shape: StackShape,
    shares: Tensor | None,
) -> list[tuple[Tensor, Tensor]]:
    """x and h of a group of layers, from the first one's x."""
    kept = []
    for i in which:
        h = _empty(x, _rows_after(x, i, shape), layers[i].bias.numel())
        layer = layers[i] if i != which[-1] else layers[i]._replace(residual=None)
        kept.append((x, h))
        out = _forward(x, h, layer, i, shape, None, shares)
        if out is not None:
            x = out
    return kept


def _forward(
    x: Tensor,
    h: Tensor | None,
    layer: LayerWeights,
    i: int,
    shape: StackShape,
    skips: Tensor | None,
    shares: Tensor | None,
) -> Tensor | None:
    """Fill `h` when given, add to `skips` when given, and return the next layer's x (None after the last)."""
    *older, lookback = _starts(shape, i)
    rows = x.shape[0] - lookback
    out = None if layer.residual is None else _empty(x, rows, x.shape[1])
    first = rows - shape.predicted
    blocks = _blocks(rows, x.shape[1] * 2 + layer.bias.numel() * 2, x, shape.batch)
    scratch = _empty(x, blocks[0][1], layer.bias.numel()) if h is None else None
    minus_z = _empty(x, blocks[0][1], layer.bias.numel() // 2)
    for a, b in blocks:
        gates = h[a:b] if h is not None else scratch[: b - a]  # type: ignore[index]
        torch.addmm(layer.bias, x[lookback + a : lookback + b], layer.taps[-1].t(), out=gates)
        for start, tap in zip(older, layer.taps, strict=False):
            gates.addmm_(x[start + a : start + b], tap.t())
        if shares is not None and layer.told is not None:
            for moments, share, frames in _frame_blocks(shares, layer.told, rows, a, b, shape):
                gates.view(-1, frames.shape[1])[moments].addmm_(share, frames)
        z = minus_z[: b - a]
        _gates(shape)[0](gates, z)
        if out is not None and layer.residual is not None and layer.residual_bias is not None:
            torch.add(x[lookback + a : lookback + b], layer.residual_bias, out=out[a:b])
            out[a:b].addmm_(z, layer.residual.t(), alpha=-1)
        if skips is not None and b > first:
            at = max(a, first)
            skips[at - first : b - first].addmm_(z[at - a :], layer.skip.t(), alpha=-1)
    return out


def _backward(
    x: Tensor,
    h: Tensor,
    layer: LayerWeights,
    i: int,
    shape: StackShape,
    dx: Tensor,
    dskips: Tensor,
    shares: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Gradients of the layer's weights, but for the skip path's bias, and of what it was told.

    On entry the last rows of `dx` hold the gradient of its output, on return that of its input.
    """
    rows, starts, first = h.shape[0], _starts(shape, i), h.shape[0] - shape.predicted
    half = h.shape[1] // 2
    dout, din = dx[-rows:], dx[-x.shape[0] :]
    # dh below is short of a factor: its filter's half by -1/2, so that two fused passes make it. Taps and gradients make up for it.
    factor = torch.ones(h.shape[1], dtype=h.dtype, device=h.device)
    factor[:half] = -2
    taps = layer.taps * factor[:, None]
    dtaps, dbias, dskip = (
        torch.zeros_like(taps),
        torch.zeros_like(layer.bias),
        torch.zeros_like(layer.skip),
    )
    dresidual = None if layer.residual is None else torch.zeros_like(layer.residual)
    dresidual_bias = None if layer.residual is None else dout.sum(0)
    dtold = None if layer.told is None else torch.zeros_like(layer.told)
    blocks = _blocks(rows, x.shape[1] * 2 + h.shape[1] * 2, x, shape.batch)
    minus_z, minus_dz, dh = (_empty(x, blocks[0][1], width) for width in (half, half, 2 * half))
    for a, b in blocks:
        z, dz, d = _minus_z(h[a:b], minus_z[: b - a]), minus_dz[: b - a], dh[: b - a]
        if layer.residual is not None and dresidual is not None:
            torch.addmm(dz, dout[a:b], layer.residual, beta=0, alpha=-1, out=dz)
            dresidual.addmm_(dout[a:b].t(), z, alpha=-1)
        else:
            dz.zero_()
        if b > first:
            at = max(a, first)
            dz[at - a :].addmm_(dskips[at - first : b - first], layer.skip, alpha=-1)
            dskip.addmm_(dskips[at - first : b - first].t(), z[at - a :], alpha=-1)
        _gates(shape)[1](h[a:b], dz, d, dbias)
        for k in reversed(
            range(len(taps))
        ):  # the newest first: its rows are those that dout lay in
            dtaps[k].addmm_(d.t(), x[starts[k] + a : starts[k] + b])
            din[starts[k] + a : starts[k] + b].addmm_(d, taps[k])
        if shares is not None and dtold is not None:
            for moments, share, frames in _frame_blocks(shares, dtold, rows, a, b, shape):
                frames.addmm_(share.t(), d.view(-1, frames.shape[1])[moments])
    return (
        dtaps * factor[:, None],
        dbias * factor,
        dresidual,
        dresidual_bias,
        dskip,
        None if dtold is None else dtold * factor,
    )


def _open_gates(h: Tensor, minus_z: Tensor) -> None:
    """h -> its sigmoids, in place, and what they let through."""
    h.sigmoid_()
    _minus_z(h, minus_z)


def _close_gates(h: Tensor, minus_dz: Tensor, dh: Tensor, dbias: Tensor) -> None:
    """From the gates' sigmoids and -dz, fill dh, its filter's half short of a factor of -2, and add its rows up in `dbias`."""
    half = h.shape[1] // 2
    torch.mul(minus_dz, h[:, half:], out=dh[:, :half])  # the filter's: 2 dz s
    torch.addcmul(
        minus_dz, minus_dz, h[:, :half], value=-2, out=dh[:, half:]
    )  # the gate's: dz (2t - 1)
    _sigmoid_backward(dh, h, grad_input=dh)
    dbias += dh.sum(0)


@cache
def _fused() -> tuple[Callable[..., None], Callable[..., None]]:
    return torch.compile(_open_gates, dynamic=True), torch.compile(_close_gates, dynamic=True)


def _gates(shape: StackShape) -> tuple[Callable[..., None], Callable[..., None]]:
    return _fused() if shape.compiled else (_open_gates, _close_gates)


def _minus_z(gates: Tensor, out: Tensor) -> Tensor:
    """-z = s - 2 t s, in one pass."""
    half = gates.shape[1] // 2
    s = gates[:, half:]
    return torch.addcmul(s, gates[:, :half], s, value=-2, out=out)


def _starts(shape: StackShape, i: int) -> list[int]:
    """Rows of a layer's x at which its taps begin to hear, oldest first, so from 0 up to as many as the layer looks back."""
    heard = shape.offsets[i]
    return [(heard[-1] - back) * shape.batch for back in reversed(heard)]


def _rows_after(x: Tensor, i: int, shape: StackShape) -> int:
    return x.shape[0] - shape.offsets[i][-1] * shape.batch


def _empty(like: Tensor, rows: int, columns: int) -> Tensor:
    return torch.empty(rows, columns, dtype=like.dtype, device=like.device)
