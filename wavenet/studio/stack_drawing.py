"""What the stack view draws, as arrays that JSON can hold.

Each is of `wavenet.analysis`, brought to as many numbers as can be seen, however long the field is.
"""

from functools import cached_property
from typing import Any

import numpy as np

from wavenet.analysis import path_counts
from wavenet.analysis.path_counts import EffectiveReceptiveField, PathCounts
from wavenet.analysis.report import StackReport
from wavenet.arithmetic import ceil_div
from wavenet.glossary import Array

# Additions of logarithms, which take a tenth of a second: a slider does not wait for seconds.
MAX_ADDITIONS = 1 << 23
# Bars of the strip that shows the whole field, and columns of the tree.
MAX_BARS, COLUMNS = 960, 256
MAX_LEVELS, MAX_EDGES, MAX_GAPS = 64, 512, 200
# From here on paths are counted in powers of two.
MOST_EXACT = 30


class QuickReport(StackReport):
    """A report that does without the paths where counting them takes longer than a slider waits."""

    @cached_property
    def path_counts(self) -> PathCounts | None:
        model = self.config.model
        additions = model.receptive_field * sum(map(len, model.all_offsets))
        return path_counts.count_paths(model.all_offsets) if additions <= MAX_ADDITIONS else None


def coverage(counts: PathCounts | None) -> dict[str, Any] | None:
    """The lags to which paths lead, in bars of `samples` lags each; None where they are unknown."""
    if counts is None:
        return None
    width, starts = _bars(counts.size)
    highest = np.maximum.reduceat(counts.log2_paths, starts)
    uncovered = np.add.reduceat(~counts.covered, starts, dtype=np.int64)
    gaps = counts.gaps
    return {
        "covered": counts.size - counts.uncovered_count,
        "uncovered": counts.uncovered_count,
        "gap_count": len(gaps),
        "gaps": gaps[:MAX_GAPS],
        "gaps_in_words": path_counts.name_gaps(counts) if gaps else "",
        "most_paths": paths_in_words(float(counts.log2_paths.max())),
        "bars": {
            "samples": width,
            "log2_paths": [round(p, 4) if p > -np.inf else None for p in highest.tolist()],
            "uncovered": uncovered.tolist(),
        },
    }


def _bars(size: int) -> tuple[int, Array]:
    """How many lags share a bar, and the first lag of each."""
    width = ceil_div(size, MAX_BARS)
    return width, np.arange(0, size, width)


def paths_in_words(log2_paths: float) -> str:
    """A number of paths, of which the logarithm is known."""
    if log2_paths == -np.inf:
        return "no path"
    if log2_paths < MOST_EXACT:
        count = round(2**log2_paths)
        return "1 path" if count == 1 else f"{count:,} paths"
    return f"about 2^{log2_paths:.0f} paths"


def tree(report: StackReport, newest: int) -> dict[str, Any]:
    """The taps of the output's tree within the newest samples, in columns of `unit` lags each.

    Level 0 is of the samples, level i of the output of layer i; each is listed as runs of columns.
    """
    offsets = report.config.model.all_offsets
    if report.path_counts is None or len(offsets) > MAX_LEVELS:
        few = len(offsets) <= MAX_LEVELS
        deep = f"{len(offsets)} layers are more than a tree is drawn of: {MAX_LEVELS} at most"
        return {"refusal": "the field is too long for a tree" if few else deep}
    reached = [np.flatnonzero(r[:newest]) for r in _reached(offsets)]
    unit = ceil_div(newest, COLUMNS)
    uncovered = np.flatnonzero(~report.path_counts.covered[:newest])
    return {
        "newest": newest,
        "unit": unit,
        "levels": [_column_runs(lags, unit) for lags in reached],
        "uncovered": _column_runs(uncovered, unit),
        "edges": [
            _edges(lags, taps, unit) for lags, taps in zip(reached[1:], offsets, strict=True)
        ],
    }


def _reached(offsets: path_counts.Offsets) -> list[Array]:
    """Which lags of each level, the samples' first, the output depends on."""
    return [np.isfinite(paths) for paths in path_counts.levels(offsets)][::-1]


def _column_runs(lags: Array, unit: int) -> list[int]:
    """The first and the last column of each run of columns that have one of `lags`, ascending."""
    columns = np.unique(lags // unit)
    is_first = np.diff(columns, prepend=-2) > 1
    is_last = np.roll(is_first, -1)
    runs: list[int] = np.stack([columns[is_first], columns[is_last]], axis=1).ravel().tolist()
    return runs


def _edges(lags: Array, taps: tuple[int, ...], unit: int, ends: Array | None = None) -> list[int]:
    """From columns of a level to columns of that below, two numbers for each line.

    Of lags in one column one stands for all, and of too many lines some stand for the others.
    `ends` (lags,) are booleans: where lines may end below.
    """
    kept = lags[np.unique(lags // unit, return_index=True)[1]]
    # With all its taps each, so that a layer keeps its look.
    most = max(1, MAX_EDGES // len(taps))
    if ends is None and len(kept) > most:
        kept = kept[np.linspace(0, len(kept) - 1, most).astype(int)]
    pairs = np.stack(np.broadcast_arrays(kept[:, None], kept[:, None] + np.array(taps)), axis=-1)
    pairs = pairs.reshape(-1, 2)
    if ends is not None:
        pairs = pairs[pairs[:, 1] < len(ends)]
        pairs = pairs[ends[pairs[:, 1]]]
    # As one number each, which is sorted many times sooner than a pair.
    codes = np.unique((pairs[:, 0] // unit << 32) | (pairs[:, 1] // unit))
    if len(codes) > MAX_EDGES:
        codes = codes[np.linspace(0, len(codes) - 1, MAX_EDGES).astype(int)]
    lines: list[int] = np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1).ravel().tolist()
    return lines


def paths_to(report: StackReport, lag: int, newest: int) -> dict[str, Any]:
    """The part of the tree that leads to one sample, and in words how many paths do."""
    counts, offsets = report.path_counts, report.config.model.all_offsets
    when = f"lag {lag:,}, {report.ms(lag)} ms back" if lag else "lag 0, the newest sample"
    if counts is None:
        return {"lag": lag, "covered": None, "words": f"{when}: paths are not counted", "edges": []}
    log2_paths = float(counts.log2_paths[lag])
    paths, covered = paths_in_words(log2_paths), log2_paths > -np.inf
    lead = "leads" if paths in ("no path", "1 path") else "lead"
    words = f"{when}: {paths} {lead} there"
    if not covered:
        words += ", so it is never heard"
    answer = {"lag": lag, "covered": covered, "words": words, "edges": [], "levels": []}
    if not covered or len(offsets) > MAX_LEVELS:
        return answer
    # The output depends on level i at a lag, and that on the sample so many lags further back.
    above, below = _reached(offsets), [np.isfinite(p) for p in path_counts.levels(offsets[::-1])]
    on_paths = []
    for seen, leads in zip(above, below, strict=True):
        on_path = np.zeros(lag + 1, bool)
        first = max(0, lag + 1 - len(leads))
        reaches = leads[: lag + 1 - first][::-1]
        on_path[first : first + len(reaches)] = reaches
        on_path[: len(seen)] &= seen[: lag + 1]
        on_path[len(seen) :] = False
        on_paths.append(on_path)
    unit = ceil_div(newest, COLUMNS)
    lags = [np.flatnonzero(on_path) for on_path in on_paths]
    answer["levels"] = [_column_runs(part[part < newest], unit) for part in lags]
    layers = zip(lags[1:], offsets, on_paths[:-1], strict=True)
    answer["edges"] = [_edges(part, taps, unit, ends) for part, taps, ends in layers]
    return answer


def influence(report: StackReport, effective: EffectiveReceptiveField) -> dict[str, Any]:
    """The measured influence in the same bars as the paths."""
    width, starts = _bars(len(effective.influence))
    shares = np.add.reduceat(effective.influence, starts)
    in_theory = StackReport(report.name, report.config, report.pitch).advice()
    return {
        "source": effective.source,
        "moments": effective.predictions,
        "samples": width,
        "shares": [float(f"{share:.4g}") for share in shares],
        "extents": [
            {"part": name, "samples": extent, "ms": report.ms(extent)}
            for name, extent in effective.extents.items()
        ],
        "advice": [sentence for sentence in report.advice() if sentence not in in_theory],
    }
