"""The gated stack's forward and backward pass, fused and time-major; the backward pass by hand.

`reference` is the same stack in ordinary convolutions: read it first.

A row holds the channels of one time step of one window. Rows go by time, then by window: row = time
* batch + window. The input of a tap with offset d is then the same matrix from another row on:
there is no padding and nothing is copied, and products add up in place.

    for each layer, for each block of rows that fits the processor's cache:
        h     = bias + sum over taps k of x[start of k + rows] @ taps[k]^T       (rows, 2G)
        h    += interpolation weights @ the frames around each time step         where conditioned
        t, s  = sigmoid of h's halves
        z     = (2 t - 1) s                                                      (rows, G)
        next  = x[start of the newest tap + rows] + residual_bias + z @ residual^T   (rows, R)
        skips += z @ skip^T, for the rows that are predicted from                (rows, S)

The filter's half of taps and bias was doubled beforehand, since tanh(a) = 2 sigmoid(2 a) - 1, and
torch's sigmoid takes a sixth of its tanh's time, to the same 1e-7. Only x and h are kept for the
backward pass; z is one product away. With `checkpoint_every` = N only the x of every Nth layer is
kept, and the rest is computed again.

Backward, the gradient of the residual stream lives in one matrix of the first layer's length. A
layer's output takes the place of the last rows of its input, so the residual path's gradient is
there already, and each tap adds its part some rows further up.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet.arithmetic import ceil_div

# Of a block's rows, x to skips, on a CPU: small enough for its caches, large enough to be worth the
# calls.
BLOCK_BYTES = 4 << 20
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class LayerWeights(NamedTuple):
    """One layer's weights, the filter's half of `taps`, `bias` and `conditioning` doubled.

    There is a tap for each of the layer's offsets, oldest first. The last layer has no residual
    path. `conditioning` is what the layer makes of its features, at frame rate.
    """

    taps: Tensor  # (T, 2G, R)
    bias: Tensor  # (2G,)
    residual: Tensor | None  # (R, G)
    residual_bias: Tensor | None  # (R,)
    skip: Tensor  # (S, G)
    skip_bias: Tensor  # (S,)
    conditioning: Tensor | None = None  # (F, batch, 2G)


class StackShape(NamedTuple):
    """What the rows mean. `offsets` are those of `ModelConfig.offsets`."""

    offsets: tuple[tuple[int, ...], ...]
    batch: int
    predicted: int  # rows at the end whose skip paths are summed
    checkpoint_every: int  # layers; 0 keeps all
    compiled: bool = False  # the passes over the gates, by torch.compile
    hop: int = 1  # time steps from frame to frame
    frame_offset: int = 0  # time steps from the first frame to the first row
    time: int = 0  # time steps of x
    # How much each time step has of the frames around it, in rows that begin on a frame:
    # (N * hop, N + 1). No gradient flows to it.
    interp_weights: Tensor | None = None


def gated_stack(x: Tensor, layers: Sequence[LayerWeights], shape: StackShape) -> Tensor:
    """x (time * batch, R) -> the skip paths' sum (predicted, S)."""
    flat = [w for layer in layers for w in layer]
    grad = torch.is_grad_enabled()
    skips: Tensor = _GatedStack.apply(x, shape, grad, *flat)  # type: ignore[no-untyped-call]
    return skips


def _unflatten(flat: Sequence[Any]) -> list[LayerWeights]:
    n = len(LayerWeights._fields)
    return [LayerWeights(*flat[i : i + n]) for i in range(0, len(flat), n)]


def _blocks(rows: int, width: int, like: Tensor, batch: int) -> list[tuple[int, int]]:
    """First and last row of each block: whole time steps of all windows; on a GPU all at once."""
    size = max(256, BLOCK_BYTES // (width * like.element_size())) if like.is_cpu else max(1, rows)
    size = ceil_div(size, batch) * batch
    return [(a, min(rows, a + size)) for a in range(0, rows, size)]


def _frame_blocks(
    conditioning: Tensor | None, rows: int, a: int, b: int, shape: StackShape
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """For rows a ... b of a layer's last `rows` ones: time steps, their weights, and the frames.

    The frames are (frames, batch * 2G). There are none without conditioning.
    """
    interp_weights = shape.interp_weights
    if conditioning is None or interp_weights is None:
        return
    frames, steps = conditioning.flatten(1), (b - a) // shape.batch
    # A single frame holds throughout.
    if len(conditioning) == 1:
        yield slice(steps), interp_weights.expand(steps, 1), frames
        return
    first, at = shape.frame_offset + shape.time - (rows - a) // shape.batch, 0
    while at < steps:
        frame, inside = divmod(first + at, shape.hop)
        count = min(len(interp_weights) - inside, steps - at)
        near = frames[frame : frame + interp_weights.shape[1]]
        yield slice(at, at + count), interp_weights[inside : inside + count, : len(near)], near
        at += count


class _GatedStack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: StackShape, grad: bool, *flat: Tensor | None) -> Tensor:
        layers = _unflatten(flat)
        every = shape.checkpoint_every
        skip_bias = torch.stack([layer.skip_bias for layer in layers]).sum(0)
        skips = skip_bias.expand(shape.predicted, -1).clone()
        # x and h of every layer in turn, or with `checkpoint_every` the x of every Nth layer.
        kept: list[Tensor] = []
        for i, layer in enumerate(layers):
            if grad and (not every or i % every == 0):
                kept.append(x)
            x, h = _forward(x, layer, i, shape, skips, keep=grad and not every)
            kept += [] if h is None else [h]
        ctx.shape = shape
        ctx.save_for_backward(*flat, *kept)
        return skips

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dskips: Tensor) -> tuple[Tensor | None, ...]:
        shape, dskips = ctx.shape, dskips.contiguous()
        weights = len(LayerWeights._fields) * len(shape.offsets)
        layers, saved = _unflatten(ctx.saved_tensors[:weights]), ctx.saved_tensors[weights:]
        # The gradient of every layer's x in turn, each the last rows of the one before.
        dx = torch.zeros_like(saved[0])
        grads: list[tuple[Tensor | None, ...]] = []
        dskip_bias = dskips.sum(0)
        every = shape.checkpoint_every or len(layers)
        for start in reversed(range(0, len(layers), every)):
            which = range(start, min(start + every, len(layers)))
            if shape.checkpoint_every:
                kept = _recompute(saved[start // every], layers, which, shape)
            else:
                kept = list(zip(saved[::2], saved[1::2], strict=True))
            for i in reversed(which):
                x, h = kept[i - start]
                *own, dconditioning = _backward(x, h, layers[i], i, shape, dx, dskips)
                # Cloned, since whoever scales or adds to gradients in place does it to each.
                grads.append((*own, dskip_bias.clone(), dconditioning))
            del kept
        return dx, None, None, *(g for layer in reversed(grads) for g in layer)


def _recompute(
    x: Tensor, layers: Sequence[LayerWeights], which: range, shape: StackShape
) -> list[tuple[Tensor, Tensor]]:
    """x and h of some layers, from the first one's x."""
    kept = []
    for i in which:
        layer = layers[i] if i != which[-1] else layers[i]._replace(residual=None)
        out, h = _forward(x, layer, i, shape, None, keep=True)
        kept.append((x, cast(Tensor, h)))
        x = out
    return kept


def _forward(
    x: Tensor, layer: LayerWeights, i: int, shape: StackShape, skips: Tensor | None, *, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Add to `skips` when given, and return the next layer's x, and this one's h with `keep`.

    Without a residual path the next layer's x is this one's own.
    """
    *older, newest = _starts(shape, i)
    rows, width = len(x) - newest, layer.bias.numel()
    out = x if layer.residual is None else x.new_empty(rows, x.shape[1])
    first = rows - shape.predicted
    blocks = _blocks(rows, x.shape[1] * 2 + width * 2, x, shape.batch)
    h = x.new_empty(rows if keep else blocks[0][1], width)
    minus_z = x.new_empty(blocks[0][1], width // 2)
    for a, b in blocks:
        gates = h[a:b] if keep else h[: b - a]
        torch.addmm(layer.bias, x[newest + a : newest + b], layer.taps[-1].t(), out=gates)
        for start, tap in zip(older, layer.taps, strict=False):
            gates.addmm_(x[start + a : start + b], tap.t())
        for steps, weights, frames in _frame_blocks(layer.conditioning, rows, a, b, shape):
            gates.view(-1, frames.shape[1])[steps].addmm_(weights, frames)
        z = minus_z[: b - a]
        _gates(shape)[0](gates, z)
        if layer.residual is not None and layer.residual_bias is not None:
            torch.add(x[newest + a : newest + b], layer.residual_bias, out=out[a:b])
            out[a:b].addmm_(z, layer.residual.t(), alpha=-1)
        if skips is not None and b > first:
            at = max(a, first)
            skips[at - first : b - first].addmm_(z[at - a :], layer.skip.t(), alpha=-1)
    return out, h if keep else None


def _backward(
    x: Tensor, h: Tensor, layer: LayerWeights, i: int, shape: StackShape, dx: Tensor, dskips: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of the layer's weights, but for the skip path's bias, and of its conditioning.

    On entry the last rows of `dx` hold the gradient of its output, on return that of its input.
    """
    rows, starts, first = len(h), _starts(shape, i), len(h) - shape.predicted
    half = h.shape[1] // 2
    dout, din = dx[-rows:], dx[-x.shape[0] :]
    # dh below is short of a factor, its filter's half of -2, so that two fused passes make it. Taps
    # and gradients make up for it.
    factor = h.new_ones(2 * half)
    factor[:half] = -2
    taps = layer.taps * factor[:, None]
    dtaps, dbias = torch.zeros_like(taps), torch.zeros_like(layer.bias)
    dskip = torch.zeros_like(layer.skip)
    dresidual = None if layer.residual is None else torch.zeros_like(layer.residual)
    dresidual_bias = None if layer.residual is None else dout.sum(0)
    dconditioning = None if layer.conditioning is None else torch.zeros_like(layer.conditioning)
    blocks = _blocks(rows, x.shape[1] * 2 + h.shape[1] * 2, x, shape.batch)
    minus_z, minus_dz, dh = (x.new_empty(blocks[0][1], n) for n in (half, half, 2 * half))
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
        # The newest tap first: its rows are those that dout lay in.
        for k in reversed(range(len(taps))):
            dtaps[k].addmm_(d.t(), x[starts[k] + a : starts[k] + b])
            din[starts[k] + a : starts[k] + b].addmm_(d, taps[k])
        for steps, weights, frames in _frame_blocks(dconditioning, rows, a, b, shape):
            frames.addmm_(weights.t(), d.view(-1, frames.shape[1])[steps])
    if dconditioning is not None:
        dconditioning = dconditioning * factor
    dtaps, dbias = dtaps * factor[:, None], dbias * factor
    return dtaps, dbias, dresidual, dresidual_bias, dskip, dconditioning


def _open_gates(h: Tensor, minus_z: Tensor) -> None:
    """h becomes its sigmoids, in place; fill `minus_z`."""
    h.sigmoid_()
    _minus_z(h, minus_z)


def _close_gates(h: Tensor, minus_dz: Tensor, dh: Tensor, dbias: Tensor) -> None:
    """From the gates' sigmoids and -dz, fill dh and add its rows up in `dbias`.

    dh's filter's half is short of a factor of -2.
    """
    half = h.shape[1] // 2
    # The filter's half: 2 dz s. The gate's: dz (2t - 1).
    torch.mul(minus_dz, h[:, half:], out=dh[:, :half])
    torch.addcmul(minus_dz, minus_dz, h[:, :half], value=-2, out=dh[:, half:])
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
    """The first row of x that each tap of a layer reads, oldest tap first, which begins at 0."""
    offsets = shape.offsets[i]
    return [(offsets[-1] - offset) * shape.batch for offset in reversed(offsets)]
