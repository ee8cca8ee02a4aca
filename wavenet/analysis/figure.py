"""The stack as a picture: the taps that one output depends on, how many paths lead to each past
sample, and, where it was measured, how much each past sample influences predictions.

Time runs to the right, as in the figure of the WaveNet paper: the newest sample, lag 0, stands at
the right.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.analysis import figure_stack
from wavenet.analysis.path_counts import EffectiveReceptiveField, PathCounts
from wavenet.analysis.report import StackReport
from wavenet.arithmetic import ceil_div
from wavenet.errors import OutputError
from wavenet.plotting import style
from wavenet.plotting.style import AMBER, BLACK, BLUE, ORANGE
from wavenet.system.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0  # inches
LETTERS: Any = {"font.size": 11.5, "axes.titlesize": 11.5, "axes.titlelocation": "left"}
# The least influence that is drawn is this many times less than the largest.
INFLUENCE_RANGE = 1e6
# From this many paths to a lag on, they are written as multiples of a power of ten.
MAX_PLAIN_PATHS = 10_000
# The part of the influence panel's height that is for the bars; above them are the extents.
BARS = 0.62
MAX_BARS = 4000  # of paths
# Characters. Of a longer name the end is shown.
MAX_NAME = 80


@style.drawing
def draw(path: Path, report: StackReport) -> None:
    """Into a .png, .svg or .pdf. Raises OutputError."""
    if report.path_counts is None:
        samples = f"{report.cost.receptive_field:,} samples"
        reason = f"{report.name} hears {samples}, too many to draw"
        raise OutputError(path, reason, "lower the dilations")
    style.save(compose(report, report.path_counts), path)


def compose(report: StackReport, counts: PathCounts) -> "Figure":
    """The figure of a report with these paths."""
    effective = report.effective_field
    heights = [figure_stack.height(report.config.model), 1.5]
    if effective is not None:
        heights.append(2.5)
    figure = style.blank(WIDTH, sum(heights) + 1.2 + (0.7 if effective else 0))
    figure.set_layout_engine("constrained", h_pad=0.08)
    from matplotlib import rc_context

    with rc_context(LETTERS):
        stack, paths, *influence = figure.subplots(len(heights), 1, height_ratios=heights)
        _lag_axis(paths, report, logarithmic=False)
        stack.set_xlim(paths.get_xlim())
        figure_stack.draw(stack, report.config.model, counts)
        # In a name, $ begins no formula.
        stack.set_title(_title(report), fontsize=14, parse_math=False)
        stack.set_xticks([])
        _paths_panel(paths, counts)
        for axes in influence:
            assert effective is not None
            _lag_axis(axes, report, logarithmic=counts.size > figure_stack.MAX_WHOLE)
            _influence_panel(axes, report, effective)
        for axes in figure.axes:
            axes.spines[["left", "top", "right"]].set_visible(False)
        stack.spines["bottom"].set_visible(False)
        # Labels of ticks get their size when first drawn.
        figure.draw_without_rendering()
    return figure


def _title(report: StackReport) -> str:
    size = report.cost.receptive_field
    name = _end_of(report.name)
    field = f"{size:,} samples = {report.ms(size)} ms at {report.sample_rate} Hz"
    n = len(report.cost.layers)
    heard = f"{counted(n, 'layer')} {'hear' if n > 1 else 'hears'} {field}"
    return f"{name}: {heard}" if len(name) < 30 else f"{name}\n{heard}"


def _end_of(name: str) -> str:
    """What there is room for."""
    return name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"


def _lag_axis(axes: "Axes", report: StackReport, logarithmic: bool) -> None:
    """Newest sample at the right; ticks in samples and in milliseconds."""
    size = report.cost.receptive_field
    if logarithmic:
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.set_xlim(1.08 * size, -0.4)
        powers = [10**i for i in range(8)]
        ticks = [0, *(power for power in powers if power < 0.4 * size), size - 1]
        multiples = [digit * power for power in powers for digit in range(2, 10)]
        axes.set_xticks([lag for lag in multiples if lag < size], minor=True)
    else:
        margin = max(0.6, 0.012 * size)
        axes.set_xlim(size - 1 + margin, -margin)
        step = _power_of_two(size / 12)
        ticks = list(range(0, size, step))
    axes.set_xticks(ticks, [f"{lag:,}\n{report.ms(lag) if lag else 0}" for lag in ticks])
    scale = "lag, logarithmic," if logarithmic else "lag"
    axes.set_xlabel(f"{scale} in samples (above) and milliseconds (below); 0 is the newest")


def _power_of_two(least: float) -> int:
    """The smallest that is not less, for dilations are mostly powers of two."""
    return 1 << max(0, int(np.ceil(np.log2(least))))


def _paths_panel(axes: "Axes", counts: PathCounts) -> None:
    """Paths to each lag, and the lags that none leads to."""
    from matplotlib.patches import Patch

    log10_paths = counts.log2_paths * np.log10(2)
    highest = float(log10_paths.max())
    exponent = int(highest) if highest > np.log10(MAX_PLAIN_PATHS) else 0
    heights = 10 ** (log10_paths - exponent)
    lags = np.arange(counts.size)
    if counts.size <= figure_stack.MAX_WHOLE:
        axes.bar(lags, heights, 0.7, color=BLUE)
    else:
        # As many as can be seen: a hundred thousand would take minutes.
        starts = np.arange(0, counts.size, ceil_div(counts.size, MAX_BARS))
        edges = np.append(starts, counts.size) - 0.5
        axes.stairs(np.maximum.reduceat(heights, starts), edges, fill=True, color=BLUE)
    top = float(heights.max())
    spans = [(gap.first - 0.5, gap.last - gap.first + 1) for gap in counts.gaps]
    foot = 0.0
    if spans:
        hatched: Any = {"facecolor": "white", "edgecolor": ORANGE, "hatch": "/////"}
        axes.broken_barh(spans, (-0.2 * top, 0.2 * top), linewidth=0, **hatched)
        patch = Patch(label="never heard", **hatched)
        axes.legend(handles=[patch], loc="lower right", bbox_to_anchor=(1, 0.98), frameon=False)
        foot = -0.2 * top
    axes.set_ylim(foot, 1.08 * top)
    step = _round_up(top / 4) if exponent else max(1, _round_up(top / 4))
    ticks = np.arange(0, top * 1.001, step)
    power = f" · $10^{{{exponent}}}$" if exponent else ""
    axes.set_yticks(ticks, [f"{tick:,g}{power}" if tick else "0" for tick in ticks])
    axes.set_ylabel("paths to\neach sample")


def _round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * 0.999))


def _influence_panel(axes: "Axes", report: StackReport, effective: EffectiveReceptiveField) -> None:
    """Each lag's influence, smoothed where many lie close together, and the extents of parts."""
    percent = 100 * effective.influence
    linear, logarithmic = np.arange(20), np.geomspace(20, len(percent), 60)
    edges = np.unique(np.rint(np.concatenate([linear, logarithmic])).astype(int))
    edges = edges[edges <= len(percent)]
    means = np.add.reduceat(percent, edges[:-1]) / np.diff(edges)
    positions = np.concatenate([[-0.3], edges[1:] - 0.5])
    axes.stairs(means, positions, baseline=1e-12, fill=True, color=AMBER)
    axes.set_yscale("log", subs=[])
    highest = float(means.max())
    axes.set_ylim(highest / INFLUENCE_RANGE, highest * INFLUENCE_RANGE ** (1 / BARS - 1))
    top = int(np.floor(np.log10(highest)))
    powers = range(top, top - round(np.log10(INFLUENCE_RANGE)), -2)
    names = [f"{10.0**power:.{max(0, -power)}f}" for power in powers]
    axes.set_yticks([10.0**power for power in powers], names)
    axes.set_yticks([], minor=True)
    axes.set_ylabel("influence of\na sample, %")
    where = f"measured at {effective.predictions} moments of {_end_of(effective.source)}"
    axes.set_title(where, parse_math=False)
    rows = np.linspace(0.93, BARS + 0.08, len(effective.extents))
    for y, (name, extent) in zip(rows, effective.extents.items(), strict=True):
        _bracket(axes, y, extent, f"{name}: {report.ms(extent)} ms")


def _bracket(axes: "Axes", y: float, extent: int, name: str) -> None:
    """Around the newest `extent` samples, at a part `y` of the panel's height."""
    across = axes.get_xaxis_transform()
    newest, oldest = -0.3, extent - 0.5
    line: Any = {"color": BLACK, "transform": across, "linewidth": 1.2}
    axes.plot([newest, oldest], [y, y], "-", marker="|", markersize=9, **line)
    axes.plot([oldest, oldest], [0, y], ":", **line)
    pixel = axes.transData.transform((oldest, 1))
    has_room = axes.transAxes.inverted().transform(pixel)[0] > 0.17
    beside: Any = {"textcoords": "offset points", "va": "center", "color": BLACK}
    beside |= {"xytext": (-7, 0), "ha": "right"} if has_room else {"xytext": (9, 0), "ha": "left"}
    if not has_room:
        beside["bbox"] = {"color": "white", "pad": 1}
    axes.annotate(name, (oldest, y), xycoords=across, **beside)
