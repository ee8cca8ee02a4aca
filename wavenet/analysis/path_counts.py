"""Which past samples a stack sees, by how many paths, and which it misses. No tensors.

A layer whose taps lie at the offsets o1, o2, ... contributes z^o1 + z^o2 + ...; in the product over
all layers the coefficient of z^lag counts the ways to walk back through the taps to that lag.
Residual and skip paths see what tap 0 sees, so they lead nowhere new and are not counted apart.
Lag 0 is the newest sample of the input, the one just before the sample that is predicted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from wavenet.glossary import Array

# The offsets of every layer's taps, as `ModelConfig.offsets`.
Offsets = Sequence[Sequence[int]]
# Additions of logarithms, which take seconds. The paths of stacks that need more are not counted.
MAX_ADDITIONS = 1 << 27
MAX_LISTED_GAPS = 6
# The fractions of the influence whose extents are reported, by what they are called.
INFLUENCE_FRACTIONS = {"half": 0.5, "90 %": 0.9, "99 %": 0.99}


class Gap(NamedTuple):
    """The lags first ... last, to which no path leads."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


def levels(offsets: Offsets) -> Iterator[Array]:
    """From one output down to the samples: log2 of the paths to each lag of what a layer makes.

    The output, at lag 0 alone, comes first; the last array, as long as the receptive field, is
    about the samples themselves. Where no path leads stands -inf.
    """
    return accumulate(reversed(offsets), _level_below, initial=np.zeros(1))


def _level_below(paths: Array, taps: Sequence[int]) -> Array:
    """From log2 of the paths to each lag of a layer's output, that of its input."""
    below = np.full(len(paths) + taps[-1], -np.inf)
    for tap in taps:
        part = below[tap : tap + len(paths)]
        np.logaddexp2(part, paths, out=part)
    return below


@dataclass(frozen=True)
class PathCounts:
    """`log2_paths` (receptive_field,): of the number of paths to each lag, -inf for none."""

    log2_paths: Array = field(repr=False)

    @property
    def size(self) -> int:
        """The receptive field in samples."""
        return len(self.log2_paths)

    @property
    def covered(self) -> Array:
        """(receptive_field,) booleans: the lags to which a path leads."""
        return np.isfinite(self.log2_paths)

    @property
    def uncovered_count(self) -> int:
        return self.size - int(self.covered.sum())

    @property
    def gaps(self) -> list[Gap]:
        bordered = np.concatenate([[True], self.covered, [True]]).astype(np.int8)
        edges = np.flatnonzero(np.diff(bordered))
        return [Gap(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]

    @property
    def middle_half(self) -> tuple[int, int]:
        """The lags between which the middle half of all paths lead."""
        paths = np.exp2(self.log2_paths - self.log2_paths.max())
        return within(paths, 0.25) - 1, within(paths, 0.75) - 1


def count_paths(offsets: Offsets) -> PathCounts | None:
    """None where counting would take minutes: for receptive fields of millions of samples."""
    size = 1 + sum(taps[-1] for taps in offsets)
    if size * sum(len(taps) for taps in offsets) > MAX_ADDITIONS:
        return None
    return PathCounts(reduce(_level_below, reversed(offsets), np.zeros(1)))


@dataclass(frozen=True)
class EffectiveReceptiveField:
    """How the influence of past samples on predictions is spread over the lags (Luo et al. 2016).

    `influence` (receptive_field,) sums to 1. It is the mean over `predictions` samples of `source`.
    """

    influence: Array = field(repr=False)
    predictions: int
    source: str

    @property
    def extents(self) -> dict[str, int]:
        """How many of the newest samples together have each of INFLUENCE_FRACTIONS."""
        return {name: within(self.influence, part) for name, part in INFLUENCE_FRACTIONS.items()}


def within(weights: Array, fraction: float) -> int:
    """How many of the newest lags together hold a fraction of the sum of `weights`.

    `weights` (receptive_field,) are not negative.
    """
    cumulated = np.cumsum(weights, dtype=np.float64)
    threshold = fraction * cumulated[-1] * (1 - 1e-12)
    return 1 + int(np.searchsorted(cumulated, threshold))


def last_cycle(dilations: Sequence[int]) -> int | None:
    """The layer, from 0, at which dilations last fell back to the smallest; None if never."""
    smallest = min(dilations)
    falls = (i for i in range(1, len(dilations)) if dilations[i] == smallest < dilations[i - 1])
    return max(falls, default=None)


def name_gaps(counts: PathCounts) -> str:
    """The gaps in words: all when they are few, else the pattern, or the first and the longest."""
    gaps, covered, missing = counts.gaps, counts.covered, counts.uncovered_count
    # The largest number that divides every covered lag.
    step = int(np.gcd.reduce(np.flatnonzero(covered)))
    regular = step > 1 and bool(covered[::step].all())
    pattern = f"{'only' if regular else 'at most'} every {ordinal(step)} sample is heard; "
    are, lags = ("is", "lag") if missing == 1 else ("are", "lags")
    summary = f"{missing:,} of {counts.size:,} samples {are} never heard"
    if step > 1:
        summary = pattern + summary
    if len(gaps) <= MAX_LISTED_GAPS:
        return f"{summary}: {lags} {', '.join(map(str, gaps))}"
    if regular:
        return summary
    listed = gaps[: MAX_LISTED_GAPS // 2]
    longest = max(gaps, key=lambda gap: gap.last - gap.first)
    more = f"{len(gaps) - len(listed):,} more gaps; the longest is lags {longest}"
    return f"{summary}: {lags} {', '.join(map(str, listed))} and {more}"


def gap_closing_dilations(counts: PathCounts) -> list[int]:
    """Dilations of two-tap layers that leave no gap wherever they are added.

    Together they see as far back as the longest gap is wide.
    """
    longest = max(gap.last - gap.first + 1 for gap in counts.gaps)
    return [2**i for i in range(longest.bit_length())]


def ordinal(n: int) -> str:
    """2 -> 2nd."""
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
