"""The gated stack's forward and backward pass on a CPU, in float32.

The same computation as `fused_stack`, with the same arguments; `kernels` does it, in as many
threads as torch has.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet.glossary import Array
from wavenet.model.cpu_stack import kernels
from wavenet.model.cpu_stack.kernels import Biases, Panels, Sizes, TransposedPanels
from wavenet.model.fused_stack import add_frame_gradients
from wavenet.model.gates import TANH
from wavenet.model.stack_shape import StackShape
from wavenet.model.stack_weights import (
    StackParameters,
    StackWeights,
    WeightGradients,
    fill_up,
    gradients_of_parameters,
    prepare,
)
from wavenet.simd.compiled import compiled
from wavenet.simd.writer import LANES

MULTIPLE = max(LANES, kernels.TALL)

_forward, _backward = compiled(kernels.forward_layers), compiled(kernels.backward_layers)


def gated_stack(x: Tensor, parameters: StackParameters, shape: StackShape) -> Tensor:
    """x (time * batch, R) -> the skip paths' sum (predicted, S)."""
    grad = torch.is_grad_enabled()
    skips: Tensor = _GatedStack.apply(x, shape, grad, *parameters)  # type: ignore[no-untyped-call]
    return skips


class _Stack:
    """The weights of all layers and what the kernels have to know of the rows."""

    def __init__(self, weights: StackWeights, shape: StackShape) -> None:
        layers, taps, width, r = weights.taps.shape
        s, g, batch = len(weights.skip), width // 2, shape.batch
        self.weights, self.shape = weights, shape
        frames = 0 if weights.conditioning is None else weights.conditioning.shape[1]
        frames_end = shape.frame_offset + shape.time
        rows = shape.predicted
        self.sizes = Sizes(r, g, s, taps, shape.last, rows, batch, frames, shape.hop, frames_end)
        self.rows = [0] * layers
        for i in reversed(range(layers)):
            self.rows[i] = rows
            rows += shape.starts(i)[-1]
        self.zeros = np.zeros(max(r, s), np.float32)
        self.gradient_sizes = [taps * width * r, r * g, s * g, width]
        largest = rows // (4 * kernels.TALL)
        self.threads = min(torch.get_num_threads(), max(1, largest))
        self.scratch = np.empty(self.threads * 5 * kernels.BLOCK * g, np.float32)

    def forward(
        self, segment: range, x: Tensor, skips: Tensor | None, *, keep: bool
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Add the segment's skip paths to `skips`.

        Returns its output and, with `keep`, x and what is kept of h of each layer.
        """
        w, r, width = self.weights, x.shape[1], 2 * self.sizes.g
        xs, hs = [x], []
        # Without `keep` layers write by turns to two places.
        places = [x.new_empty(0 if keep else self.rows[segment[0]], r) for _ in range(2)]
        for i in segment:
            rows = self.rows[i]
            hs.append(x.new_empty(rows if keep else 0, width))
            own = keep or i == segment[-1]
            xs.append(x.new_empty(0 if i == self.shape.last else rows, r) if own else places[i % 2])
        panels = Panels(
            _panels(w.taps.transpose(2, 3)),
            _panels(w.residual.transpose(1, 2)),
            _panels(w.skip.permute(1, 2, 0)),
        )
        biases = Biases(
            _flat(w.bias),
            _flat(w.residual_bias),
            self.zeros,
            self.zeros if w.conditioning is None else _flat(w.conditioning),
        )
        _in_threads(
            _forward, self.threads, self.sizes, self._plan(segment, xs, hs), panels, biases,
            segment[0], segment[-1] + 1, self.zeros[:0] if skips is None else _flat(skips),
            self.scratch, keep,
        )  # fmt: skip
        return xs.pop(), xs, hs

    def backward(
        self,
        segment: range,
        xs: Sequence[Tensor],
        hs: Sequence[Tensor],
        dskips: Tensor,
        dout: Tensor,
        gradients: Tensor,
    ) -> Tensor:
        """Fill the gradients (layers, size) of the segment's layers; what is kept of h becomes dh.

        `dout` is the gradient of the segment's output. Returns that of its x.
        """
        w, r = self.weights, xs[0].shape[1]
        panels = TransposedPanels(
            _panels(w.taps), _panels(w.residual), _panels(w.skip.transpose(0, 1))
        )
        dx = torch.empty_like(xs[0])
        douts = dx.new_empty(2 * self.rows[segment[0]] * r)
        buffers = np.empty(2 * self.threads * sum(self.gradient_sizes), np.float32)
        _in_threads(
            _backward, self.threads, self.sizes, self._plan(segment, xs, hs), panels, self.zeros,
            segment[0], segment[-1] + 1, _flat(dskips), _flat(dout), _flat(douts), _flat(dx),
            self.scratch, buffers, _flat(gradients),
        )  # fmt: skip
        return dx

    def weight_gradients(self, gradients: Tensor, dskips: Tensor) -> WeightGradients:
        """The parts of what `backward` fills, and room for the frames' gradients."""
        z, layers, frames = self.sizes, len(self.rows), None
        taps, residual, skip, bias = torch.split(gradients, self.gradient_sizes, 1)
        if self.weights.conditioning is not None:
            frames = dskips.new_empty(z.frames, z.batch, layers, 2 * z.g)
        return WeightGradients(
            taps.view(layers, z.taps, 2 * z.g, z.r),
            bias,
            residual.view(layers, z.r, z.g)[:-1],
            skip.view(layers, z.s, z.g).transpose(0, 1),
            dskips.sum(0),
            frames,
        )

    def fill_frame_gradients(self, segment: range, dhs: Sequence[Tensor], dframes: Tensor) -> None:
        """dframes (F, batch, layers, 2G) of a segment's layers, from what `backward` made of hs."""
        for i, dh in zip(segment, dhs, strict=True):
            total = torch.zeros_like(dframes[:, :, i : i + 1])
            add_frame_gradients(total, dh[:, None], len(dh), self.shape)
            dframes[:, :, i : i + 1] = total

    def _plan(self, segment: range, xs: Sequence[Tensor], hs: Sequence[Tensor]) -> Array:
        """The kernels' plan of a segment's layers."""
        r, width, taps = self.sizes.r, 2 * self.sizes.g, self.sizes.taps
        plan = np.zeros((len(self.rows) + 1, kernels.LAGS + 2 * taps), np.int64)
        for i, rows in enumerate(self.rows):
            starts = np.asarray(self.shape.starts(i))
            plan[i, kernels.ROWS], plan[i, kernels.TAPS] = rows, len(starts)
            plan[i, kernels.LAGS :][: len(starts)] = starts * r
            plan[i, kernels.LAGS + taps :][: len(starts)] = -starts * width
        for i, x, h, out in zip(segment, xs, hs, [*xs[1:], xs[-1]], strict=False):
            addresses = x.data_ptr(), out.data_ptr(), h.data_ptr()
            plan[i, kernels.X], plan[i, kernels.OUT], plan[i, kernels.H] = addresses
        return plan


def _flat(t: Tensor) -> Array:
    array: Array = t.detach().numpy().reshape(-1)
    return array


def _panels(weights: Tensor) -> Array:
    """(..., inputs, outputs) -> (..., outputs / LANES, inputs, LANES), flat."""
    *others, inputs, outputs = weights.shape
    split = weights.detach().reshape(*others, inputs, outputs // LANES, LANES)
    return _flat(split.transpose(-3, -2).contiguous())


def _in_threads(kernel: Callable[..., Any], threads: int, *arguments: Any) -> None:
    """Call a kernel in threads that wait for each other in it; this one is the first."""
    flags = np.zeros((threads + 1) * kernels.FLAG, np.int64)
    stop = flags[threads * kernels.FLAG :]

    def share(thread: int) -> None:
        try:
            kernel(*arguments, flags, thread, threads)
        except BaseException:
            # The others would wait for ever.
            stop[0] = 1
            raise

    others: list[Future[None]] = []
    # Two calls that each had some of the pool's threads would wait for the rest for ever.
    with _turn:
        try:
            others += [_pool(threads - 1).submit(share, i) for i in range(1, threads)]
            share(0)
        except BaseException:
            stop[0] = 1
            raise
        finally:
            # After Ctrl-C too, no thread may go on writing into memory that is freed.
            wait(others)
    for other in others:
        other.result()


_turn = Lock()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "wavenet-stack")


if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


class _GatedStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: StackShape, grad: bool, *parameters: Tensor | None
    ) -> Tensor:
        p = StackParameters(*parameters)  # type: ignore[arg-type]
        weights = prepare(p, torch.float32, TANH, MULTIPLE)
        x = fill_up(x.contiguous(), MULTIPLE)
        skips = weights.skip_bias.expand(shape.predicted, -1).clone()
        keep = grad and not shape.checkpoint_every
        stack = _Stack(weights, shape)
        kept: list[Tensor] = []
        for segment in shape.segments():
            if grad:
                kept.append(x)
            x, xs, hs = stack.forward(segment, x, skips, keep=keep)
            if keep:
                kept = [*xs, *hs]
        ctx.shape, ctx.taken = shape, False
        ctx.save_for_backward(*p, *weights, *kept)
        return skips[:, : p.skip.shape[1]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dskips: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.taken:
            raise RuntimeError("this gradient can be taken once: its memory was used for it")
        ctx.taken, shape = True, ctx.shape
        saved, n = ctx.saved_tensors, len(StackParameters._fields)
        p, weights, saved = (
            StackParameters(*saved[:n]),
            StackWeights(*saved[n : 2 * n]),
            saved[2 * n :],
        )
        stack = _Stack(weights, shape)
        dskips = fill_up(dskips.contiguous(), MULTIPLE)
        gradients = dskips.new_empty(len(shape.offsets), sum(stack.gradient_sizes))
        d = stack.weight_gradients(gradients, dskips)
        dx = dskips.new_empty(0)
        for s, segment in reversed(list(enumerate(shape.segments()))):
            if shape.checkpoint_every:
                _, xs, hs = stack.forward(segment, saved[s], None, keep=True)
            else:
                xs, hs = saved[: len(segment)], saved[len(segment) :]
            dx = stack.backward(segment, xs, hs, dskips, dx, gradients)
            if d.conditioning is not None:
                stack.fill_frame_gradients(segment, hs, d.conditioning)
            del xs, hs
        dparameters = gradients_of_parameters(d, p, TANH)
        return dx[:, : p.taps.shape[2]], None, None, *dparameters
