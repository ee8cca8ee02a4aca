"""Softmax cross-entropy and its gradient as machine code for CPUs: one pass over the logits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavenet.simd.compiled import compiled
from wavenet.simd.threads import run_in_threads
from wavenet.simd.vectors import exponentials, largest, scale, total
from wavenet.simd.writer import LANES, at

MULTIPLE = LANES
"""Of how many levels there have to be."""


def cross_entropy(logits: Tensor, codes: Tensor) -> Tensor:
    """-log softmax(logits)[code] of each row, in nats: logits (N, levels), codes (N,) -> (N,).

    float32; `levels` is a multiple of `MULTIPLE`. Raises IndexError for codes that are no levels.
    """
    levels = logits.shape[1]
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < levels:
        raise IndexError(f"codes must be 0 to {levels - 1}")
    grad = torch.is_grad_enabled() and logits.requires_grad
    nats: Tensor = _CrossEntropy.apply(logits, codes, grad)  # type: ignore[no-untyped-call]
    return nats


def rows_of_softmax(  # type: ignore[no-untyped-def]
    logits, codes, nats, gradient, keep, flags, thread, threads
):
    """nats (N,), and where `keep` says so, gradient (N, levels) = softmax(logits) - one-hot codes.

    Otherwise `gradient` is memory for a row of each thread.
    """
    rows = len(codes)
    levels = len(logits) // rows
    vectors = levels // LANES
    for i in range(rows * thread // threads, rows * (thread + 1) // threads):
        x, place = at(logits, i * levels), (i if keep else thread) * levels
        p = at(gradient, place)
        top = largest(x, vectors)
        exponentials(x, top, np.float32(1), p, vectors)
        mass = total(p, vectors)
        nats[i] = np.log(mass) + (top - logits[i * levels + codes[i]])
        if keep:
            scale(p, np.float32(1) / mass, p, vectors)
            gradient[place + codes[i]] -= np.float32(1)


_rows_of_softmax = compiled(rows_of_softmax)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, codes: Tensor, keep: bool) -> Tensor:
        rows, levels = logits.shape
        threads = max(1, min(torch.get_num_threads(), rows // 64))
        nats, gradient = logits.new_empty(rows), logits.new_empty(rows if keep else threads, levels)
        if rows:
            arrays = [
                t.detach().contiguous().numpy().reshape(-1) for t in (logits, codes, nats, gradient)
            ]
            run_in_threads(_rows_of_softmax, threads, [], *arrays, keep)
        ctx.taken = False
        ctx.save_for_backward(gradient)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dnats: Tensor) -> tuple[Tensor, None, None]:
        if ctx.taken:
            raise RuntimeError("this gradient can be taken once: its memory was used for it")
        ctx.taken = True
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(dnats[:, None]), None, None
