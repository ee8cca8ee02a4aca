"""The passes of all layers, block of rows by block of rows, in several threads.

Forward, a block of rows is computed through all of a layer while it lies in the caches:

    h     = bias or conditioning + sum over taps k of x[start of k + rows] @ taps[k]^T
    kept  = tanh and sigmoid of h's halves, z = their product      (from the sums in registers)
    next  = x[newest start + rows] + residual_bias + z @ residual^T
    skips += z @ skip^T, for the rows that are predicted from

Backward likewise. A block of a layer's output first gathers its gradient from the layer after it,

    dout  = dout of the layer after, where its newest tap read the row
          + sum over that layer's taps k of dh[rows - start of k] @ taps[k]
    dz    = dskips @ skip + dout @ residual
    dh    = through the gates, in the place of what was kept       (from the sums in registers)

and its rows are added to the gradients of the weights:

    taps  += dh^T @ x, of the layer after,
    residual += dout^T @ z,   skip += dskips^T @ z,   bias += the sum of dh

x is not kept. Of a layer's x, the rows from the newest tap's start on are its output less what z
adds to them, and z is at hand: x = next - (residual_bias + z @ residual^T). So only the output of
the last layer, and the first rows of every x, are kept of the residual stream. What was added is
computed again bit for bit, and the difference is rounded once.

Each thread has as many rows of every layer. It waits for the others after each layer, and adds up
in a buffer of its own, which are then summed in the threads' order: with as many threads, the same
numbers come out bit for bit.

`plan` (layers + 1, 6 + 2 taps) has for each layer: the rows of its output, the number of its taps,
the addresses of its x, of its output and of what is kept of its h and of its x, where each tap
reads x, counted from a row of the output on, and where the gradient of a row of x finds the row of
dh that this tap made of it, both in numbers; then a row of zeros. R, G and S are multiples of LANES
and of TALL.
"""

from typing import NamedTuple

import numpy as np

from wavenet.glossary import Array
from wavenet.model.cpu_stack.tiles import add_rows, gated, gates_gradient, outer, product
from wavenet.simd.counts import SPINS, publish, published, yield_core
from wavenet.simd.vectors import add, add_interpolated, copy
from wavenet.simd.writer import HOST, LANES, at, floats_at, move, subroutine

TALL = HOST.rows
"""Rows of a tile. Channels are multiples of it, too."""

BLOCK = 8 * TALL
"""Rows of a block."""

ROWS, TAPS, X, OUT, H, HEAD, LAGS = range(7)
"""Columns of `plan`."""

# A thread's flag lies in a cache line of its own; STOP's is the last one.
FLAG = 8

_tall2, _tall1, _low2, _low1 = product(TALL, 2), product(TALL, 1), product(1, 2), product(1, 1)
_tall_gated, _low_gated = gated(TALL), gated(1)
_tall_dgates2, _tall_dgates1 = gates_gradient(TALL, 2), gates_gradient(TALL, 1)
_low_dgates2, _low_dgates1 = gates_gradient(1, 2), gates_gradient(1, 1)
_outer2, _outer1 = outer(TALL, 2), outer(TALL, 1)


class Sizes(NamedTuple):
    """`last` is the network's last layer, which has no residual path."""

    r: int
    g: int
    s: int
    taps: int  # for which there is room in the weights
    last: int
    predicted: int  # rows
    batch: int  # windows, of which each time step has a row
    # Of frames: their number, or 0 where the network is not conditioned; time steps from one to the
    # next; from the first to the last row's end.
    frames: int
    hop: int
    frames_end: int


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


class TransposedPanels(NamedTuple):
    """For gradients; `negative_residual` are those of `Panels`, negative, as is its bias."""

    taps: Array  # (L, taps, R / LANES, 2G, LANES)
    residual: Array  # (L - 1, G / LANES, R, LANES)
    skip: Array  # (L, G / LANES, S, LANES)
    negative_residual: Array  # (L - 1, R / LANES, G, LANES)
    negative_bias: Array  # (L - 1, R)
    none: Array  # (R,) of zeros


@subroutine
def _wait_for_all(flags, thread, threads, phase):  # type: ignore[no-untyped-def]
    """Publish that this thread has finished a phase, and wait until all have; False at STOP."""
    publish(at(flags, thread * FLAG), phase)
    for other in range(threads):
        spins = 0
        while published(at(flags, other * FLAG)) < phase:
            spins += 1
            if spins > SPINS:
                if published(at(flags, threads * FLAG)) != 0:
                    return False
                yield_core()
    return True


@subroutine
def _share(rows, thread, threads):  # type: ignore[no-untyped-def]
    """Where a thread's rows begin."""
    tiles = (rows + TALL - 1) // TALL
    return min(rows, tiles * thread // threads * TALL)


@subroutine
def _copy_share(x, numbers, y, thread, threads):  # type: ignore[no-untyped-def]
    """This thread's part of y = x."""
    vectors = numbers // LANES
    first = vectors * thread // threads
    count = vectors * (thread + 1) // threads - first
    if count > 0:
        copy(move(x, first * LANES), move(y, first * LANES), count)


@subroutine
def _product(  # type: ignore[no-untyped-def]
    weights, tap_step, taps, lags, start, start_step, bias, x, inputs, y, y_step, rows, vectors
):
    """y (rows, vectors) = start + bias + for every tap, x (rows, inputs) @ its weights."""
    panel = inputs * LANES
    for v in range(0, vectors, 2):
        w, b, column = move(weights, v * panel), move(bias, v * LANES), v * LANES
        double = v + 2 <= vectors
        i = 0
        while i < rows:
            tall = i + TALL <= rows
            a, y_ = move(start, i * start_step + column), move(y, i * y_step + column)
            x_ = move(x, i * inputs)
            if tall and double:
                _tall2(w, tap_step, panel, taps, lags, a, start_step, b, x_, inputs, y_, y_step)
            elif tall:
                _tall1(w, tap_step, panel, taps, lags, a, start_step, b, x_, inputs, y_, y_step)
            elif double:
                _low2(w, tap_step, panel, taps, lags, a, start_step, b, x_, inputs, y_, y_step)
            else:
                _low1(w, tap_step, panel, taps, lags, a, start_step, b, x_, inputs, y_, y_step)
            i += TALL if tall else 1


# --- forward --------------------------------------------------------------------------------------


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
        # Nothing follows the last frame, of which the last row has all.
        high = move(low, step) if frame + 1 < sizes.frames else low
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
        stop = _share(rows, thread + 1, threads)
        a = _share(rows, thread, threads)
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
                _product(
                    at(panels.residual, layer * r * g), 0, 1, no_lag, move(block, newest), r,
                    at(biases.residual, layer * r), z, g, move(writes, a * r), r, count, r // LANES,
                )  # fmt: skip
            if a >= first and len(skips) > 0:
                total = at(skips, (a - first) * s)
                _product(
                    at(panels.skip, layer * s * g), 0, 1, no_lag, total, s, no_bias,
                    z, g, total, s, count, s // LANES,
                )  # fmt: skip
            a = b
        if keep:
            _copy_share(reads, newest, floats_at(plan[layer, HEAD]), thread, threads)
        if not _wait_for_all(flags, thread, threads, layer - begin + 1):
            return


# --- backward -------------------------------------------------------------------------------------


@subroutine
def _taps_that_read(sizes, plan, layer, a, b):  # type: ignore[no-untyped-def]
    """The taps that read row a of a layer's x, first and end; and how far they do, b at most."""
    rows, first, end = plan[layer, ROWS], 0, 0
    # The oldest tap begins at the first row, and the newest one ends at the last.
    for k in range(plan[layer, TAPS]):
        start = plan[layer, LAGS + k] // sizes.r
        if start > a:
            return first, end, min(b, start)
        end = k + 1
        if start + rows <= a:
            first = k + 1
        else:
            b = min(b, start + rows)
    return first, end, b


@subroutine
def _gather(sizes, plan, panels, layer, taps, x, dout, a, b, dx, dtaps):  # type: ignore[no-untyped-def]
    """Fill rows a to b of dx (rows, R), which a layer's `taps`, first and end, read as x.

    Adds these rows to the gradients of the taps, (taps, 2G, R).
    """
    r, width, columns = sizes.r, 2 * sizes.g, plan.shape[1]
    first, end = taps
    no_bias = at(panels.none, 0)
    start, start_step = no_bias, 0
    if end == plan[layer, TAPS] and layer != sizes.last:
        # Where the newest tap reads, the residual path begins.
        start, start_step = move(dout, a * r - plan[layer, LAGS + end - 1]), r
    of_taps = at(panels.taps, (layer * sizes.taps + first) * width * r)
    lags = at(plan, layer * columns + LAGS + sizes.taps)
    dh = move(floats_at(plan[layer, H]), a * width)
    _product(
        of_taps, width * r, end - first, move(lags, first), start, start_step, no_bias,
        dh, width, move(dx, a * r), r, b - a, r // LANES,
    )  # fmt: skip
    for k in range(first, end):
        made = move(dh, plan[layer, LAGS + sizes.taps + k])
        _add_outer(made, width, move(x, a * r), r, b - a, move(dtaps, k * width * r))


@subroutine
def _gates_gradient(  # type: ignore[no-untyped-def]
    sizes, panels, layer, dskips, s_inputs, dout, r_inputs, kept, z, rows
):
    """Put dh in the place of what was kept of a block of rows, and fill z.

    `s_inputs` and `r_inputs` are S and R, or 0 where the rows have no such gradient.
    """
    r, g, s = sizes.r, sizes.g, sizes.s
    width = 2 * g
    for j in range(0, g, 2 * LANES):
        ws = at(panels.skip, (layer * g + j) * s)
        wr = at(panels.residual, (min(layer, sizes.last - 1) * g + j) * r)
        double = j + 2 * LANES <= g
        i = 0
        while i < rows:
            tall = i + TALL <= rows
            xs, xr = move(dskips, i * s), move(dout, i * r)
            kept_, z_ = move(kept, i * width + j), move(z, i * g + j)
            if tall and double:
                _tall_dgates2(ws, xs, s_inputs, wr, xr, r_inputs, g, kept_, width, z_, g)
            elif tall:
                _tall_dgates1(ws, xs, s_inputs, wr, xr, r_inputs, g, kept_, width, z_, g)
            elif double:
                _low_dgates2(ws, xs, s_inputs, wr, xr, r_inputs, g, kept_, width, z_, g)
            else:
                _low_dgates1(ws, xs, s_inputs, wr, xr, r_inputs, g, kept_, width, z_, g)
            i += TALL if tall else 1


@subroutine
def _add_outer(a, a_width, b, b_width, rows, total):  # type: ignore[no-untyped-def]
    """total (a_width, b_width) += a (rows, a_width)^T @ b (rows, b_width)."""
    for m in range(0, a_width, TALL):
        for n in range(0, b_width, 2 * LANES):
            to = move(total, m * b_width + n)
            if n + 2 * LANES <= b_width:
                _outer2(move(a, m), a_width, move(b, n), b_width, rows, to, b_width)
            else:
                _outer1(move(a, m), a_width, move(b, n), b_width, rows, to, b_width)


@subroutine
def _add_path_gradients(  # type: ignore[no-untyped-def]
    sizes, dh, z, dskips, s_inputs, dout, r_inputs, rows, total
):
    """Add a block of rows to the gradients of all of a layer but its taps, `backward_layers`'."""
    r, g, s = sizes.r, sizes.g, sizes.s
    if r_inputs > 0:
        _add_outer(dout, r, z, g, rows, total)
    if s_inputs > 0:
        _add_outer(dskips, s, z, g, rows, move(total, r * g))
    for n in range(0, 2 * g, LANES):
        add_rows(move(dh, n), 2 * g, rows, move(total, (r + s) * g + n))


@subroutine
def _sum_of_threads(buffers, step, gradient, thread, threads):  # type: ignore[no-untyped-def]
    """This thread's part of gradient = the sum of all threads' buffers, `step` numbers apart."""
    vectors = len(gradient) // LANES
    first = vectors * thread // threads
    count = vectors * (thread + 1) // threads - first
    if count > 0:
        total, buffers = at(gradient, first * LANES), move(buffers, first * LANES)
        copy(buffers, total, count)
        for other in range(1, threads):
            add(total, move(buffers, other * step), total, count)


def backward_layers(  # type: ignore[no-untyped-def]
    sizes, plan, panels, begin, end, top, xs, dskips, dout, douts, dx, scratch, buffers, dtaps,
    dpaths, flags, thread, threads,
):  # fmt: skip
    """The gradients of the layers from `begin` to before `end`, the last one first.

    What was kept of h becomes dh. `top` is the last layer's output (rows, R), or if that is the
    network's last layer, its x. dout (rows, R) is the output's gradient, and dx (rows, R) that of
    the first layer's x. `xs` and `douts` are memory for what lies between, (2, most rows, R).

    `dtaps` (L, taps, 2G, R) and `dpaths` (L, RG + SG + 2G), the latter those of residual (R, G),
    skip (S, G) and bias, are filled; `buffers` is memory for both, of two layers and all threads.
    """
    r, g, s = sizes.r, sizes.g, sizes.s
    width, of_taps, of_paths = 2 * g, sizes.taps * 2 * g * r, (r + s) * g + 2 * g
    size, z = of_taps + of_paths, at(scratch, thread * 5 * BLOCK * g)
    no_lag = at(plan, (plan.shape[0] - 1) * plan.shape[1])
    above, x_above = at(dout, 0), at(top, 0)
    # After the first layer comes the gradient of its x.
    for layer in range(end - 1, begin - 2, -1):
        inner, last, given = layer >= begin, layer == sizes.last, layer == end - 1
        rows = plan[layer, ROWS] if inner else len(dx) // r
        first = rows - sizes.predicted if inner else rows
        own = above if given else at(dx, 0)
        if inner and not given:
            own = at(douts, (layer & 1) * (len(douts) // 2))
        # Of a layer's x, what its output is short of: the newest tap's start.
        x, newest = x_above, 0
        if inner and not last:
            x = at(xs, (layer & 1) * (len(xs) // 2))
            newest = plan[layer, LAGS + plan[layer, TAPS] - 1]
            _copy_share(floats_at(plan[layer, HEAD]), newest, x, thread, threads)
        place = ((layer & 1) * threads + thread) * size
        buffers[place : place + size] = 0
        stop = _share(rows, thread + 1, threads)
        a = _share(rows, thread, threads)
        while a < stop:
            b = min(a + BLOCK, stop, first if a < first else stop)
            if not last:
                # Where the output's gradient was given, blocks are the same all the same.
                first_tap, end_tap, b = _taps_that_read(sizes, plan, layer + 1, a, b)
                if not given:
                    taps = first_tap, end_tap
                    total = at(buffers, place)
                    _gather(sizes, plan, panels, layer + 1, taps, x_above, above, a, b, own, total)
            if inner:
                kept = move(floats_at(plan[layer, H]), a * width)
                s_inputs, dskips_ = s if a >= first else 0, at(dskips, max(0, a - first) * s)
                r_inputs, dout_ = 0 if last else r, move(own, a * r)
                _gates_gradient(
                    sizes, panels, layer, dskips_, s_inputs, dout_, r_inputs, kept, z, b - a
                )
                total = at(buffers, place + of_taps)
                _add_path_gradients(
                    sizes, kept, z, dskips_, s_inputs, dout_, r_inputs, b - a, total
                )
                if not last:
                    _product(
                        at(panels.negative_residual, layer * r * g), 0, 1, no_lag,
                        move(x_above, a * r), r, at(panels.negative_bias, layer * r),
                        z, g, move(x, newest + a * r), r, b - a, r // LANES,
                    )  # fmt: skip
            a = b
        if not _wait_for_all(flags, thread, threads, end - layer):
            return
        of_layer = at(buffers, (layer & 1) * threads * size)
        if not given:
            total_of_taps = dtaps[(layer + 1) * of_taps : (layer + 2) * of_taps]
            _sum_of_threads(of_layer, size, total_of_taps, thread, threads)
        if inner:
            total_of_paths = dpaths[layer * of_paths : (layer + 1) * of_paths]
            _sum_of_threads(move(of_layer, of_taps), size, total_of_paths, thread, threads)
        above, x_above = own, x
