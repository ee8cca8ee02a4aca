"""The stack as a picture: the tree of taps that reach one output, how many paths lead to each past sample, and what is made of them.

Time runs to the right, as in the paper's figure: the newest sample, lag 0, stands at the right.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wavenet import plotting
from wavenet.analysis.path_counts import EffectiveReceptiveField, PathCounts, levels
from wavenet.analysis.report import PARTS, StackReport
from wavenet.arrays import Array
from wavenet.config import ModelConfig
from wavenet.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 10.0  # inches
LINEAR = 64  # samples; longer fields get a logarithmic axis
COLUMNS = 240  # taps that begin and end within the same 1/240 of the width are drawn as one
LABELLED = 64  # layers; of more, every second, third, ... is labelled
SHOWN = 1e6  # times less than the largest influence is the least that is drawn
BLUE, PALE, RED, ORANGE = "#22577a", "#dde8ef", "#c1121f", "#e07a00"


def draw(path: Path, found: StackReport) -> None:
    """Into a .png or .svg. Raises OutputError."""
    if found.coverage is None:
        raise OutputError(
            f"{path}: {found.name} hears {found.field:,} samples, too many to draw; lower the dilations"
        )
    layers, levels_up = len(found.report.layers), len(found.config.model.all_offsets)
    stack = min(10.0, 0.8 + levels_up * max(0.15, 0.42 - levels_up / 125))
    heights = [stack, 1.5, *[1.9] * (found.influence is not None)]
    figure = plotting.blank(WIDTH, sum(heights) + 1.0)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _lag_axis(axes[-1], found)
    _stack(axes[0], found.config.model, found.coverage)
    _paths(axes[1], found.coverage)
    if found.influence is not None:
        _influence(axes[2], found, found.influence)
    for one in axes:
        one.tick_params(axis="x", which="both", bottom=one is axes[-1])
        for side in ("top", "right", "left", "bottom"):
            one.spines[side].set_visible(side == "bottom" and one is not axes[0])
    title = f"{found.name}: {layers} layers hear {found.field:,} samples = {found.ms(found.field)} ms at {found.sample_rate} Hz"
    axes[0].set_title(title, loc="left", fontsize=13)
    axes[-1].set_xlabel(
        "lag in samples (above) and milliseconds (below); 0 is the newest sample heard"
    )
    plotting.save(figure, path)


def _lag_axis(axes: "Axes", found: StackReport) -> None:
    size = found.field
    if size > LINEAR:
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.set_xlim(1.08 * size, -0.4)
        ticks = [0, *(10**i for i in range(7) if 10**i < 0.4 * size), size - 1]
        axes.set_xticks(
            [d * 10**i for i in range(7) for d in range(2, 10) if d * 10**i < size], minor=True
        )
    else:
        axes.set_xlim(size - 0.6, -0.4)
        every = -(-size // 16)
        ticks = list(range(0, size, every))
    axes.set_xticks(ticks, [f"{t:,}\n{found.ms(t) if t else 0}" for t in ticks])


def _stack(axes: "Axes", model: ModelConfig, found: PathCounts) -> None:
    """Level 0 are the samples, level i what layer i makes; lines are the taps that the output at the top right depends on."""
    from matplotlib.collections import LineCollection

    offsets, n = model.all_offsets, len(model.all_offsets)
    nodes = [np.zeros(1, int), *(np.flatnonzero(np.isfinite(paths)) for paths in levels(offsets))][
        ::-1
    ]  # lags that matter, by level
    axes.fill_betweenx(range(n + 1), 0, [lags[-1] for lags in nodes], color=PALE, linewidth=0)
    for y, taps in enumerate(offsets, start=1):
        starts = _thinned(axes, nodes[y][:, None])[:, 0]
        edges = _thinned(
            axes, np.concatenate([np.column_stack([starts, starts + tap]) for tap in taps])
        )
        segments = np.stack(
            [edges, np.broadcast_to([y, y - 1], edges.shape)], axis=2
        )  # (edges, ends, x and y)
        alpha = float(np.clip(10 / np.sqrt(len(edges)), 0.25, 0.9))
        axes.add_collection(
            LineCollection(list(segments), colors=BLUE, linewidths=0.7, alpha=alpha)
        )
    for y, lags in enumerate(nodes):
        if len(shown := lags[_alone(axes, lags)]):
            axes.plot(
                shown,
                np.full(len(shown), y),
                "o",
                color=BLUE,
                markersize=2.5 if n > 12 else 4,
                clip_on=False,
            )
    unheard = np.flatnonzero(~found.covered)
    if found.size <= LINEAR and len(unheard):
        axes.plot(
            unheard,
            np.zeros(len(unheard)),
            "o",
            color="white",
            markeredgecolor=RED,
            markersize=4,
            clip_on=False,
        )
    axes.plot([0], [n], "o", color=RED, markersize=7, clip_on=False, zorder=5)
    axes.annotate(
        "output",
        (0, n),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=RED,
        fontsize=10,
    )
    axes.set_ylim(-0.3, n + 0.3)
    every = -(-n // LABELLED)
    names = [str(d) for d in model.schedule] + [
        f"to {taps[-1]}" for taps in offsets[len(model.schedule) :]
    ]
    axes.set_yticks([i + 0.5 for i in range(0, n, every)], names[::every])
    axes.tick_params(axis="y", length=0, labelsize=10 if n <= 12 else 8)
    axes.set_ylabel("dilation, first layer at the bottom" if n > 6 else "dilation")


def _thinned(axes: "Axes", edges: Array) -> Array:
    """Of taps (edges, 2) from lag to lag, one for every pair of columns; likewise of lags (lags, 1)."""
    columns = np.rint(COLUMNS * _across(axes, edges.ravel()).reshape(edges.shape)).astype(int)
    return edges[np.unique(columns, axis=0, return_index=True)[1]]


def _alone(axes: "Axes", lags: Array) -> Array:
    """Which lags, ascending, lie more than two columns from their neighbours."""
    apart = np.abs(np.diff(_across(axes, lags))) * COLUMNS > 2
    alone: Array = np.concatenate([[True], apart]) & np.concatenate([apart, [True]])
    return alone


def _across(axes: "Axes", lags: Array) -> Array:
    """Where lags lie across the picture, 0 ... 1."""
    at = axes.transData.transform(np.column_stack([lags, np.zeros(len(lags))]))
    placed: Array = np.asarray(axes.transAxes.inverted().transform(at))[:, 0]
    return placed


def _paths(axes: "Axes", found: PathCounts) -> None:
    """Paths to each lag, in powers of ten where they are many; what no path leads to is red."""
    counts = (
        found.log2_paths * np.log10(2)
        if (many := found.log2_paths.max() > np.log2(30))
        else np.exp2(found.log2_paths)
    )
    lags, foot = np.arange(found.size), -0.2 if many else 0.0
    heard = found.covered
    if found.size <= LINEAR:
        axes.bar(lags[heard], counts[heard] - foot, 0.7, bottom=foot, color=BLUE)
    else:
        edges = np.concatenate([[-0.3], lags[1:] - 0.5, [lags[-1] + 0.5]])
        axes.stairs(np.where(heard, counts, foot), edges, baseline=foot, fill=True, color=BLUE)
    top = float(counts[heard].max())
    spans = [(g.first - 0.45, g.last - g.first + 0.9) for g in found.gaps]
    if spans:
        axes.broken_barh(
            spans, (foot - 0.12 * (top - foot), 0.09 * (top - foot)), color=RED, linewidth=0
        )
        axes.set_title("red: never heard", loc="right", fontsize=10, color=RED)
    axes.set_ylim(foot - 0.15 * (top - foot), foot + 1.06 * (top - foot))
    if many:
        powers = range(0, int(top) + 1, max(1, int(top) // 3))
        axes.set_yticks(powers, [f"$10^{{{p}}}$" for p in powers])
    else:
        axes.set_yticks(range(0, round(top) + 1, max(1, round(top) // 4)))
    axes.set_ylabel("paths")


def _influence(axes: "Axes", found: StackReport, measured: EffectiveReceptiveField) -> None:
    """Each lag's share, smoothed where many lie close together, and how far back the parts of the whole reach."""
    shares = 100 * measured.shares
    edges = np.unique(
        np.rint(np.concatenate([np.arange(20), np.geomspace(20, len(shares), 60)])).astype(int)
    )
    edges = edges[edges <= len(shares)]
    means = np.add.reduceat(shares, edges[:-1]) / np.diff(edges)
    axes.stairs(
        means, np.concatenate([[-0.3], edges[1:] - 0.5]), baseline=1e-12, fill=True, color=ORANGE
    )
    axes.set_yscale("log", subs=[])
    high = float(means.max())
    axes.set_ylim(high / SHOWN, high * 3)
    for row, (name, part) in enumerate(PARTS.items()):
        lag = measured.within(part) - 1
        axes.axvline(lag, color="black", linewidth=0.9)
        axes.annotate(
            f"{name}: {found.ms(lag + 1)} ms", (lag, 1), xycoords=("data", "axes fraction"), xytext=(-5, -2 - 14 * row),
            textcoords="offset points", ha="right", va="top", fontsize=10, bbox={"color": "white", "pad": 1},
        )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda percent, _: f"{percent:g}")
    axes.set_ylabel("influence of\na sample, %")
    axes.set_title(
        f"measured at {measured.moments} moments of {measured.source}", loc="left", fontsize=10
    )
