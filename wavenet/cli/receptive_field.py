"""`wavenet receptive-field`: the receptive field of one network, or of several side by side.

In theory, and as measured on recordings.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavenet.analysis import text
from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.analysis.report import StackReport, stack_report
from wavenet.config import Config
from wavenet.errors import ConfigError, OutputError
from wavenet.model import checkpoint, locate

PICTURES = (".png", ".svg")


@dataclass(frozen=True)
class ReceptiveFieldOptions:
    """What the user asked `wavenet receptive-field` for."""

    sources: tuple[tuple[str, Config], ...]  # names and configs
    pitch: float = 100.0  # Hz
    on: Path | None = None  # recordings to measure influence on
    label: str | None = None
    picture: Path | None = None
    as_json: bool = False
    plain: bool = False  # the output takes only ASCII
    device: str = "auto"
    cache: Path | None = None


def run(request: ReceptiveFieldOptions) -> Iterator[str]:
    """Yields lines to print, or one JSON object (for several sources, a list of them).

    Raises WavenetError.
    """
    _check(request)
    reports = [
        stack_report(name, config, request.pitch, _measure(name, config, request))
        for name, config in request.sources
    ]
    if request.as_json:
        objects = [report.to_dict() for report in reports]
        yield json.dumps(objects[0] if len(objects) == 1 else objects, indent=1)
    elif len(reports) == 1:
        yield from _report_lines(reports[0], request.plain)
    else:
        yield from text.side_by_side(reports)
    if request.picture is not None:
        from wavenet.analysis import figure

        figure.draw(request.picture, reports[0])
        if not request.as_json:
            yield str(request.picture)


def _check(request: ReceptiveFieldOptions) -> None:
    """Raise ConfigError or OutputError before anything is measured or drawn."""
    picture = request.picture
    if not 1 <= request.pitch <= 20_000:
        raise ConfigError(f"--pitch {request.pitch:g}: must be 1 to 20000 Hz")
    if request.label is not None and request.on is None:
        raise ConfigError(
            f"--label {request.label}: is what a measurement is told; add --on RECORDINGS"
        )
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise OutputError(
            f"{picture}: a picture is drawn as {' or '.join(PICTURES)}; "
            f"name it {picture.stem or 'field'}.png"
        )
    if picture is not None and len(request.sources) > 1:
        raise OutputError(
            f"--picture {picture}: draws one network; "
            f"name one source instead of {len(request.sources)}"
        )
    for name, _ in request.sources:
        if request.on is not None and not _has_weights(name):
            raise ConfigError(
                f"--on {request.on}: {name} has no weights to measure with; "
                "name a run or a checkpoint"
            )


def _has_weights(name: str) -> bool:
    path = Path(name)
    return path.is_dir() or path.suffix == checkpoint.SUFFIX or name in locate.bundled()


def _measure(
    name: str, config: Config, request: ReceptiveFieldOptions
) -> EffectiveReceptiveField | None:
    if request.on is None:
        return None
    from wavenet.analysis.effective_receptive_field import measure

    model = checkpoint.load(locate.find(Path(name)))
    if model.config.model != config.model:
        raise ConfigError(f"--set: {name} is measured as it was trained; leave out --set, or --on")
    return measure(model, request.on, request.label, request.device, request.cache)


def _report_lines(report: StackReport, plain: bool) -> Iterator[str]:
    yield from text.head_lines(report)
    yield ""
    yield from text.draw_text(report, plain)
    yield ""
    yield from text.layer_lines(report)
    yield ""
    yield from text.advice_lines(report)
