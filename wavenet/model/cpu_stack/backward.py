"""The backward pass of all layers, each block of rows while it lies in the caches.

A block of a layer's output first gathers its gradient from the layer after it,

    dout  = dout of the layer after, where its newest tap read the row
          + sum over that layer's taps k of dh[rows - start of k] @ taps[k]
    dz    = dskips @ skip + dout @ residual
    dh    = through the gates, in the place of what was kept       (from the sums in registers)

and its rows are added to the gradients of the weights:

    taps  += dh^T @ x, of the layer after
    residual += dout^T @ z,   skip += dskips^T @ z,   bias += the sum of dh

x is not kept. Of a layer's x, the rows from the newest tap's start on are its output less what z
adds to them, and z is at hand: x = next - (residual_bias + z @ residual^T). So only the output of
the last layer, and the first rows of every x, are kept of the residual stream. What was added is
computed again bit for bit, and each difference is rounded once: an early x is off by some last
digits of the largest x behind it, which counts where the stream grows by orders of magnitude.

Each thread adds up in a buffer of its own. These are summed in the threads' order: with as many
threads, the same numbers come out bit for bit.
"""

from typing import NamedTuple

from wavenet.glossary import Array
from wavenet.model.cpu_stack.rows import (
    BLOCK,
    HEAD,
    LAGS,
    ROWS,
    TALL,
    TAPS,
    H,
    copy_share,
    product_of_rows,
    share,
)
from wavenet.model.cpu_stack.tiles import add_rows, gates_gradient, outer
from wavenet.simd.counts import wait_for_all
from wavenet.simd.vectors import add, copy
from wavenet.simd.writer import LANES, at, floats_at, move, subroutine

_tall_dgates2, _tall_dgates1 = gates_gradient(TALL, 2), gates_gradient(TALL, 1)
_low_dgates2, _low_dgates1 = gates_gradient(1, 2), gates_gradient(1, 1)
_outer2, _outer1 = outer(TALL, 2), outer(TALL, 1)


class TransposedPanels(NamedTuple):
    """For gradients; `negative_residual` are those of `Panels`, negative, as is its bias."""

    taps: Array  # (L, taps, R / LANES, 2G, LANES)
    residual: Array  # (L - 1, G / LANES, R, LANES)
    skip: Array  # (L, G / LANES, S, LANES)
    negative_residual: Array  # (L - 1, R / LANES, G, LANES)
    negative_bias: Array  # (L - 1, R)
    none: Array  # (R,) of zeros


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
    product_of_rows(
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
        # Of no inputs, no weights are read: the last layer has none for dout.
        ws, wr = at(panels.skip, (layer * g + j) * s), at(panels.residual, (layer * g + j) * r)
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
def _through_layer(  # type: ignore[no-untyped-def]
    sizes, plan, panels, layer, a, b, dskips, s_inputs, dout, x_above, x, z, total
):
    """Take rows a to b of a layer's output through its paths and gates: fill dh, and x from them.

    `dskips` begins at row a, and the others at their first; `total` is `_add_path_gradients`'.
    """
    r, g, rows = sizes.r, sizes.g, b - a
    last = layer == sizes.last
    r_inputs, dout_ = 0 if last else r, move(dout, a * r)
    kept = move(floats_at(plan[layer, H]), a * 2 * g)
    _gates_gradient(sizes, panels, layer, dskips, s_inputs, dout_, r_inputs, kept, z, rows)
    _add_path_gradients(sizes, kept, z, dskips, s_inputs, dout_, r_inputs, rows, total)
    if not last:
        no_lag = at(plan, (plan.shape[0] - 1) * plan.shape[1])
        newest = plan[layer, LAGS + plan[layer, TAPS] - 1]
        product_of_rows(
            at(panels.negative_residual, layer * r * g), 0, 1, no_lag,
            move(x_above, a * r), r, at(panels.negative_bias, layer * r),
            z, g, move(x, newest + a * r), r, rows, r // LANES,
        )  # fmt: skip


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
    of_taps, of_paths = sizes.taps * 2 * g * r, (r + s) * g + 2 * g
    size, z = of_taps + of_paths, at(scratch, thread * 5 * BLOCK * g)
    above, x_above = at(dout, 0), at(top, 0)
    # After the first layer comes the gradient of its x.
    for layer in range(end - 1, begin - 2, -1):
        inner, last, given = layer >= begin, layer == sizes.last, layer == end - 1
        rows = plan[layer, ROWS] if inner else len(dx) // r
        first = rows - sizes.predicted if inner else rows
        own = above if given else at(dx, 0)
        if inner and not given:
            own = at(douts, (layer & 1) * (len(douts) // 2))
        x = x_above
        if inner and not last:
            x = at(xs, (layer & 1) * (len(xs) // 2))
            # Of a layer's x, what its output is short of: the rows before the newest tap's start.
            newest = plan[layer, LAGS + plan[layer, TAPS] - 1]
            copy_share(floats_at(plan[layer, HEAD]), newest, x, thread, threads)
        place = ((layer & 1) * threads + thread) * size
        buffers[place : place + size] = 0
        stop = share(rows, thread + 1, threads)
        a = share(rows, thread, threads)
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
                s_inputs, dskips_ = s if a >= first else 0, at(dskips, max(0, a - first) * s)
                _through_layer(
                    sizes, plan, panels, layer, a, b, dskips_, s_inputs, own, x_above, x, z,
                    at(buffers, place + of_taps),
                )  # fmt: skip
            a = b
        if not wait_for_all(flags, thread, threads, end - layer):
            return
        of_layer = at(buffers, (layer & 1) * threads * size)
        if not given:
            total_of_taps = dtaps[(layer + 1) * of_taps : (layer + 2) * of_taps]
            _sum_of_threads(of_layer, size, total_of_taps, thread, threads)
        if inner:
            total_of_paths = dpaths[layer * of_paths : (layer + 1) * of_paths]
            _sum_of_threads(move(of_layer, of_taps), size, total_of_paths, thread, threads)
        above, x_above = own, x
