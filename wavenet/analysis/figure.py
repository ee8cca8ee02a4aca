"""The stack as a picture: the tree of taps that one output depends on, how many paths lead to each
past sample, and, where it was measured, how much each past sample influences predictions.

Time runs to the right, as in the figure of the WaveNet paper: the newest sample, lag 0, stands at
the right.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet import plotting
from wavenet.analysis.path_counts import EffectiveReceptiveField, PathCounts, levels
from wavenet.analysis.report import StackReport
from wavenet.arithmetic import ceil_div
from wavenet.config import ModelConfig
from wavenet.errors import OutputError
from wavenet.glossary import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 10.0  # inches
# Samples. A longer receptive field gets a logarithmic axis.
MAX_LINEAR = 64
# Taps that begin and end within the same 1/240 of the width are drawn as one.
COLUMNS = 240
# Layers. Of more, every second, third, ... is labelled.
MAX_LABELS = 64
# The least influence that is drawn is this many times less than the largest.
INFLUENCE_RANGE = 1e6
# From this many paths to a lag on, they are drawn as powers of ten.
MAX_LINEAR_PATHS = 30
BLUE, PALE, RED, ORANGE = "#22577a", "#dde8ef", "#c1121f", "#e07a00"


@plotting.drawing
def draw(path: Path, report: StackReport) -> None:
    """Into a .png or .svg. Raises OutputError."""
    counts, effective = report.path_counts, report.effective_field
    samples = f"{report.cost.receptive_field:,} samples"
    if counts is None:
        reason = f"{report.name} hears {samples}, too many to draw"
        raise OutputError(path, reason, "lower the dilations")
    n_levels = len(report.config.model.all_offsets)
    heights = [min(10.0, 0.8 + n_levels * max(0.15, 0.42 - n_levels / 125)), 1.5]
    if effective is not None:
        heights.append(1.9)
    figure = plotting.blank(WIDTH, sum(heights) + 1.0)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    top, bottom = panels[0], panels[-1]
    _lag_axis(bottom, report)
    _stack_panel(top, report.config.model, counts)
    _paths_panel(panels[1], counts)
    if effective is not None:
        _influence_panel(bottom, report, effective)
    for axes in panels:
        axes.tick_params(axis="x", which="both", bottom=axes is bottom)
        axes.spines[:].set_visible(False)
        axes.spines["bottom"].set_visible(axes is not top)
    field = f"{samples} = {report.ms(report.cost.receptive_field)} ms at {report.sample_rate} Hz"
    title = f"{report.name}: {len(report.cost.layers)} layers hear {field}"
    top.set_title(title, loc="left", fontsize=13)
    bottom.set_xlabel(
        "lag in samples (above) and milliseconds (below); 0 is the newest sample heard"
    )
    plotting.save(figure, path)


def _lag_axis(axes: "Axes", report: StackReport) -> None:
    size = report.cost.receptive_field
    if size > MAX_LINEAR:
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.set_xlim(1.08 * size, -0.4)
        powers = [10**i for i in range(7)]
        ticks = [0, *(power for power in powers if power < 0.4 * size), size - 1]
        multiples = [digit * power for power in powers for digit in range(2, 10)]
        axes.set_xticks([lag for lag in multiples if lag < size], minor=True)
    else:
        axes.set_xlim(size - 0.6, -0.4)
        ticks = list(range(0, size, ceil_div(size, 16)))
    axes.set_xticks(ticks, [f"{lag:,}\n{report.ms(lag) if lag else 0}" for lag in ticks])


def _stack_panel(axes: "Axes", model: ModelConfig, counts: PathCounts) -> None:
    """Lines are the taps that the output at the top right depends on.

    Level 0 stands for the samples, level i for the output of layer i.
    """
    offsets = model.all_offsets
    n = len(offsets)
    # The lags at which each level matters to the output, the samples' first.
    lags_by_level = [np.flatnonzero(np.isfinite(paths)) for paths in levels(offsets)][::-1]
    oldest = [lags[-1] for lags in lags_by_level]
    axes.fill_betweenx(range(n + 1), 0, oldest, color=PALE, linewidth=0)
    for level, taps in enumerate(offsets, start=1):
        _draw_taps(axes, level, lags_by_level[level], taps)
    for level, lags in enumerate(lags_by_level):
        _draw_nodes(axes, level, lags[_is_alone(axes, lags)], BLUE, 2.5 if n > 12 else 4)
    if counts.size <= MAX_LINEAR:
        _draw_nodes(axes, 0, np.flatnonzero(~counts.covered), "white", 4, edge=RED)
    axes.plot([0], [n], "o", color=RED, markersize=7, clip_on=False, zorder=5)
    above: Any = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
    axes.annotate("output", (0, n), color=RED, fontsize=10, **above)
    axes.set_ylim(-0.3, n + 0.3)
    names = [str(dilation) for dilation in model.schedule]
    names += [f"to {taps[-1]}" for taps in offsets[len(model.schedule) :]]
    every = ceil_div(n, MAX_LABELS)
    axes.set_yticks([i + 0.5 for i in range(0, n, every)], names[::every])
    axes.tick_params(axis="y", length=0, labelsize=10 if n <= 12 else 8)
    axes.set_ylabel("dilation, first layer at the bottom" if n > 6 else "dilation")


def _draw_taps(axes: "Axes", level: int, lags: Array, taps: tuple[int, ...]) -> None:
    """A line from each lag of a level's output along each tap to the level below."""
    from matplotlib.collections import LineCollection

    starts = _thinned(axes, lags[:, None])[:, 0]
    all_edges = np.concatenate([np.column_stack([starts, starts + tap]) for tap in taps])
    edges = _thinned(axes, all_edges)  # (edges, 2)
    ys = np.broadcast_to([level, level - 1], edges.shape)
    segments = np.stack([edges, ys], axis=2)  # (edges, ends, x and y)
    alpha = float(np.clip(10 / np.sqrt(len(edges)), 0.25, 0.9))
    axes.add_collection(LineCollection(list(segments), colors=BLUE, linewidths=0.7, alpha=alpha))


def _draw_nodes(
    axes: "Axes", level: int, lags: Array, color: str, size: float, edge: str | None = None
) -> None:
    ys = np.full(len(lags), level)
    if len(lags):
        axes.plot(lags, ys, "o", color=color, markeredgecolor=edge, markersize=size, clip_on=False)


def _thinned(axes: "Axes", edges: Array) -> Array:
    """Of taps (edges, 2) from lag to lag, one for every pair of columns; also of lags (lags, 1)."""
    columns = np.rint(COLUMNS * _fraction_across(axes, edges.ravel()).reshape(edges.shape))
    _, first = np.unique(columns.astype(int), axis=0, return_index=True)
    return edges[first]


def _is_alone(axes: "Axes", lags: Array) -> Array:
    """Which lags, in ascending order, lie more than two columns from their neighbours."""
    apart = np.abs(np.diff(_fraction_across(axes, lags))) * COLUMNS > 2
    alone: Array = np.concatenate([[True], apart]) & np.concatenate([apart, [True]])
    return alone


def _fraction_across(axes: "Axes", lags: Array) -> Array:
    """Where lags lie across the panel, 0 ... 1."""
    pixels = axes.transData.transform(np.column_stack([lags, np.zeros(len(lags))]))
    return np.asarray(axes.transAxes.inverted().transform(pixels))[:, 0]


def _paths_panel(axes: "Axes", counts: PathCounts) -> None:
    """Paths to each lag, in powers of ten where they are many; lags that none leads to are red."""
    many = bool(counts.log2_paths.max() > np.log2(MAX_LINEAR_PATHS))
    heights = counts.log2_paths * np.log10(2) if many else np.exp2(counts.log2_paths)
    # On the logarithmic axis a single path is drawn at 0, so its bar starts below.
    foot = -0.2 if many else 0.0
    lags, covered = np.arange(counts.size), counts.covered
    if counts.size <= MAX_LINEAR:
        axes.bar(lags[covered], heights[covered] - foot, 0.7, bottom=foot, color=BLUE)
    else:
        edges = np.concatenate([[-0.3], lags[1:] - 0.5, [lags[-1] + 0.5]])
        filled = np.where(covered, heights, foot)
        axes.stairs(filled, edges, baseline=foot, fill=True, color=BLUE)
    top = float(heights[covered].max())
    height = top - foot
    spans = [(gap.first - 0.45, gap.last - gap.first + 0.9) for gap in counts.gaps]
    if spans:
        axes.broken_barh(spans, (foot - 0.12 * height, 0.09 * height), color=RED, linewidth=0)
        axes.set_title("red: never heard", loc="right", fontsize=10, color=RED)
    axes.set_ylim(foot - 0.15 * height, foot + 1.06 * height)
    if many:
        powers = range(0, int(top) + 1, max(1, int(top) // 3))
        axes.set_yticks(powers, [f"$10^{{{power}}}$" for power in powers])
    else:
        axes.set_yticks(range(0, round(top) + 1, max(1, round(top) // 4)))
    axes.set_ylabel("paths")


def _influence_panel(axes: "Axes", report: StackReport, effective: EffectiveReceptiveField) -> None:
    """Each lag's influence, smoothed where many lie close together, and the extents of parts."""
    percent = 100 * effective.influence
    linear, logarithmic = np.arange(20), np.geomspace(20, len(percent), 60)
    edges = np.unique(np.rint(np.concatenate([linear, logarithmic])).astype(int))
    edges = edges[edges <= len(percent)]
    means = np.add.reduceat(percent, edges[:-1]) / np.diff(edges)
    positions = np.concatenate([[-0.3], edges[1:] - 0.5])
    axes.stairs(means, positions, baseline=1e-12, fill=True, color=ORANGE)
    axes.set_yscale("log", subs=[])
    highest = float(means.max())
    axes.set_ylim(highest / INFLUENCE_RANGE, highest * 3)
    style: Any = {"textcoords": "offset points", "ha": "right", "va": "top", "fontsize": 10}
    style |= {"xycoords": ("data", "axes fraction"), "bbox": {"color": "white", "pad": 1}}
    for row, (name, extent) in enumerate(effective.extents.items()):
        axes.axvline(extent - 1, color="black", linewidth=0.9)
        label = f"{name}: {report.ms(extent)} ms"
        axes.annotate(label, (extent - 1, 1), xytext=(-5, -2 - 14 * row), **style)
    axes.yaxis.set_major_formatter(lambda percent, _: f"{percent:g}")
    axes.set_ylabel("influence of\na sample, %")
    where = f"measured at {effective.predictions} moments of {effective.source}"
    axes.set_title(where, loc="left", fontsize=10)
