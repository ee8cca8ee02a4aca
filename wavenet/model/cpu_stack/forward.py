"""The forward pass of all layers, each block of rows while it lies in the caches.

For each layer, then for each block:

    h     = bias + conditioning + sum over taps k of x[start of k + rows] @ taps[k]^T
    kept  = tanh and sigmoid of h's halves, z = their product      (from the sums in registers)
    next  = x[newest start + rows] + residual_bias + z @ residual^T
    skips += z @ skip^T, for the rows that are predicted from
"""

from typing import NamedTuple

import numpy as np

from wavenet.glossary import Array
from wavenet.model.cpu_stack.rows import (
    BLOCK,
    HEAD,
    LAGS,
    OUT,
    ROWS,
    TALL,
    TAPS,
    H,
    X,
    copy_share,
    product_of_rows,
    share,
)
from wavenet.model.cpu_stack.tiles import gated
from wavenet.simd.counts import wait_for_all
from wavenet.simd.vectors import add, add_interpolated
from wavenet.simd.writer import LANES, at, floats_at, move, subroutine

_tall_gated, _low_gated = gated(TALL), gated(1)


class Panels(NamedTuple):
    """Weights of all layers, flat: for each the panels of `tiles`."""

    taps: Array  # (L, taps, 2G / LANES, R, LANES)
    residual: Array  # (L - 1, R / LANES, G, LANES)
    skip: Array  # (L, S / LANES, G, LANES)


class Biases(NamedTuple):
    conv: Array  # (L, 2G)
    residual: Array  # (L - 1, R)
    none: Array  # (max(R, S),) of zeros
    frames: Array  # (L, F, batch, 2G)


@subroutine
def _start_rows(sizes, layer, first, rows, layer_rows, frames, bias, start):  # type: ignore[no-untyped-def]
    """start (rows, 2G) = bias + conditioning of a layer's rows from `first` on."""
    width = 2 * sizes.g
    step = sizes.batch * width
    of_layer = move(frames, layer * sizes.frames * step)
    origin = sizes.frames_end - layer_rows // sizes.batch
    for i in range(rows):
        time, window = divmod(first + i, sizes.batch)
        to = move(start, i * width)
        if sizes.frames == 1:
            add(bias, move(of_layer, window * width), to, width // LANES)
            continue
        frame, inside = divmod(origin + time, sizes.hop)
        low = move(of_layer, frame * step + window * width)
        # Behind the last frame `prepare` has put zeros, of which no row has any part.
        high = move(low, step)
        weight = np.float32(inside) / np.float32(sizes.hop)
        add_interpolated(bias, low, high, weight, to, width // LANES)


@subroutine
def _gates(sizes, weights, taps, lags, start, start_step, x, kept, z, rows):  # type: ignore[no-untyped-def]
    """Fill what is kept of h, and z, of a block of rows."""
    r, g = sizes.r, sizes.g
    tap_step, gate_step, kept_step = 2 * g * r, g * r, 2 * g
    for j in range(0, g, LANES):
        w = move(weights, j * r)
        i = 0
        while i < rows:
            a, x_ = move(start, i * start_step + j), move(x, i * r)
            kept_, z_ = move(kept, i * kept_step + j), move(z, i * g + j)
            if i + TALL <= rows:
                _tall_gated(
                    w, tap_step, gate_step, taps, lags, a, start_step, x_, r, g,
                    kept_, kept_step, z_, g,
                )  # fmt: skip
                i += TALL
            else:
                _low_gated(
                    w, tap_step, gate_step, taps, lags, a, start_step, x_, r, g,
                    kept_, kept_step, z_, g,
                )  # fmt: skip
                i += 1


def forward_layers(  # type: ignore[no-untyped-def]
    sizes, plan, panels, biases, begin, end, skips, scratch, keep, flags, thread, threads
):  # fmt: skip
    """The layers from `begin` to before `end`; where `keep` says so, with what is kept.

    skips (predicted, S) are added to, unless there are none. `scratch` is (threads, BLOCK, 5G).
    """
    r, g, s = sizes.r, sizes.g, sizes.s
    width, columns = 2 * g, plan.shape[1]
    memory = at(scratch, thread * 5 * BLOCK * g)
    z, start_rows, h_rows = memory, move(memory, BLOCK * g), move(memory, 3 * BLOCK * g)
    no_lag, no_bias = at(plan, (plan.shape[0] - 1) * columns), at(biases.none, 0)
    for layer in range(begin, end):
        rows, taps = plan[layer, ROWS], plan[layer, TAPS]
        lags = at(plan, layer * columns + LAGS)
        reads, writes = floats_at(plan[layer, X]), floats_at(plan[layer, OUT])
        newest = plan[layer, LAGS + taps - 1]
        bias = at(biases.conv, layer * width)
        first = rows - sizes.predicted
        stop = share(rows, thread + 1, threads)
        a = share(rows, thread, threads)
        while a < stop:
            # A block's rows are all predicted from, or none.
            b = min(a + BLOCK, stop, first if a < first else stop)
            count = b - a
            kept = move(floats_at(plan[layer, H]), a * width) if keep else h_rows
            start, start_step = bias, 0
            if sizes.frames > 0:
                start, start_step = start_rows, width
                frames = at(biases.frames, 0)
                _start_rows(sizes, layer, a, count, rows, frames, bias, start_rows)
            of_layer = at(panels.taps, layer * sizes.taps * width * r)
            block = move(reads, a * r)
            _gates(sizes, of_layer, taps, lags, start, start_step, block, kept, z, count)
            if layer != sizes.last:
                product_of_rows(
                    at(panels.residual, layer * r * g), 0, 1, no_lag, move(block, newest), r,
                    at(biases.residual, layer * r), z, g, move(writes, a * r), r, count, r // LANES,
                )  # fmt: skip
            if a >= first and len(skips) > 0:
                total = at(skips, (a - first) * s)
                product_of_rows(
                    at(panels.skip, layer * s * g), 0, 1, no_lag, total, s, no_bias,
                    z, g, total, s, count, s // LANES,
                )  # fmt: skip
            a = b
        if keep:
            copy_share(reads, newest, floats_at(plan[layer, HEAD]), thread, threads)
        if not wait_for_all(flags, thread, threads, layer - begin + 1):
            return
