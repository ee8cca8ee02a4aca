"""The memory that the kernels work in: written and read within a step or two, never kept.

R', G' and the others are channels filled up to whole vectors, as in `kernels`.
"""

from typing import NamedTuple

from wavenet.engines.cpu.panels import BLOCK, Sizes, aligned
from wavenet.glossary import Array
from wavenet.simd.writer import LANES, at, subroutine


class Scratch(NamedTuple):
    """Working memory for one step of `rows` streams, flat. Inside the kernels, pointers to it.

    `z` holds every layer's gate of the present step and, for `consume_stream`, of the one before,
    and then room for that thread's own copy of one of them. `out` and `total` hold one for each of
    two steps or threads. `gathered` holds the inputs of a block of older taps, and room for the
    padding of the last one. `context` holds what the context module's two taps read, the mean over
    its window, and the output of its branches.
    """

    x: Array  # (rows, R')
    h: Array  # (rows, 2 G')
    z: Array  # (2 L + 1, rows, G')
    out: Array  # (2, rows, max(R', S'))
    total: Array  # (2, rows, S')
    hidden: Array  # (rows, H')
    predicted: Array  # (rows, n_params')
    gathered: Array  # (8, older R) and R' more
    context: Array  # (rows, 3 S' + (branches + 1) P')


def allocate_scratch(sizes: Sizes, rows: int) -> Scratch:
    """Working memory for `rows` streams."""
    r, g, s = sizes.r_vectors * LANES, sizes.g_vectors * LANES, sizes.s_vectors * LANES
    return Scratch(
        x=aligned(rows * r),
        h=aligned(rows * 2 * g),
        z=aligned(rows * (2 * sizes.layers + 1) * g),
        out=aligned(rows * 2 * max(r, s)),
        total=aligned(rows * 2 * s),
        hidden=aligned(rows * sizes.h_vectors * LANES),
        predicted=aligned(rows * sizes.param_vectors * LANES),
        gathered=aligned(BLOCK * sizes.older * sizes.r + r),
        context=aligned(rows * (3 * s + (sizes.branches + 1) * sizes.p_vectors * LANES)),
    )


@subroutine
def scratch_pointers(s):  # type: ignore[no-untyped-def]
    """Pointers to a `Scratch`."""
    return Scratch(
        at(s.x, 0), at(s.h, 0), at(s.z, 0), at(s.out, 0), at(s.total, 0),
        at(s.hidden, 0), at(s.predicted, 0), at(s.gathered, 0), at(s.context, 0),
    )  # fmt: skip
