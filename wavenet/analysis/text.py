"""A stack's report as lines for the terminal: a drawing, tables and advice."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wavenet.analysis.path_counts import PathCounts, name_gaps
from wavenet.analysis.report import StackReport
from wavenet.config import ModelConfig
from wavenet.glossary import Array

WIDTH = 100  # columns
# Layers take at most this many columns. Of more layers, the longest of neighbours is drawn.
MAX_LAYER_COLUMNS = 48
# Where fewer are left beside them, paths are drawn below.
MIN_PATH_COLUMNS = 26
# A few layers are drawn wider: 16 columns in all, and at most 4 each.
MIN_LAYER_COLUMNS, MAX_COLUMNS_PER_LAYER = 16, 4
# Columns that the labels to the left of a drawing take, and the border with a space on either side.
AXIS_COLUMNS, BORDER_COLUMNS = 9, 3


class Glyphs(NamedTuple):
    """What is drawn with: blocks of rising height, a border, and five shades of rising density."""

    blocks: str
    border: str
    shades: str


FINE = Glyphs(" ▁▂▃▄▅▆▇█", "│", " ░▒▓█")
# For an output that is not UTF-8.
PLAIN = Glyphs(" .:|#", "|", " .:+#")


def one_report(report: StackReport, glyphs: Glyphs, width: int = WIDTH) -> list[str]:
    """The receptive field and what the network costs, a drawing, a line per layer, and advice.

    The drawing and the advice take at most `width` columns.
    """
    cost = report.cost
    lines = [
        f"{report.name}: hears {cost.receptive_field:,} samples = "
        f"{cost.receptive_field_ms:.1f} ms at {report.sample_rate} Hz",
        f"  {cost.parameters:,} parameters, {cost.macs_per_sample:,} multiply-adds per sample, "
        f"{cost.state_bytes:,} bytes of state per stream",
        *["", *draw_text(report, glyphs, width), ""],
        "  layer  dilation  kernel   reach so far",
    ]
    for number, layer in enumerate(cost.layers, start=1):
        sizes = f"{number:>5}  {layer.dilation:>8}  {layer.kernel_size:>6}"
        ms = 1000 * layer.receptive_field / report.sample_rate
        lines.append(f"  {sizes}   {layer.receptive_field:>6} samples  {ms:>7.2f} ms")
    lines.append("")
    for sentence in report.advice():
        lines += textwrap.wrap(sentence, width, initial_indent="  ", subsequent_indent="    ")
    return lines


def gap_notes(reports: Sequence[StackReport]) -> list[str]:
    """A line for each network that leaves gaps."""
    return [
        f"{report.name}: {name_gaps(report.path_counts)}"
        for report in reports
        if report.path_counts and report.path_counts.gaps
    ]


def cells(report: StackReport) -> dict[str, str]:
    """What a table of several networks says of one, by the heads of its columns.

    Where it was measured, with the extents of influence.
    """
    cost, counts, effective = report.cost, report.path_counts, report.effective_field
    row = {
        "": report.name,
        "layers": str(len(cost.layers)),
        "hears": f"{cost.receptive_field:,}",
        "ms": report.ms(cost.receptive_field),
        "periods": f"{report.periods(cost.receptive_field):.1f}",
        "unheard": "?" if counts is None else f"{counts.uncovered_count:,}",
        "parameters": f"{cost.parameters:,}",
        "multiply-adds": f"{cost.macs_per_sample:,}",
        "state": f"{cost.state_bytes / 1000:,.0f} kB",
    }
    if effective is not None:
        row |= {
            f"{part} in": f"{report.ms(extent)} ms" for part, extent in effective.extents.items()
        }
    return row


def draw_text(report: StackReport, glyphs: Glyphs, width: int = WIDTH) -> list[str]:
    """The dilation of every layer, and beside it how many paths lead to each past sample.

    At most `width` columns, if that is 40 or more. Time runs to the right: the newest sample stands
    at the right end. Where there is no room beside it, paths stand below.
    """
    room = width - 2 - AXIS_COLUMNS - BORDER_COLUMNS
    left = _draw_layers(report.config.model, glyphs, room)
    if report.path_counts is None:
        return [f"  {line}".rstrip() for line in left]
    columns = room - len(left[0])
    if columns < MIN_PATH_COLUMNS:
        below = _draw_paths(report, report.path_counts, max(1, room), glyphs)
        return [f"  {line}".rstrip() for line in (*left, "", *below)]
    right = _draw_paths(report, report.path_counts, columns, glyphs)
    # Above the time axis the paths may have one more line, which shows what is covered.
    if len(right) > len(left):
        left.insert(-1, " " * len(left[0]))
    return [f"  {a}{b}".rstrip() for a, b in zip(left, right, strict=True)]


def _draw_layers(model: ModelConfig, glyphs: Glyphs, room: int) -> list[str]:
    dilations = model.schedule
    n, largest, smallest = len(dilations), max(dilations), min(dilations)
    repeats = max(1, min(MAX_COLUMNS_PER_LAYER, MIN_LAYER_COLUMNS // n))
    columns = max(1, min(MAX_LAYER_COLUMNS, room))
    heights = _fitted(1 + np.log2(dilations), columns, repeats)
    bottom = f"{smallest:,}" if smallest < largest else ""
    axis = f"layer 1 to {n}" if n > 1 else "layer 1"
    return _framed("dilation of each layer", heights, f"{largest:,}", bottom, axis, glyphs)


def _draw_paths(report: StackReport, counts: PathCounts, columns: int, glyphs: Glyphs) -> list[str]:
    log2_paths, covered = counts.log2_paths[::-1], counts.covered[::-1]
    heights = _fitted(np.where(covered, 1 + log2_paths, 0.0), columns, columns // counts.size)
    most = log2_paths.max()
    top = f"{2**most:,.0f}" if most < 16 else f"10^{most * np.log10(2):.1f}"
    oldest = f"{report.ms(counts.size)} ms back"
    axis = f"{oldest}{'now':>{max(4, len(heights) - len(oldest))}}"
    lines = _framed("paths to each past sample", heights, top, "1", axis, glyphs)
    # Where samples share a column, a gap between them does not show in the paths.
    if counts.gaps and counts.size > columns:
        shades = [int(np.ceil(4 * part.mean())) for part in np.array_split(covered, columns)]
        shaded = "".join(glyphs.shades[shade] for shade in shades)
        lines.insert(-1, f"{'heard':>{AXIS_COLUMNS}} {glyphs.border} {shaded}")
    return lines


def draw_curve(points: Sequence[tuple[float, float]], glyphs: Glyphs, width: int) -> list[str]:
    """Values over steps, (step, value) in order, of which there are two at least.

    At most `width` columns. The lowest value has the shortest bar.
    """
    steps, values = (np.array(column, float) for column in zip(*points, strict=True))
    columns = max(1, min(width, WIDTH) - AXIS_COLUMNS - BORDER_COLUMNS)
    drawn = np.interp(np.linspace(steps[0], steps[-1], columns), steps, values)
    low, high = values.min(), values.max()
    # A tenth of the height for what is lowest.
    heights = 0.1 + 0.9 * (drawn - low) / (high - low if high > low else 1.0)
    last = f"{steps[-1]:,.0f}"
    axis = f"step {steps[0]:,.0f}"
    axis += f"{last:>{max(len(last) + 1, columns - len(axis))}}"
    title = "validation, bits per sample"
    return _framed(title, heights, f"{high:.3f}", f"{low:.3f}", axis, glyphs)


def bars(heights: Array, rows: int, blocks: str) -> list[str]:
    """Heights in 0 ... 1 as lines of blocks, the top one first; anything above 0 shows."""
    steps = len(blocks) - 1
    units = np.where(heights > 0, np.maximum(1, np.rint(heights * rows * steps)), 0).astype(int)
    return [
        "".join(blocks[int(np.clip(u - row * steps, 0, steps))] for u in units)
        for row in reversed(range(rows))
    ]


def _framed(
    title: str, heights: Array, top: str, bottom: str, axis: str, glyphs: Glyphs
) -> list[str]:
    """Three rows of bars between a title and an axis, labels beside the first and the last row.

    A space at least follows the title.
    """
    drawn = zip((top, "", bottom), bars(heights / heights.max(), 3, glyphs.blocks), strict=True)
    rows = [f"{label:>{AXIS_COLUMNS}} {glyphs.border} {row}" for label, row in drawn]
    margin = " " * (AXIS_COLUMNS + BORDER_COLUMNS)
    width = len(margin) + max(len(heights), len(title) + 1)
    return [line.ljust(width) for line in (margin + title, *rows, margin + axis)]


def _fitted(heights: Array, columns: int, repeats: int) -> Array:
    """Heights that fit: each repeated, or of too many the largest of those that share a column."""
    if len(heights) <= columns:
        return np.repeat(heights, repeats)
    return np.array([part.max() for part in np.array_split(heights, columns)])
