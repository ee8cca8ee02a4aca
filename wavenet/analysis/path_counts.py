"""Which past samples a stack hears, by how many paths, and which never; how what a network uses is spread over them. No tensors.

A layer whose taps hear o1, o2, ... samples back contributes z^o1 + z^o2 + ...; in the product over all layers the coefficient of z^lag
counts the ways to walk back through the taps to that lag. Residual and skip paths hear what tap 0 hears, so they lead nowhere new and
are not counted apart. Lag 0 is the newest sample heard, the one just before what is predicted.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from wavenet.arrays import Array

Offsets = Sequence[Sequence[int]]  # of every layer's taps, as `ModelConfig.offsets`
MOST_WORK = 1 << 27  # additions of logarithms: seconds; stacks that need more are not counted
LISTED = 6  # gaps that are named one by one


class Gap(NamedTuple):
    """Lags first ... last, which nothing hears."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


def levels(offsets: Offsets) -> Iterator[Array]:
    """From one output down to the samples: log2 of the number of paths from it to each lag of every layer's input, -inf for none.

    The top layer's input comes first; the last array, of as many lags as the stack hears back, is about the samples themselves.
    """
    paths = np.zeros(1)
    for taps in reversed(offsets):
        below = np.full(len(paths) + taps[-1], -np.inf)
        for tap in taps:
            part = below[tap : tap + len(paths)]
            np.logaddexp2(part, paths, out=part)
        paths = below
        yield paths


@dataclass(frozen=True)
class PathCounts:
    """`log2_paths` (field,): of the number of paths to each lag; -inf where none leads."""

    log2_paths: Array = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.log2_paths)

    @property
    def covered(self) -> Array:
        """(field,) booleans."""
        return np.isfinite(self.log2_paths)

    @property
    def gaps(self) -> list[Gap]:
        edges = np.flatnonzero(
            np.diff(np.concatenate([[True], self.covered, [True]]).astype(np.int8))
        )
        return [Gap(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]

    @property
    def step(self) -> int:
        """The largest number that divides every lag heard."""
        return int(np.gcd.reduce(np.flatnonzero(self.covered)))

    @property
    def middle_half(self) -> tuple[int, int]:
        """The lags between which the middle half of all paths lead."""
        paths = np.exp2(self.log2_paths - self.log2_paths.max())
        return within(paths, 0.25) - 1, within(paths, 0.75) - 1


def count_paths(offsets: Offsets) -> PathCounts | None:
    """None where counting would take minutes: for fields of millions of samples."""
    size = 1 + sum(taps[-1] for taps in offsets)
    if size * sum(len(taps) for taps in offsets) > MOST_WORK:
        return None
    paths = np.zeros(1)
    for paths in levels(offsets):  # noqa: B007 - the last is wanted
        pass
    return PathCounts(paths)


@dataclass(frozen=True)
class EffectiveReceptiveField:
    """`shares` (field,) of all influence that past samples have, by lag; they sum to 1. Measured at so many moments of `source`."""

    shares: Array = field(repr=False)
    moments: int
    source: str

    def within(self, part: float) -> int:
        """How many of the newest samples together hold this part of it."""
        return within(self.shares, part)


def within(shares: Array, part: float) -> int:
    """How many of the newest lags together hold `part` of the sum of `shares` (field,), which are not negative."""
    reached = np.cumsum(shares, dtype=np.float64)
    return 1 + int(np.searchsorted(reached, part * reached[-1] * (1 - 1e-12)))


def last_cycle(dilations: Sequence[int]) -> int | None:
    """The layer, counted from 0, at which dilations last fell back to the smallest; None when they never did."""
    smallest = min(dilations)
    falls = [i for i in range(1, len(dilations)) if dilations[i] == smallest < dilations[i - 1]]
    return falls[-1] if falls else None


def name_gaps(found: PathCounts) -> str:
    """The gaps in words: all of them when they are few, else the pattern, or the first ones and the longest."""
    gaps, heard, step = found.gaps, found.covered, found.step
    missing = found.size - int(heard.sum())
    regular = step > 1 and bool(heard[::step].all())
    pattern = (
        f"{'only' if regular else 'at most'} every {ordinal(step)} sample is heard; "
        if step > 1
        else ""
    )
    count = f"{missing:,} of {found.size:,} samples {'is' if missing == 1 else 'are'} never heard"
    if regular and len(gaps) > LISTED:
        return pattern + count
    shown = gaps if len(gaps) <= LISTED else gaps[: LISTED // 2]
    more = ""
    if len(gaps) > LISTED:
        longest = max(gaps, key=lambda g: g.last - g.first)
        more = f" and {len(gaps) - len(shown):,} more gaps; the longest is lags {longest}"
    return f"{pattern}{count}: lag{'' if missing == 1 else 's'} {', '.join(map(str, shown))}{more}"


def closing(found: PathCounts) -> list[int]:
    """Dilations of two-tap layers that, added anywhere, leave no gap: together they hear as far as the longest gap."""
    longest = max(g.last - g.first + 1 for g in found.gaps)
    return [2**i for i in range(math.ceil(math.log2(longest + 1)))]


def ordinal(n: int) -> str:
    """2 -> 2nd."""
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
