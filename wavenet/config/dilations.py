"""Which past samples the layers of a stack read: named schedules of dilations, and offsets of taps.

Pure arithmetic with the standard library alone. An offset counts samples back from the present,
which is offset 0.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, takewhile
from math import gcd


def doubling() -> Iterator[int]:
    """1, 2, 4, 8, ...: the widest receptive field without a gap.

    With two taps, exactly one path through a cycle's layers leads to each lag.
    """
    return (2**i for i in count())


def fibonacci() -> Iterator[int]:
    """1, 2, 3, 5, 8, 13, ...: grows by 1.6 a layer, so that several paths lead to most lags."""
    dilation, following = 1, 2
    while True:
        yield dilation
        dilation, following = following, dilation + following


def coprime() -> Iterator[int]:
    """1, 2, 3, 5, 7, 11, 17, 29, 47, ...: no two dilations of a cycle share a divisor.

    Each is the number nearest to 1.6 times the one before it that shares no divisor with any that
    came earlier. Layers whose dilations share a divisor read a grid: their lags are multiples of
    the divisor, and the samples between come in by entirely different paths. Here any two layers of
    a cycle cover every residue of each other's dilation, so no grid is left. 1.6 is the ratio of
    `fibonacci`, for the same growth and several paths to a lag.
    """
    chosen = [1]
    while True:
        yield chosen[-1]
        last = chosen[-1]
        target = round(8 * last / 5)
        by_distance = (n for away in count() for n in (target - away, target + away) if n > last)
        # The search ends: a prime lies between any number and its double.
        chosen.append(next(n for n in by_distance if all(gcd(n, d) == 1 for d in chosen)))


GROWTHS = {growth.__name__: growth for growth in (doubling, fibonacci, coprime)}


@cache
def cycle(growth: str, largest: int) -> tuple[int, ...]:
    """A schedule's dilations up to the largest, before it starts again at 1."""
    return tuple(takewhile(lambda dilation: dilation <= largest, GROWTHS[growth]()))


@cache
def offsets(kernel_size: int, dilations: Sequence[int], smooth: bool) -> tuple[int, ...]:
    """Offsets that a layer reads with these dilations, from the newest tap's, 0, to the oldest's.

    `smooth` adds the sample before each, since a tap then reads the mean of two samples.
    """
    read = {k * d for d in dilations for k in range(kernel_size)}
    if smooth:
        read |= {offset + 1 for offset in read}
    return tuple(sorted(read))


def tap_matrix(
    kernel_size: int, dilation: int, smooth: bool, layer_offsets: Sequence[int]
) -> list[list[float]]:
    """How much of each tap of a kernel lies at each offset of its layer: (T, K), both oldest first.

    `layer_offsets` comes newest first, as from `offsets`.
    """

    def share(offset: int, tap: int) -> float:
        return ((offset == tap) + (offset == tap + 1)) / 2 if smooth else float(offset == tap)

    taps = [k * dilation for k in reversed(range(kernel_size))]
    return [[share(offset, tap) for tap in taps] for offset in reversed(layer_offsets)]
