"""A stack's report as lines for the terminal: a drawing, tables and advice."""

import textwrap
from collections.abc import Sequence

import numpy as np

from wavenet.analysis.path_counts import PathCounts, name_gaps
from wavenet.analysis.report import INFLUENCE_FRACTIONS, StackReport
from wavenet.config import ModelConfig
from wavenet.glossary import Array

WIDTH = 100  # columns
ROWS = 3
# Layers take at most this many columns. Of more layers, the longest of neighbours is drawn.
MAX_LAYER_COLUMNS = 48
# A few layers are drawn wider: 16 columns in all, and at most 4 each.
MIN_LAYER_COLUMNS, MAX_COLUMNS_PER_LAYER = 16, 4
# Columns that the labels to the left of a drawing take, and the border with a space on either side.
AXIS_COLUMNS, BORDER_COLUMNS = 9, 3
BLOCKS, BORDER, SHADES = " ▁▂▃▄▅▆▇█", "│", " ░▒▓█"
# For an output that is not UTF-8.
PLAIN_BLOCKS, PLAIN_BORDER, PLAIN_SHADES = " .:|#", "|", " .:+#"


def head_lines(report: StackReport) -> list[str]:
    """The receptive field, and what the network costs."""
    cost = report.cost
    return [
        f"{report.name}: hears {cost.receptive_field:,} samples = "
        f"{cost.receptive_field_ms:.1f} ms at {report.sample_rate} Hz",
        f"  {cost.parameters:,} parameters, {cost.macs_per_sample:,} multiply-adds per sample, "
        f"{cost.state_bytes:,} bytes of state per stream",
    ]


def layer_lines(report: StackReport) -> list[str]:
    """A line per layer, below a heading."""
    lines = ["  layer  dilation  kernel   reach so far"]
    for number, layer in enumerate(report.cost.layers, start=1):
        sizes = f"{number:>5}  {layer.dilation:>8}  {layer.kernel_size:>6}"
        ms = 1000 * layer.receptive_field / report.sample_rate
        lines.append(f"  {sizes}   {layer.receptive_field:>6} samples  {ms:>7.2f} ms")
    return lines


def advice_lines(report: StackReport) -> list[str]:
    """What the figures mean, a sentence a line, or two where it is long."""
    return [
        line
        for sentence in report.advice()
        for line in textwrap.wrap(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]


def side_by_side(reports: Sequence[StackReport]) -> list[str]:
    """Several networks, a line each; where they were measured, with the extents of influence."""
    heading = ["", "layers", "hears", "ms", "periods", "unheard", "parameters", "multiply-adds"]
    heading.append("state")
    if reports[0].effective_field:
        heading += [f"{fraction} in" for fraction in INFLUENCE_FRACTIONS]
    rows = [heading, *map(_row, reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = []
    for name, *cells in rows:
        right_aligned = [f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True)]
        table.append("  ".join([f"{name:{widths[0]}}", *right_aligned]))
    notes = [
        f"{report.name}: {name_gaps(report.path_counts)}"
        for report in reports
        if report.path_counts and report.path_counts.gaps
    ]
    return [*table, "", f"periods of {reports[0].pitch:g} Hz", *notes]


def _row(report: StackReport) -> list[str]:
    cost, counts, effective = report.cost, report.path_counts, report.effective_field
    row = [
        report.name,
        str(len(cost.layers)),
        f"{cost.receptive_field:,}",
        report.ms(cost.receptive_field),
        f"{report.periods(report.receptive_field):.1f}",
        "?" if counts is None else f"{counts.uncovered_count:,}",
        f"{cost.parameters:,}",
        f"{cost.macs_per_sample:,}",
        f"{cost.state_bytes / 1000:,.0f} kB",
    ]
    if effective is None:
        return row
    extents = map(effective.within, INFLUENCE_FRACTIONS.values())
    return row + [f"{report.ms(extent)} ms" for extent in extents]


def draw_text(report: StackReport, plain: bool) -> list[str]:
    """The dilation of every layer, and beside it how many paths lead to each past sample.

    At most WIDTH columns; in ASCII with `plain`. Time runs to the right: the newest sample stands
    at the right end.
    """
    left = _draw_layers(report.config.model, plain)
    if report.path_counts is None:
        return [f"  {line}".rstrip() for line in left]
    columns = WIDTH - 2 - len(left[0]) - AXIS_COLUMNS - BORDER_COLUMNS
    right = _draw_paths(report, report.path_counts, columns, plain)
    # Above the time axis the paths may have one more line, which shows what is covered.
    if len(right) > len(left):
        left.insert(-1, " " * len(left[0]))
    return [f"  {a}{b}".rstrip() for a, b in zip(left, right, strict=True)]


def _draw_layers(model: ModelConfig, plain: bool) -> list[str]:
    dilations = np.array(model.schedule)
    n, largest, smallest = len(dilations), int(dilations.max()), int(dilations.min())
    heights = 1 + np.log2(dilations)
    if n <= MAX_LAYER_COLUMNS:
        repeats = max(1, min(MAX_COLUMNS_PER_LAYER, MIN_LAYER_COLUMNS // n))
        heights = np.repeat(heights, repeats)
    else:
        heights = _pooled(heights, MAX_LAYER_COLUMNS)
    bottom = f"{smallest:,}" if smallest < largest else ""
    title = "dilation of each layer"
    width = max(len(heights), len(title) + 1)
    lines = _framed(title, heights, f"{largest:,}", bottom, width, plain)
    axis = f"layer 1 to {n}" if n > 1 else "layer 1"
    return [*lines, " " * (AXIS_COLUMNS + BORDER_COLUMNS) + axis.ljust(width)]


def _draw_paths(report: StackReport, counts: PathCounts, columns: int, plain: bool) -> list[str]:
    heights = np.where(counts.covered, 1 + counts.log2_paths, 0.0)[::-1]
    if counts.size <= columns:
        heights = np.repeat(heights, max(1, columns // counts.size))
    else:
        heights = _pooled(heights, columns)
    width = len(heights)
    most = counts.log2_paths.max()
    top = f"{2**most:,.0f}" if most < 16 else f"10^{most * np.log10(2):.1f}"
    lines = _framed("paths to each past sample", heights, top, "1", width, plain)
    # Where samples share a column, a gap between them does not show in the paths.
    if counts.gaps and counts.size > columns:
        shades, border = (PLAIN_SHADES, PLAIN_BORDER) if plain else (SHADES, BORDER)
        covered = [part.mean() for part in np.array_split(counts.covered[::-1], columns)]
        shaded = "".join(shades[int(np.ceil(4 * fraction))] for fraction in covered)
        lines.append(f"{'heard':>{AXIS_COLUMNS}} {border} {shaded}")
    oldest = f"{report.ms(counts.size)} ms back"
    newest = f"{'now':>{max(4, width - len(oldest))}}"
    return [*lines, " " * (AXIS_COLUMNS + BORDER_COLUMNS) + oldest + newest]


def bars(heights: Array, rows: int, blocks: str) -> list[str]:
    """Heights in 0 ... 1 as lines of blocks, the top one first; anything above 0 shows."""
    steps = len(blocks) - 1
    units = np.where(heights > 0, np.maximum(1, np.rint(heights * rows * steps)), 0).astype(int)
    return [
        "".join(blocks[int(np.clip(u - row * steps, 0, steps))] for u in units)
        for row in reversed(range(rows))
    ]


def _framed(
    title: str, heights: Array, top: str, bottom: str, width: int, plain: bool
) -> list[str]:
    """Bars of up to `width` columns, a title above, labels beside the first and the last row."""
    blocks, border = (PLAIN_BLOCKS, PLAIN_BORDER) if plain else (BLOCKS, BORDER)
    labels = [top, *[""] * (ROWS - 2), bottom]
    lines = [f"{'':{AXIS_COLUMNS + BORDER_COLUMNS}}{title:{width}}"]
    for label, drawn in zip(labels, bars(heights / heights.max(), ROWS, blocks), strict=True):
        lines.append(f"{label:>{AXIS_COLUMNS}} {border} {drawn:{width}}")
    return lines


def _pooled(values: Array, columns: int) -> Array:
    """The largest of the neighbours that share a column."""
    return np.array([part.max() for part in np.array_split(values, columns)])
