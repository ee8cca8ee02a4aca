"""Which earlier samples the layers of a stack hear: named schedules of dilations, and the offsets of a layer's taps.

Pure arithmetic with the standard library alone. An offset counts samples back from the present, which is offset 0.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from math import gcd


def doubling() -> Iterator[int]:
    """1, 2, 4, 8, ...: with two taps each lag of a cycle is reached by exactly one path, and the field is as wide as it can be."""
    dilation = 1
    while True:
        yield dilation
        dilation *= 2


def fibonacci() -> Iterator[int]:
    """1, 2, 3, 5, 8, 13, ...: grows by 1.6 a layer, so most lags are reached by several paths."""
    dilation, following = 1, 2
    while True:
        yield dilation
        dilation, following = following, dilation + following


def coprime() -> Iterator[int]:
    """1, 2, 3, 5, 7, 11, 17, 29, 47, ...: the number nearest to 1.6 times the last one that shares no divisor with any before it.

    Layers whose dilations share a divisor hear a grid: what they reach from one sample are multiples of it, and the samples between are
    heard through other paths altogether. Here no two layers of a cycle share one, so any two together reach every residue of each
    other's dilation, and nothing as coarse as a grid is left. 1.6 is fibonacci's ratio, for the same growth and several paths to a lag.
    """
    chosen = [1]
    while True:
        yield chosen[-1]
        last, nearest = chosen[-1], round(8 * chosen[-1] / 5)
        near = (n for away in count() for n in (nearest - away, nearest + away) if n > last)
        # a prime lies between a number and its double, so there is one
        chosen.append(next(n for n in near if all(gcd(n, d) == 1 for d in chosen)))


GROWTHS: dict[str, Callable[[], Iterator[int]]] = {
    "doubling": doubling,
    "fibonacci": fibonacci,
    "coprime": coprime,
}


@cache
def cycle(growth: str, largest: int) -> tuple[int, ...]:
    """A schedule's dilations up to the largest, before it starts again at 1."""
    found: list[int] = []
    for dilation in GROWTHS[growth]():
        if dilation > largest:
            return tuple(found)
        found.append(dilation)
    raise AssertionError("schedules grow without end")


@cache
def offsets(kernel_size: int, dilations: Sequence[int], smooth: bool) -> tuple[int, ...]:
    """How far back a layer's channels hear with a dilation each, from the newest tap, 0, to the oldest.

    `smooth` adds the sample before each, since what a tap hears is averaged with what it heard a sample ago.
    """
    found = {k * d for d in dilations for k in range(kernel_size)}
    return tuple(sorted(found | {back + 1 for back in found if smooth}))


def tap_matrix(
    kernel_size: int, dilation: int, smooth: bool, heard: Sequence[int]
) -> list[list[float]]:
    """How much of each tap of a kernel, oldest first, lies at each of the offsets `heard`, newest first: (offsets, taps), oldest first."""
    rows = []
    for back in reversed(heard):
        at = [float(back == k * dilation) for k in reversed(range(kernel_size))]
        before = [float(back == k * dilation + 1) for k in reversed(range(kernel_size))]
        rows.append([(a + b) / 2 for a, b in zip(at, before, strict=True)] if smooth else at)
    return rows
