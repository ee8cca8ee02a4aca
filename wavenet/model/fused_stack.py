"""The gated stack's forward and backward pass, fused and time-major; the backward pass by hand.

`reference` is the same stack in ordinary convolutions: read it first.

A row holds the channels of one time step of one window. Rows go by time, then by window: row = time
* batch + window. The input of a tap with offset d is then the same matrix from another row on:
there is no padding and nothing is copied, and products add up in place.

    for each group of layers, for each of its layers, for each block of rows:
        h     = bias + sum over taps k of x[start of k + rows] @ taps[k]^T       (rows, 2G)
        h    += interpolation weights @ the frames around each time step         where conditioned
        z     = tanh(h's filter half) * sigmoid(h's gate half)                   (rows, G)
        next  = x[start of the newest tap + rows] + residual_bias + z @ residual^T   (rows, R)
    and once for the group, whose z lie side by side:
        skips += z @ skip^T, for the rows that are predicted from                (rows, S)

Only x and what `gates` makes of h are kept for the backward pass; z is one pass away. With
`checkpoint_every` = N only the x of every Nth layer is kept, and the rest is computed again.

Backward, the gradient of the residual stream lives in one matrix of the first layer's length. A
layer's output takes the place of the last rows of its input, so the residual path's gradient is
there already, and each tap adds its part some rows further up.

How the work is cut depends on the device (`stack_shape.Form`). On a CPU a group is one layer, and a
block of rows fits the caches. On a GPU, where starting a kernel costs as much as a small one takes,
a block is all rows and a group is several layers: their skip paths, the gradients of these, and all
bias gradients are one product or sum each, and the skip paths' sum over layers is made in float32.
What lies side by side lives for as long as its group.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet.model.stack_shape import StackShape
from wavenet.model.stack_weights import (
    LayerWeights,
    StackParameters,
    StackWeights,
    WeightGradients,
    fill_up,
    gradients_of_parameters,
    layer_weights,
    new_gradients,
    prepare,
    taps_by_layer,
    taps_for_gradients,
)


def gated_stack(x: Tensor, parameters: StackParameters, shape: StackShape) -> Tensor:
    """x (time * batch, R) -> the skip paths' sum (predicted, S), in the precision of x."""
    grad = torch.is_grad_enabled()
    skips: Tensor = _GatedStack.apply(x, shape, grad, *parameters)  # type: ignore[no-untyped-call]
    return skips


class _GatedStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: StackShape, grad: bool, *parameters: Tensor | None
    ) -> Tensor:
        p = StackParameters(*parameters)  # type: ignore[arg-type]
        weights = prepare(p, x.dtype, shape.form.gates, shape.form.multiple)
        layers = layer_weights(weights)
        x = fill_up(x, shape.form.multiple)
        skips = weights.skip_bias.expand(shape.predicted, -1).clone()
        keep = grad and not shape.checkpoint_every
        # x and h of every layer in turn, or with `checkpoint_every` the x of every Nth layer.
        kept: list[Tensor] = []
        for segment in shape.segments():
            if grad and not keep:
                kept.append(x)
            for group in shape.groups(segment):
                skip = weights.skip[:, group.start : group.stop].flatten(1).t()
                x, pairs = _forward(x, group, layers, shape, (skips, skip), shape.last, keep=keep)
                kept += [t for pair in pairs for t in pair]
        ctx.shape = shape
        ctx.save_for_backward(*p, *weights, *kept)
        return skips[:, : p.skip.shape[1]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dskips: Tensor) -> tuple[Tensor | None, ...]:
        shape: StackShape = ctx.shape
        saved, n = ctx.saved_tensors, len(StackParameters._fields)
        p, weights, saved = (
            StackParameters(*saved[:n]),
            StackWeights(*saved[n : 2 * n]),
            saved[2 * n :],
        )
        dskips = fill_up(dskips.contiguous(), shape.form.multiple)
        # The gradient of every layer's x in turn, each the last rows of the one before.
        dx = torch.zeros_like(saved[0])
        d = new_gradients(weights, shape.batch, dskips)
        layers, matrices = layer_weights(weights), _matrices(weights, d, shape)
        for s, segment in reversed(list(enumerate(shape.segments()))):
            if shape.checkpoint_every:
                kept = _recompute(saved[s], segment, layers, shape)
            else:
                kept = list(zip(saved[::2], saved[1::2], strict=True))
            for group in reversed(shape.groups(segment)):
                of_group = kept[group.start - segment.start :][: len(group)]
                _backward(of_group, group, matrices, weights, shape, dx, dskips, d)
            del kept, of_group
        gradients = gradients_of_parameters(d, p, shape.form.gates)
        return dx[:, : p.taps.shape[2]], None, None, *gradients


def _recompute(
    x: Tensor, segment: range, layers: Sequence[LayerWeights], shape: StackShape
) -> list[tuple[Tensor, Tensor]]:
    """x and h of a segment's layers, from the first one's x."""
    kept = []
    for i in segment:
        x, pairs = _forward(x, range(i, i + 1), layers, shape, None, segment[-1], keep=True)
        kept += pairs
    return kept


def _forward(
    x: Tensor,
    group: range,
    layers: Sequence[LayerWeights],
    shape: StackShape,
    skip_paths: tuple[Tensor, Tensor] | None,
    last: int,
    *,
    keep: bool,
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Add the group's skip paths, when given, to their sum.

    Returns the next group's x, and with `keep` x and h of each layer. The residual path of the
    layer `last` is left out, and its own x returned. `skip_paths` are that sum (predicted, S) and
    the weights (layers * G, S).
    """
    width, kept = layers[0].bias.numel(), []
    rows_of_group = len(x) - shape.starts(group[0])[-1]
    size = shape.blocks(rows_of_group, 2 * (x.shape[1] + width), x)[0][1]
    z_of_group = x.new_empty(size, len(group), width // 2)
    z_of_layers = z_of_group.unbind(1)
    for i in group:
        layer, (*older, newest) = layers[i], shape.starts(i)
        rows = len(x) - newest
        first = rows - shape.predicted
        h = x.new_empty(rows if keep else min(rows, size), width)
        out = x if i == last else x.new_empty(rows, x.shape[1])
        for a, b in shape.blocks(rows, 2 * (x.shape[1] + width), x):
            gates, present = h[a:b] if keep else h[: b - a], x[newest + a : newest + b]
            # Behind the newest tap lie zeros where other layers have more taps.
            torch.addmm(layer.bias, present, layer.taps[len(older)], out=gates)
            for start, tap in zip(older, layer.taps, strict=False):
                gates.addmm_(x[start + a : start + b], tap)
            if layer.conditioning is not None:
                _add_frames(gates, layer.conditioning, rows - a, shape)
            # A layer with fewer rows than the group's first has the last ones.
            z = z_of_layers[i - group.start][a - b :]
            shape.gates.open_gates(gates, z)
            if i != last and layer.residual is not None:
                torch.add(present, layer.residual_bias, out=out[a:b])  # type: ignore[arg-type]
                out[a:b].addmm_(z, layer.residual)
            if i == group[-1] and skip_paths is not None and b > first:
                (skips, skip), at = skip_paths, max(a, first)
                skips[at - first : b - first].addmm_(z_of_group[at - b :].flatten(1), skip)
        kept += [(x, h)] if keep else []
        x = out
    return x, kept


class _Matrices(NamedTuple):
    """What the backward pass multiplies gradients by, and what it fills, for each layer."""

    taps: list[tuple[Tensor, ...]]  # (2G, R) each
    residual: tuple[Tensor, ...]  # (R, G)
    dtaps: list[tuple[Tensor, ...]]
    dresidual: tuple[Tensor, ...]


def _matrices(weights: StackWeights, d: WeightGradients, shape: StackShape) -> _Matrices:
    taps, dtaps = taps_for_gradients(weights, shape.form.gates), taps_by_layer(d.taps)
    return _Matrices(taps_by_layer(taps), weights.residual.unbind(), dtaps, d.residual.unbind())


def _backward(
    kept: Sequence[tuple[Tensor, Tensor]],
    group: range,
    matrices: _Matrices,
    weights: StackWeights,
    shape: StackShape,
    dx: Tensor,
    dskips: Tensor,
    d: WeightGradients,
) -> None:
    """Fill the gradients of the weights of a group's layers.

    On entry the last rows of `dx` hold the gradient of the group's output, on return that of its
    input.
    """
    width, layers = weights.bias.shape[1], slice(group.start, group.stop)
    size = shape.blocks(len(kept[0][1]), 2 * (dx.shape[1] + width), dx)[0][1]
    # Of a block, layers side by side: one with fewer rows than the first has the last ones.
    z, dz = (dx.new_empty(size, len(group), width // 2) for _ in range(2))
    dh = dx.new_empty(size, len(group), width)
    of_layers = list(zip(z.unbind(1), dz.unbind(1), dh.unbind(1), strict=True))
    skip, dskip = (t[:, layers].flatten(1) for t in (weights.skip, d.skip))
    dframes = None if d.conditioning is None else torch.zeros_like(d.conditioning[:, :, layers])
    for i in reversed(group):
        x, h = kept[i - group.start]
        first, din, newest = len(h) - shape.predicted, dx[-len(x) :], shape.starts(i)[-1]
        for a, b in shape.blocks(len(h), 2 * (dx.shape[1] + width), dx):
            z_of_layer, dz_of_layer, dh_of_layer = (t[a - b :] for t in of_layers[i - group.start])
            shape.gates.compute_z(h[a:b], z_of_layer)
            # The rows from `at` on are predicted from.
            at = min(b, max(a, first))
            dskips_of_block, predicted = dskips[at - first : b - first], size - (b - at)
            if i == group[-1]:
                # Other layers of the group have more rows, before those of this one.
                before = size - (b - a) - (len(kept[0][1]) - len(h))
                dh[before : size - (b - a)].zero_()
                dz[before:predicted].zero_()
                torch.mm(dskips_of_block, skip, out=dz[predicted:].flatten(1))
            if i == group[0]:
                z_of_block = z[predicted:].flatten(1)
                _add_product(dskip, dskips_of_block.t(), z_of_block, start=a <= first)
            if i != shape.last:
                dout = din[newest + a : newest + b]
                dz_of_layer.addmm_(dout, matrices.residual[i])
                _add_product(matrices.dresidual[i], dout.t(), z_of_layer, start=not a)
            shape.gates.close_gates(h[a:b], dz_of_layer, dh_of_layer)
            if i == group[0]:
                _add_sum(d.bias[layers].flatten(), dh[a - b :].flatten(1), start=not a)
                if dframes is not None:
                    add_frame_gradients(dframes, dh[a - b :], len(h) - a, shape)
            _backward_of_taps(x, dh_of_layer, i, a, matrices, shape, din)
    if dframes is not None and d.conditioning is not None:
        d.conditioning[:, :, layers] = dframes


def _backward_of_taps(
    x: Tensor, dh: Tensor, i: int, a: int, matrices: _Matrices, shape: StackShape, dx: Tensor
) -> None:
    """Add what a block gives, which begins at a layer's row a, to its taps' gradients and to dx."""
    transposed, starts = dh.t(), shape.starts(i)
    # The newest tap first: its rows are those that the output's gradient lay in.
    for k in reversed(range(len(starts))):
        rows = slice(starts[k] + a, starts[k] + a + len(dh))
        _add_product(matrices.dtaps[i][k], transposed, x[rows], start=not a)
        dx[rows].addmm_(dh, matrices.taps[i][k])


def _add_product(total: Tensor, a: Tensor, b: Tensor, *, start: bool) -> None:
    """total += a @ b; the first of a sum needs no zeros to start from."""
    if start:
        torch.mm(a, b, out=total)
    else:
        total.addmm_(a, b)


def _add_sum(total: Tensor, rows: Tensor, *, start: bool) -> None:
    """total += the sum of the rows, in the precision of `total`."""
    if start:
        torch.sum(rows, 0, dtype=total.dtype, out=total)
    else:
        total += rows.sum(0, dtype=total.dtype)


# --- conditioning ---------------------------------------------------------------------------------


def _add_frames(gates: Tensor, frames: Tensor, left: int, shape: StackShape) -> None:
    """Add a layer's conditioning (F, batch * 2G) to rows that begin `left` rows before the end."""
    steps = gates.view(-1, frames.shape[1])
    if len(frames) == 1:
        # It holds throughout.
        steps += frames
        return
    for rows, weights, near in _stretches(len(frames), len(steps), left, shape):
        steps[rows].addmm_(weights, frames[near])


def add_frame_gradients(dframes: Tensor, dh: Tensor, left: int, shape: StackShape) -> None:
    """The same backward, for some layers: dframes (F, batch, layers, 2G), dh (rows, layers, 2G)."""
    dframes = dframes.flatten(1)
    steps = dh.view(-1, dframes.shape[1])
    if len(dframes) == 1:
        dframes += steps.sum(0)
        return
    for rows, weights, near in _stretches(len(dframes), len(steps), left, shape):
        dframes[near].addmm_(weights.t(), steps[rows])


def _stretches(
    frames: int, steps: int, left: int, shape: StackShape
) -> Iterator[tuple[slice, Tensor, slice]]:
    """Time steps that share frames, how much each has of each frame, and which frames these are.

    The first of the time steps lies `left` rows before the end of x.
    """
    interp_weights, multiple = shape.interp_weights, shape.form.multiple
    assert interp_weights is not None
    first, at = shape.frame_offset + shape.time - left // shape.batch, 0
    while at < steps:
        frame, inside = divmod(first + at, shape.hop)
        count = min(len(interp_weights) - inside, steps - at)
        # Where columns are filled up, so are the frames behind the last one.
        columns = min(interp_weights.shape[1], (frames - frame) // multiple * multiple)
        weights = interp_weights[inside : inside + count, :columns]
        yield slice(at, at + count), weights, slice(frame, frame + columns)
        at += count
