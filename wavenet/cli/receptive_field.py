"""`wavenet receptive-field`: the receptive field of one network, or of several side by side.

In theory, and as measured on recordings.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import completion, terminal
from wavenet.cli.options import CacheOption, DeviceOption, ForceOption, JsonOption, SetOption
from wavenet.cli.outputs import PICTURES, glyphs, make_folder_of, print_json
from wavenet.cli.outputs import picture as new_picture
from wavenet.errors import UsageError
from wavenet.system import interrupts

if TYPE_CHECKING:
    from wavenet.analysis.path_counts import EffectiveReceptiveField
    from wavenet.analysis.report import StackReport
    from wavenet.config import Config

NAME = "field.png"
# In a table of several networks that a terminal has no room for, the columns to leave out, the
# first of them first.
_LEFT_OUT = ("state", "multiply-adds", "parameters", "layers", "periods", "hears")


def receptive_field(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=completion.sources,
            help="Presets, .toml files, run folders or checkpoints; several are compared. "
            "Default: small.",
        ),
    ] = None,
    settings: SetOption = None,
    pitch: Annotated[float, typer.Option(help="In Hz: how many periods the field spans.")] = 100.0,
    on: Annotated[
        Path | None,
        typer.Option(
            help="A recording or a folder to measure a model's effective receptive field on."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Voice or class to measure with --on. Default: the first.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help=f"Draw the stack, its paths and what is measured: {', '.join(PICTURES)}."
        ),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """The receptive field of a network, its layers and gaps, and what it costs."""
    from wavenet.analysis import figure, text
    from wavenet.analysis.report import StackReport
    from wavenet.config.loading import parse_assignments
    from wavenet.model import locate

    overrides = parse_assignments(settings or [])
    named = [locate.config_of(source, overrides) for source in sources or (None,)]
    _check([name for name, _ in named], pitch, on, label, picture)
    path = None if picture is None else new_picture(str(picture), NAME, force)
    reports = []
    for name, config in named:
        measured = _measure(name, config, on, label, device, cache) if on else None
        reports.append(StackReport(name, config, pitch, measured))
    if path is not None:
        make_folder_of(path)
        figure.draw(path, reports[0])
    if as_json:
        print_json([report.to_dict() for report in reports])
    elif len(reports) > 1:
        terminal.result("\n".join(_side_by_side(reports)))
    else:
        lines = text.one_report(reports[0], glyphs(), terminal.drawing_columns())
        terminal.result("\n".join(lines))
    if path is not None and not as_json:
        terminal.result(path)


def _side_by_side(reports: "Sequence[StackReport]") -> Iterator[str]:
    """Several networks, a line each."""
    from wavenet.analysis import text

    rows = [text.cells(report) for report in reports]
    columns = [
        # The name stands on the left.
        terminal.Column(head, right=head != "", leave_out=_leave_out(head))
        for head in rows[0]
    ]
    yield from terminal.table(columns, [list(row.values()) for row in rows])
    yield ""
    yield f"periods of {reports[0].pitch:g} Hz"
    yield from text.gap_notes(reports)


def _leave_out(head: str) -> int:
    return len(_LEFT_OUT) - _LEFT_OUT.index(head) if head in _LEFT_OUT else 0


def _check(
    names: Sequence[str], pitch: float, on: Path | None, label: str | None, picture: Path | None
) -> None:
    """Raise UsageError before anything is measured or drawn."""
    from wavenet.model import checkpoint, locate

    if not 1 <= pitch <= 20_000:
        raise UsageError("pitch", f"{pitch:g}", "must be 1 to 20000 Hz")
    if label is not None and on is None:
        reason = "is what a measurement is told"
        raise UsageError("label", label, reason, "add `on` RECORDINGS")
    if picture is not None and len(names) > 1:
        advice = f"name one source instead of {len(names)}"
        raise UsageError("picture", picture, "draws one network", advice)
    if on is None:
        return
    for name in names:
        path = Path(name)
        if not (path.is_dir() or path.suffix == checkpoint.SUFFIX or name in locate.bundled()):
            reason = f"{name} has no weights to measure with"
            raise UsageError("on", on, reason, "name a run or a checkpoint")


def _measure(
    name: str, config: "Config", on: Path, label: str | None, device: str, cache: Path | None
) -> "EffectiveReceptiveField":
    """The effective receptive field of a run or a checkpoint, measured under a bar."""
    with terminal.loading("PyTorch"):
        from wavenet.analysis.effective_receptive_field import measure
        from wavenet.generation.api import load
        from wavenet.system.progress import bar
    interrupts.raise_exceptions()
    model = load(name)
    if model.config.model != config.model:
        reason = f"{name} is measured as it was trained"
        raise UsageError("set", None, reason, "leave out `set`, or `on`")

    def with_bar(targets: Sequence[Any]) -> Iterable[Any]:
        return bar(len(targets), iterable=targets, counted=False, leave=False)

    return measure(
        model, on, label=label, device=device, cache=cache, track=with_bar, report=terminal.warn
    )
