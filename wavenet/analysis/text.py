"""A drawing of a stack in a few lines of text: the dilation of every layer, and beside it how many paths lead to each past sample."""

import numpy as np

from wavenet.analysis.report import StackReport
from wavenet.arrays import Array

WIDTH = 100  # columns
ROWS = 3
MOST_LAYERS = 48  # columns that layers may take; of more, the longest of neighbours is drawn
AXIS = 9  # columns to the left of a drawing
BLOCKS, BORDER, SHADES = " ▁▂▃▄▅▆▇█", "│", " ░▒▓█"
PLAIN_BLOCKS, PLAIN_BORDER, PLAIN_SHADES = " .:|#", "|", " .:+#"  # where the output is not UTF-8


def draw_text(found: StackReport, plain: bool) -> list[str]:
    """At most WIDTH columns; in ASCII with `plain`. Time runs to the right: the newest sample stands at the right end."""
    blocks, border = (PLAIN_BLOCKS, PLAIN_BORDER) if plain else (BLOCKS, BORDER)
    dilations = np.array(found.config.model.schedule)
    n, largest, smallest = len(dilations), int(dilations.max()), int(dilations.min())
    heights = 1 + np.log2(dilations)
    layers = (
        np.repeat(heights, max(1, min(4, 16 // n)))
        if n <= MOST_LAYERS
        else _spread(heights, MOST_LAYERS)
    )
    below = "layer 1" + (f" to {n}" if n > 1 else "")
    width = max(len(layers), 23)
    top, bottom = f"{largest:,}", f"{smallest:,}" if smallest < largest else ""
    left = _framed(
        "dilation of each layer",
        bars(layers / layers.max(), ROWS, blocks),
        top,
        bottom,
        border,
        width,
    )
    left.append(" " * (AXIS + 3) + below.ljust(width))
    c = found.coverage
    if c is None:
        return [f"  {line}".rstrip() for line in left]
    columns = WIDTH - 2 - len(left[0]) - AXIS - 3
    counted = np.where(c.covered, 1 + c.log2_paths, 0.0)[::-1]
    repeat = max(1, columns // c.size)
    paths = np.repeat(counted, repeat) if c.size <= columns else _spread(counted, columns)
    most = c.log2_paths.max()
    top = f"{2**most:,.0f}" if most < 16 else f"10^{most * np.log10(2):.1f}"
    right = _framed(
        "paths to each past sample",
        bars(paths / paths.max(), ROWS, blocks),
        top,
        "1",
        border,
        len(paths),
    )
    right.append(
        " " * (AXIS + 3)
        + f"{found.ms(c.size)} ms back{'now':>{max(4, len(paths) - len(found.ms(c.size)) - 8)}}"
    )
    lines = [f"  {a}{b}".rstrip() for a, b in zip(left, right, strict=True)]
    if c.gaps and c.size > columns:
        shades = PLAIN_SHADES if plain else SHADES
        shares = [part.mean() for part in np.array_split(c.covered[::-1], columns)]
        lines.insert(
            -1,
            f"  {' ' * len(left[0])}{'heard':>{AXIS}} {border} {''.join(shades[int(np.ceil(4 * s))] for s in shares)}",
        )
    return lines


def bars(heights: Array, rows: int, blocks: str) -> list[str]:
    """Heights in 0 ... 1 as lines of blocks, the top one first; anything above 0 shows."""
    steps = len(blocks) - 1
    units = np.where(heights > 0, np.maximum(1, np.rint(heights * rows * steps)), 0).astype(int)
    return [
        "".join(blocks[int(np.clip(u - row * steps, 0, steps))] for u in units)
        for row in reversed(range(rows))
    ]


def _framed(
    title: str, drawn: list[str], top: str, bottom: str, border: str, width: int
) -> list[str]:
    labels = [top, *[""] * (len(drawn) - 2), bottom]
    lines = [
        f"{label:>{AXIS}} {border} {line:{width}}"
        for label, line in zip(labels, drawn, strict=True)
    ]
    return [f"{'':{AXIS}}   {title:{width}}", *lines]


def _spread(values: Array, columns: int) -> Array:
    """The largest of each of so many groups of neighbours."""
    return np.array([part.max() for part in np.array_split(values, columns)])
