"""The gated stack's forward and backward pass on a CPU, in float32.

The same computation as `fused_stack`, with the same arguments, in as many threads as torch has.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet.glossary import Array
from wavenet.model.cpu_stack.backward import TransposedPanels, backward_layers
from wavenet.model.cpu_stack.forward import Biases, Panels, forward_layers
from wavenet.model.cpu_stack.rows import BLOCK, HEAD, LAGS, OUT, ROWS, TALL, TAPS, H, Sizes, X
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
from wavenet.simd.threads import run_in_threads
from wavenet.simd.writer import LANES

MULTIPLE = max(LANES, TALL)

_forward, _backward = compiled(forward_layers), compiled(backward_layers)


def gated_stack(x: Tensor, parameters: StackParameters, shape: StackShape) -> Tensor:
    """x (time * batch, R), float32 -> the skip paths' sum (predicted, S).

    Raises ValueError for what does not fit: kernels check no bounds.
    """
    _require_fit(x, parameters, shape)
    grad = torch.is_grad_enabled()
    skips: Tensor = _GatedStack.apply(x, shape, grad, *parameters)  # type: ignore[no-untyped-call]
    return skips


def _require_fit(x: Tensor, p: StackParameters, shape: StackShape) -> None:
    expected = shape.time * shape.batch, p.taps.shape[2]
    if tuple(x.shape) != expected or x.dtype != torch.float32:
        raise ValueError(f"x is {tuple(x.shape)} of {x.dtype}, not {expected} of float32")
    if p.conditioning is None:
        return
    frames, batch, _ = p.conditioning.shape
    context = sum(offsets[-1] for offsets in shape.offsets[1:])
    first = shape.frame_offset + shape.time - shape.predicted // shape.batch - context
    last = shape.frame_offset + shape.time - 1
    covered = frames == 1 or (first >= 0 and last < frames * shape.hop)
    if batch != shape.batch or not covered:
        where = f"time steps {first} to {last} of {shape.batch} windows"
        raise ValueError(f"{frames} frames of {batch} windows do not cover {where}")


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
        self.gradient_sizes = [taps * width * r, (r + s) * g + width]
        most_threads = max(1, rows // (4 * TALL))
        self.threads = min(torch.get_num_threads(), most_threads)
        self.scratch = np.empty(self.threads * 5 * BLOCK * g, np.float32)

    @cached_property
    def _for_forward(self) -> tuple[Panels, Biases]:
        w = self.weights
        panels = Panels(
            _panels(w.taps.transpose(2, 3)),
            _panels(w.residual.transpose(1, 2)),
            _panels(w.skip.permute(1, 2, 0)),
        )
        frames = self.zeros if w.conditioning is None else _flat(w.conditioning)
        return panels, Biases(_flat(w.bias), _flat(w.residual_bias), self.zeros, frames)

    @cached_property
    def _for_backward(self) -> TransposedPanels:
        w = self.weights
        return TransposedPanels(
            _panels(w.taps),
            _panels(w.residual),
            _panels(w.skip.transpose(0, 1)),
            _panels(-w.residual.transpose(1, 2)),
            _flat(-w.residual_bias),
            self.zeros,
        )

    def forward(
        self, segment: range, x: Tensor, skips: Tensor | None, *, keep: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Add the segment's skip paths to `skips`.

        Returns its output, or the x of the network's last layer, and with `keep` what the backward
        pass needs of each layer: what is kept of its h, and the first rows of its x.
        """
        r = x.shape[1]
        # Layers write by turns to two places.
        places = [x.new_empty(self.rows[segment[0]], r) for _ in range(2)]
        xs, kept = [x], []
        for i in segment:
            rows = self.rows[i] if keep else 0
            kept.append(x.new_empty(rows, 2 * self.sizes.g))
            kept.append(x.new_empty(self.shape.starts(i)[-1] if keep else 0, r))
            if i != self.shape.last:
                out_is_next = i == segment[-1] or i == self.shape.last - 1
                xs.append(x.new_empty(self.rows[i], r) if out_is_next else places[i % 2])
        run_in_threads(
            _forward, self.threads, [*xs, *kept], self.sizes, self._plan(segment, kept, xs),
            *self._for_forward, segment[0], segment[-1] + 1,
            self.zeros[:0] if skips is None else _flat(skips), self.scratch, keep,
        )  # fmt: skip
        return xs[-1], kept

    def backward(
        self,
        segment: range,
        top: Tensor,
        kept: Sequence[Tensor],
        dskips: Tensor,
        dout: Tensor,
        gradients: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Fill the gradients (layers, size) of the segment's taps, and of what else it has.

        `top` and `kept` are what `forward` returned; what is kept of h becomes dh. `dout` is the
        gradient of the segment's output. Returns that of its x.
        """
        r, first = self.sizes.r, segment[0]
        dx = top.new_empty(self.rows[first] + self.shape.starts(first)[-1], r)
        xs, douts = top.new_empty(2 * dx.numel()), top.new_empty(2 * dx.numel())
        buffers = np.empty(2 * self.threads * sum(self.gradient_sizes), np.float32)
        run_in_threads(
            _backward, self.threads, kept, self.sizes, self._plan(segment, kept),
            self._for_backward, first, segment[-1] + 1, _flat(top), _flat(xs), _flat(dskips),
            _flat(dout), _flat(douts), _flat(dx), self.scratch, buffers, *map(_flat, gradients),
        )  # fmt: skip
        return dx

    def weight_gradients(self, gradients: tuple[Tensor, Tensor], dskips: Tensor) -> WeightGradients:
        """The parts of what `backward` fills, and room for the frames' gradients."""
        z, layers, frames = self.sizes, len(self.rows), None
        dtaps, dpaths = gradients
        residual, skip, bias = torch.split(dpaths, [z.r * z.g, z.s * z.g, 2 * z.g], 1)
        if self.weights.conditioning is not None:
            frames = dskips.new_empty(z.frames, z.batch, layers, 2 * z.g)
        return WeightGradients(
            dtaps.view(layers, z.taps, 2 * z.g, z.r),
            bias,
            residual.view(layers, z.r, z.g)[:-1],
            skip.view(layers, z.s, z.g).transpose(0, 1),
            dskips.sum(0),
            frames,
        )

    def fill_frame_gradients(self, segment: range, dhs: Sequence[Tensor], dframes: Tensor) -> None:
        """dframes (F, batch, layers, 2G) of a segment's layers, from what became of h."""
        for i, dh in zip(segment, dhs, strict=True):
            total = torch.zeros_like(dframes[:, :, i : i + 1])
            add_frame_gradients(total, dh[:, None], len(dh), self.shape)
            dframes[:, :, i : i + 1] = total

    def _plan(self, segment: range, kept: Sequence[Tensor], xs: Sequence[Tensor] = ()) -> Array:
        """The kernels' plan of a segment's layers; the forward pass has `xs` too."""
        r, width, taps = self.sizes.r, 2 * self.sizes.g, self.sizes.taps
        plan = np.zeros((len(self.rows) + 1, LAGS + 2 * taps), np.int64)
        for i, rows in enumerate(self.rows):
            starts = np.asarray(self.shape.starts(i))
            plan[i, ROWS], plan[i, TAPS] = rows, len(starts)
            plan[i, LAGS:][: len(starts)] = starts * r
            plan[i, LAGS + taps :][: len(starts)] = -starts * width
        layers = slice(segment.start, segment.stop)
        plan[layers, H] = [h.data_ptr() for h in kept[::2]]
        plan[layers, HEAD] = [head.data_ptr() for head in kept[1::2]]
        for i, x, out in zip(segment, xs, [*xs[1:], xs[-1]] if xs else (), strict=False):
            plan[i, X], plan[i, OUT] = x.data_ptr(), out.data_ptr()
        return plan


def _flat(t: Tensor) -> Array:
    array: Array = t.detach().numpy().reshape(-1)
    return array


def _panels(weights: Tensor) -> Array:
    """(..., inputs, outputs) -> (..., outputs / LANES, inputs, LANES), flat."""
    *others, inputs, outputs = weights.shape
    split = weights.detach().reshape(*others, inputs, outputs // LANES, LANES)
    return _flat(split.transpose(-3, -2).contiguous())


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
            if grad and not keep:
                kept.append(x)
            x, of_layers = stack.forward(segment, x, skips, keep=keep)
            if keep:
                kept = [x, *of_layers]
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
        layers, (of_taps, of_paths) = len(shape.offsets), stack.gradient_sizes
        gradients = dskips.new_empty(layers, of_taps), dskips.new_empty(layers, of_paths)
        d = stack.weight_gradients(gradients, dskips)
        dx = dskips.new_empty(0)
        for s, segment in reversed(list(enumerate(shape.segments()))):
            top, kept = saved[0], list(saved[1:])
            if shape.checkpoint_every:
                top, kept = stack.forward(segment, saved[s], None, keep=True)
            dx = stack.backward(segment, top, kept, dskips, dx, gradients)
            if d.conditioning is not None:
                stack.fill_frame_gradients(segment, kept[::2], d.conditioning)
            del kept
        dparameters = gradients_of_parameters(d, p, TANH)
        return dx[:, : p.taps.shape[2]], None, None, *dparameters
