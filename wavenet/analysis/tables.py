"""Tables for the terminal that need nothing but a config: presets and receptive fields."""

import textwrap
from collections.abc import Sequence

from wavenet.analysis.path_counts import name_gaps
from wavenet.analysis.report import PARTS, StackReport

WIDTH = 100  # columns


def receptive_head(found: StackReport) -> list[str]:
    """The field and what the network costs."""
    r = found.report
    return [
        f"{found.name}: hears {r.receptive_field:,} samples = {r.receptive_field_ms:.1f} ms at {found.sample_rate} Hz",
        f"  {r.parameters:,} parameters, {r.macs_per_sample:,} multiply-adds per sample, {r.state_bytes:,} bytes of state per stream",
    ]


def receptive_layers(found: StackReport) -> list[str]:
    """A line per layer."""
    rate = found.sample_rate
    rows = [
        f"  {i + 1:>5}  {layer.dilation:>8}  {layer.kernel_size:>6}   {layer.reach:>6} samples  {1000 * layer.reach / rate:>7.2f} ms"
        for i, layer in enumerate(found.report.layers)
    ]
    return ["  layer  dilation  kernel   reach so far", *rows]


def advice_lines(found: StackReport) -> list[str]:
    """What the figures mean, a sentence a line, or two where it is long."""
    return [
        line
        for sentence in found.advice()
        for line in textwrap.wrap(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]


def side_by_side(found: Sequence[StackReport]) -> list[str]:
    """Several networks, a line each; where they were measured, the milliseconds that hold parts of the influence."""
    rows = [
        ["", "layers", "hears", "ms", "periods", "unheard", "parameters", "multiply-adds", "state"]
    ]
    rows[0] += [f"{part} in" for part in PARTS] if found[0].influence else []
    for one in found:
        r, c = one.report, one.coverage
        unheard = "?" if c is None else f"{c.size - int(c.covered.sum()):,}"
        sizes = [f"{r.parameters:,}", f"{r.macs_per_sample:,}", f"{r.state_bytes / 1000:,.0f} kB"]
        measured = (
            [f"{one.ms(one.influence.within(part))} ms" for part in PARTS.values()]
            if one.influence
            else []
        )
        cells = [
            str(len(r.layers)),
            f"{r.receptive_field:,}",
            one.ms(r.receptive_field),
            f"{one.periods(one.field):.1f}",
            unheard,
        ]
        rows.append([one.name, *cells, *sizes, *measured])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(
            f"{cell:>{w}}" if i else f"{cell:{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    notes = [
        f"{one.name}: {name_gaps(one.coverage)}"
        for one in found
        if one.coverage and one.coverage.gaps
    ]
    return [*table, "", f"periods of {found[0].pitch:g} Hz", *notes]
