"""The stack as a drawing: the tree of taps below one output, and all that it depends on.

In a short receptive field every tap is drawn. In a longer one their lines would run together, so
from every cycle of dilations the taps below one unit are drawn: below the output, then below the
oldest unit that the cycle above reaches, and so on, one tree beside the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.analysis.path_counts import PathCounts, last_cycle, levels
from wavenet.arithmetic import ceil_div
from wavenet.config import ModelConfig
from wavenet.glossary import Array
from wavenet.plotting.style import AMBER, BLACK, BLUE, ORANGE, PALE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Samples. In a longer receptive field not every tap is drawn.
MAX_WHOLE = 64
# As shares of the width. Lines that lie closer are drawn as a shade, and closer dots left out.
MIN_LINE_SPACING, MIN_DOT_SPACING = 1 / 240, 1 / 110
# Layers. Of more, every second, third, ... is labelled.
MAX_LABELS = 52
# What the context module takes of the height, in layers.
CONTEXT_ROWS = 3.0
# In inches: the panel's width without its labels, a layer, the panel's height, and the least height
# of a cycle that has a name.
WIDTH, ROW, SHORT_ROW, MIN_HEIGHT, MAX_HEIGHT, MIN_NAMED = 8.6, 0.44, 0.2, 1.9, 10.0, 0.5
SHADE_COLUMNS = 400
SHADE_NOTE = ("shade: all that the", "output depends on, darker", "where more paths lead")


@dataclass(frozen=True)
class Tree:
    """The taps below `roots`, lags of the level `top`, layer by layer.

    Level 0 stands for the samples, level i for the output of layer i. `edges[i]` (taps, 2) leads
    from lags of level `top` - i to lags of the level below it, and is drawn as lines. The layers
    below these are drawn as shade: `shaded` has how far back each of them reads.
    """

    top: int
    roots: Array = field(repr=False)
    edges: list[Array] = field(repr=False)
    shaded: list[int]

    @property
    def lines_end(self) -> int:
        """The level down to which there are lines."""
        return self.top - len(self.edges)

    @property
    def bottom(self) -> int:
        return self.lines_end - len(self.shaded)

    @property
    def oldest(self) -> int:
        """The largest lag that is reached."""
        return int(self.lags(self.lines_end)[-1]) + sum(self.shaded)

    def lags(self, level: int) -> Array:
        """Those of a level that lines lead to, ascending."""
        return (
            self.roots if level == self.top else np.unique(self.edges[self.top - level - 1][:, 1])
        )


def cycles(schedule: Sequence[int]) -> list[range]:
    """The layers of each cycle of dilations, from 0, the first cycle first."""
    starts: list[int] = []
    rest, smallest = schedule, min(schedule)
    # What is left below the first cycle may begin with other dilations, and is one piece.
    while min(rest) == smallest and (start := last_cycle(rest)) is not None:
        starts.append(start)
        rest = rest[:start]
    bounds = [0, *reversed(starts), len(schedule)]
    return [range(start, end) for start, end in pairwise(bounds)]


def trees(model: ModelConfig) -> list[Tree]:
    """What is drawn as lines, from the output down; without the taps of a context module.

    One tree, the whole, in a short receptive field; else one for each cycle.
    """
    whole = model.receptive_field <= MAX_WHOLE
    layers = range(len(model.schedule))
    if model.context == "none":
        roots = np.array([0])
    else:
        roots = np.array(model.all_offsets[-1] if whole else [model.context_lag])
    drawn: list[Tree] = []
    for cycle in reversed([layers] if whole else cycles(model.schedule)):
        offsets = model.offsets[cycle.start : cycle.stop]
        drawn.append(_tree(roots, offsets, cycle.stop, MIN_LINE_SPACING * model.receptive_field))
        roots = np.array([drawn[-1].oldest])
    return drawn


def _tree(roots: Array, offsets: Sequence[Sequence[int]], top: int, min_spacing: float) -> Tree:
    """With lines as far down as these are `min_spacing` samples apart or more, on average."""
    edges: list[Array] = []
    lags, rest = roots, list(offsets)
    while rest:
        below = np.concatenate([np.column_stack([lags, lags + tap]) for tap in rest[-1]])
        if np.ptp(below) < min_spacing * len(below):
            break
        edges.append(below)
        lags = np.unique(below[:, 1])
        rest.pop()
    return Tree(top, roots, edges, [taps[-1] for taps in reversed(rest)])


def reaches(model: ModelConfig) -> Array:
    """(levels,): the oldest lag of each level that the output depends on, the samples' first."""
    steps = [taps[-1] for taps in reversed(model.all_offsets)]
    return np.concatenate([[0], np.cumsum(steps)])[::-1]


def height(model: ModelConfig) -> float:
    """Of the panel, in inches."""
    n = len(model.schedule)
    row = float(np.clip(ROW - (n - 4) * 0.02, SHORT_ROW, ROW))
    return float(np.clip(_rows(model) * row, MIN_HEIGHT, MAX_HEIGHT))


def _rows(model: ModelConfig) -> float:
    """What the panel holds, in heights of a layer, its margins included."""
    return len(model.schedule) + (CONTEXT_ROWS if model.context != "none" else 0) + 1


def draw(axes: "Axes", model: ModelConfig, counts: PathCounts) -> None:
    """Onto axes whose x is a lag in samples, WIDTH wide; sets their y."""
    n, drawn, size = len(model.schedule), trees(model), model.receptive_field
    top = _rows(model) - 1
    _draw_shade(axes, model)
    for tree in drawn:
        _draw_tree(axes, tree, size)
    if size <= MAX_WHOLE and counts.gaps:
        gaps = np.flatnonzero(~counts.covered)
        unheard: Any = {"color": ORANGE, "mfc": "white", "ms": 5, "clip_on": False, "zorder": 4}
        axes.plot(gaps, np.zeros(len(gaps)), "o", **unheard)
    inches = height(model) / _rows(model)
    if len(drawn) > 1:
        _name_cycles(axes, drawn, size, inches)
    if size > MAX_WHOLE:
        _explain_shade(axes, drawn[-1], size, inches)
    if model.context != "none":
        _draw_context(axes, model, top)
    axes.plot([0], [top], "o", color=ORANGE, markersize=9, clip_on=False, zorder=5)
    above: Any = {"xytext": (4, 9), "textcoords": "offset points", "ha": "right"}
    axes.annotate("output", (0, top), color=ORANGE, fontweight="bold", **above)
    axes.set_ylim(-0.4, top + 0.6)
    ticks, names = row_labels(model.schedule)
    if model.context != "none":
        ticks, names = [*ticks, (n + top) / 2], [*names, model.context]
    axes.set_yticks(ticks, names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("dilation of\neach layer")


def row_labels(schedule: Sequence[int]) -> tuple[list[float], list[str]]:
    """Heights, and the dilations that stand there."""
    every, parts = ceil_div(len(schedule), MAX_LABELS), cycles(schedule)
    if every == 1 or len(schedule) >= 3 * every * len(parts):
        rows = range(0, len(schedule), every)
        return [row + 0.5 for row in rows], [f"{schedule[row]:,}" for row in rows]
    # Of short cycles every second, third, ... layer would show always the same dilation.
    shown = parts[:: ceil_div(len(parts), MAX_LABELS)]
    ranges = [(min(found), max(found)) for found in (schedule[p.start : p.stop] for p in shown)]
    middles = [(part.start + part.stop) / 2 for part in shown]
    return middles, [f"{least:,} to {most:,}" for least, most in ranges]


def _draw_shade(axes: "Axes", model: ModelConfig) -> None:
    """All that the output depends on, the darker the more paths lead there."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    n, size = len(model.schedule), model.receptive_field
    region = axes.fill_betweenx(range(n + 1), 0, reaches(model)[: n + 1], color=PALE, linewidth=0)
    if size <= MAX_WHOLE:
        return
    columns = np.unique(np.linspace(0, size - 1, SHADE_COLUMNS).astype(int))
    paths = np.zeros((len(model.all_offsets) + 1, len(columns)))
    for row, by_lag in zip(paths[::-1], levels(model.all_offsets), strict=True):
        known = columns[columns < len(by_lag)]
        row[: len(known)] = np.maximum(0, np.maximum.reduceat(by_lag, known))
    bands = (paths[:n] + paths[1 : n + 1]) / 2
    darkest = np.array([to_rgb(PALE), to_rgb(SKY)]).mean(axis=0)
    shades = LinearSegmentedColormap.from_list("paths", [PALE, tuple(darkest)])
    at: Any = {"extent": (-0.5, size - 0.5, 0, n), "origin": "lower", "aspect": "auto"}
    image = axes.imshow(bands, cmap=shades, interpolation="bilinear", zorder=1.5, **at)
    image.set_clip_path(region.get_paths()[0], axes.transData)


def _draw_tree(axes: "Axes", tree: Tree, size: int) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    for level, edges in zip(range(tree.top, tree.lines_end, -1), tree.edges, strict=True):
        ys = np.broadcast_to([level, level - 1], edges.shape)
        segments = list(np.stack([edges, ys], axis=2))  # each (ends, x and y)
        width = float(np.clip(40 * np.ptp(edges) / len(edges) / size, 0.5, 1.4))
        axes.add_collection(LineCollection(segments, colors=BLUE, linewidths=width, zorder=3))
    for level in range(tree.top, tree.lines_end - 1, -1):
        lags = tree.lags(level)
        nearest = np.diff(lags).min() / size if len(lags) > 1 else 1.0
        if nearest >= MIN_DOT_SPACING:
            dot = float(np.clip(150 * nearest, 2.5, 5))
            axes.plot(lags, [level] * len(lags), "o", color=BLUE, ms=dot, clip_on=False, zorder=4)
    if tree.shaded:
        # From where the lines end, down along the oldest taps, and back at the foot.
        xs = np.cumsum([0, *tree.shaded])
        side = np.column_stack([xs, np.arange(tree.lines_end, tree.bottom - 1, -1)])
        outline = np.concatenate([side, [[0, tree.bottom]]])
        shapes = [outline + np.array([lag, 0]) for lag in tree.lags(tree.lines_end)]
        axes.add_collection(PolyCollection(shapes, facecolors=SKY, linewidths=0, zorder=2))


def _name_cycles(axes: "Axes", drawn: Sequence[Tree], size: int, inches: float) -> None:
    """Each beside its tree, on the side where there is more room, if it is enough.

    `inches` is the height of a layer.
    """
    pad = 0.012 * size
    for number, tree in zip(range(len(drawn), 0, -1), drawn, strict=True):
        root, oldest = int(tree.roots[-1]), tree.oldest
        layers = f"cycle {number}, layers {tree.bottom + 1} to {tree.top}:"
        reach = f"{oldest - root:,} samples further back"
        on_the_left = size - oldest > root
        room = max(size - oldest, root) * WIDTH / size
        if (tree.top - tree.bottom) * inches < MIN_NAMED or room < _width(reach):
            continue
        at = (oldest + pad if on_the_left else root - pad, (tree.top + tree.bottom) / 2)
        side = "right" if on_the_left else "left"
        axes.text(*at, f"{layers}\n{reach}", ha=side, va="center", color=BLACK)


def _explain_shade(axes: "Axes", oldest: Tree, size: int, inches: float) -> None:
    """In its lower right corner, where there is room beside the oldest tree and its name.

    `inches` is the height of a layer.
    """
    room = int(oldest.roots[-1]) * WIDTH / size
    beside_name = (oldest.top - oldest.bottom) * inches < 1.7
    if room > _width(SHADE_NOTE[1]) * (2.2 if beside_name else 1):
        lines: Any = {"ha": "right", "va": "bottom", "color": BLACK}
        axes.text(0.012 * size, 0.08 / inches, "\n".join(SHADE_NOTE), **lines)


def _width(line: str) -> float:
    """Of a line of text at the most, in inches."""
    return 0.088 * len(line)


def _draw_context(axes: "Axes", model: ModelConfig, top: float) -> None:
    """The mean over a window as a wedge, and the other branches as dashed lines."""
    n, window, size = len(model.schedule), model.pyramid_window, model.receptive_field
    axes.fill([0, 0, window - 1], [top, n, n], color=AMBER, alpha=0.45, linewidth=0, zorder=2)
    for lag in model.pyramid_dilations:
        axes.plot([0, lag], [top, n], "--", color=BLACK, linewidth=1.1, zorder=3)
    lags = [f"{lag:,}" for lag in model.pyramid_dilations]
    listed = ", ".join(lags) if len(lags) <= 4 else f"{lags[0]}, ..., {lags[-1]}"
    mean = f"wedge: the mean of the last {window:,} skip sums"
    name = f"{mean}\ndashed: the skip sums {listed} samples ago"
    outside = (size - model.context_lag) * WIDTH / size > _width(mean)
    side = "right" if outside else "left"
    # Inside, the wedge is lowest at its left end.
    x = model.context_lag + 0.012 * size if outside else size - 1
    axes.text(x, top, name, ha=side, va="top", color=BLACK)
