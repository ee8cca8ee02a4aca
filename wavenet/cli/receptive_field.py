"""`wavenet receptive-field`: the receptive field of one network, or of several side by side.

In theory, and as measured on recordings.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import terminal
from wavenet.cli.options import CacheOption, DeviceOption, JsonOption, SetOption
from wavenet.errors import OutputError, UsageError

if TYPE_CHECKING:
    from wavenet.analysis.path_counts import EffectiveReceptiveField
    from wavenet.config import Config

PICTURES = (".png", ".svg")


def receptive_field(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets, .toml files, run folders or checkpoints; several are compared. "
            "Default: small."
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
        typer.Option(help="Draw the stack, its paths and what is measured: a .png or .svg."),
    ] = None,
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
    reports = []
    for name, config in named:
        measured = _measure(name, config, on, label, device, cache) if on else None
        reports.append(StackReport(name, config, pitch, measured))
    if as_json:
        objects = [report.to_dict() for report in reports]
        typer.echo(json.dumps(objects if len(objects) > 1 else objects[0], indent=1))
    elif len(reports) > 1:
        typer.echo("\n".join(text.side_by_side(reports)))
    else:
        # Not every output can hold more than ASCII.
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        lines = text.one_report(reports[0], text.FINE if is_utf8 else text.PLAIN)
        typer.echo("\n".join(lines))
    if picture is not None:
        figure.draw(picture, reports[0])
        if not as_json:
            typer.echo(picture)


def _check(
    names: Sequence[str], pitch: float, on: Path | None, label: str | None, picture: Path | None
) -> None:
    """Raise UsageError or OutputError before anything is measured or drawn."""
    from wavenet.model import checkpoint, locate

    if not 1 <= pitch <= 20_000:
        raise UsageError("pitch", f"{pitch:g}", "must be 1 to 20000 Hz")
    if label is not None and on is None:
        reason = "is what a measurement is told"
        raise UsageError("label", label, reason, "add `on` RECORDINGS")
    if picture is not None and picture.suffix.lower() not in PICTURES:
        reason = f"a picture is drawn as {' or '.join(PICTURES)}"
        raise OutputError(picture, reason, f"name it {picture.stem or 'field'}.png")
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
    from wavenet.analysis.effective_receptive_field import measure
    from wavenet.generation.api import load
    from wavenet.system.progress import bar

    model = load(name)
    if model.config.model != config.model:
        reason = f"{name} is measured as it was trained"
        raise UsageError("set", None, reason, "leave out `set`, or `on`")

    def with_bar(targets: Sequence[Any]) -> Iterable[Any]:
        return bar(len(targets), iterable=targets, counted=False, leave=False)

    return measure(
        model, on, label=label, device=device, cache=cache, track=with_bar, report=terminal.warn
    )
