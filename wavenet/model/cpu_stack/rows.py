"""What both passes have in common: sizes, the plan of the layers, products, shares of threads.

Each thread has as many rows of every layer, and waits for the others after each layer.

`plan` (layers + 1, 6 + 2 taps) has for each layer: the rows of its output, the number of its taps,
the addresses of its x, of its output and of what is kept of its h and of its x, where each tap
reads x, counted from a row of the output on, and where the gradient of a row of x finds the row of
dh that this tap made of it, both in numbers; then a row of zeros. R, G and S are multiples of LANES
and of TALL. Arrays that kernels take are flat.
"""

from typing import NamedTuple

from wavenet.model.cpu_stack.tiles import product
from wavenet.simd.vectors import copy
from wavenet.simd.writer import HOST, LANES, move, subroutine

TALL = HOST.rows
"""Rows of a tile. Channels are multiples of it, too."""

BLOCK = 8 * TALL
"""Rows of a block."""

ROWS, TAPS, X, OUT, H, HEAD, LAGS = range(7)
"""Columns of `plan`."""

_tall2, _tall1, _low2, _low1 = product(TALL, 2), product(TALL, 1), product(1, 2), product(1, 1)


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


@subroutine
def share(rows, thread, threads):  # type: ignore[no-untyped-def]
    """Where a thread's rows begin."""
    tiles = (rows + TALL - 1) // TALL
    return min(rows, tiles * thread // threads * TALL)


@subroutine
def copy_share(x, numbers, y, thread, threads):  # type: ignore[no-untyped-def]
    """This thread's part of y = x."""
    vectors = numbers // LANES
    first = vectors * thread // threads
    count = vectors * (thread + 1) // threads - first
    if count > 0:
        copy(move(x, first * LANES), move(y, first * LANES), count)


@subroutine
def product_of_rows(  # type: ignore[no-untyped-def]
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
