"""`wavenet info`: all that is known of a run, a model, a config or an audio file."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import completion, standard_input, terminal
from wavenet.cli.options import JsonOption
from wavenet.cli.outputs import glyphs, print_json, read_each
from wavenet.cli.runs import to_dict
from wavenet.cli.values import duration
from wavenet.errors import WavenetError

if TYPE_CHECKING:
    from wavenet.config import Config
    from wavenet.training.run_summary import RunSummary

# What somebody needs to know who uses a model.
_OF_THE_CARD = ("What it is.", "Intended use.", "Not for.", "Licence and credit.")
# How a source is told: as a program reads it, and in lines.
_Facts = tuple[dict[str, Any], list[str]]


def info(
    sources: Annotated[
        list[str],
        typer.Argument(
            autocompletion=completion.sources,
            help="Run folders, checkpoints, models and presets by name, .toml files, or audio; - "
            "is audio on standard input.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """All about a run, a model, a config or an audio file."""
    piped = any(map(standard_input.is_meant, map(Path, sources)))
    with standard_input.as_file(piped, "sources") as copy:
        facts, unusable = read_each(sources, lambda source: _facts_of(source, copy))
    if as_json:
        print_json([about for about, _ in facts])
    for number, (_, lines) in enumerate(() if as_json else facts):
        if number:
            terminal.result("")
        terminal.result("\n".join(lines))
    if unusable:
        raise typer.Exit(1)


def _facts_of(source: str, copy: Path | None) -> _Facts:
    """What is known of a source. Raises WavenetError when it is nothing that anything is known of.

    The order is that of `locate`: a preset's name, what lies there, a bundled model's name. `copy`
    is that of standard input.
    """
    from wavenet.config.loading import preset_names
    from wavenet.model import checkpoint, locate
    from wavenet.training.run_folder import Run
    from wavenet.training.run_summary import is_run

    path = Path(source)
    if copy and standard_input.is_meant(path):
        with standard_input.named(copy):
            return _audio(copy, "-", standard_input.NAME)
    kinds: list[tuple[bool, Callable[[], _Facts]]] = [
        (source in preset_names() or path.suffix == ".toml", lambda: _config(source)),
        (is_run(path) or (path.is_dir() and Run(path).exists), lambda: _run(path)),
        (path.suffix == checkpoint.SUFFIX, lambda: _model(path, "checkpoint", str(path))),
        (path.is_file(), lambda: _audio(path, str(path), str(path))),
        (
            source in locate.bundled() and not path.exists(),
            lambda: _model(locate.bundled()[source], "model", source),
        ),
    ]
    for applies, facts in kinds:
        if applies:
            return facts()
    raise _unknown(source)


def _unknown(source: str) -> WavenetError:
    from wavenet.config.loading import nearest, preset_names
    from wavenet.model import locate

    if source and Path(source).is_dir():
        return WavenetError(source, "is a folder, but no run", "`wavenet runs` lists those in it")
    advice = nearest(source, [*preset_names(), *locate.bundled()])
    return WavenetError(source or "''", "no such run, file, preset or model", advice or "")


def _line(head: str, text: object) -> str:
    return f"{head:10} {text}"


def _config(source: str) -> _Facts:
    from wavenet.config.loading import path_of
    from wavenet.model.locate import config_of

    _, config = config_of(source, {})
    about = {"kind": "config", "path": str(path_of(source)), "config": config.to_dict()}
    lines = [f"{source}: a config", _line("where", path_of(source)), *_config_lines(config)]
    return about, lines


def _run(path: Path) -> _Facts:
    from wavenet.model import locate
    from wavenet.training.run_summary import summary_of

    summary = summary_of(path)
    folder = path / "checkpoints"
    steps = locate.steps(folder)
    files = [locate.step_path(folder, step) for step in steps]
    about = {"kind": "run", **to_dict(summary), **_training(summary), "checkpoints": steps}
    what = "a run, which is in training" if summary.is_training else "a run"
    lines = [f"{path}: {what}", _line("where", path.resolve()), *_summary_lines(summary)]
    if files:
        size = sum(file.stat().st_size for file in files) / 1e6
        kept = f"of step {', '.join(f'{step:,}' for step in steps)} ({size:.1f} MB)"
        lines.append(_line("saved", kept))
    return about, lines + _curve_lines(summary)


def _model(path: Path, kind: str, name: str) -> _Facts:
    from wavenet.model.cards import card
    from wavenet.training.run_summary import summary_of_model

    summary = summary_of_model(path)
    paragraphs = card(path.stem) if kind == "model" else []
    about = {"kind": kind, **to_dict(summary), **_training(summary), "card": paragraphs}
    what = "a model that comes with the program" if kind == "model" else "a checkpoint"
    lines = [f"{name}: {what}", _line("where", path.resolve()), *_summary_lines(summary)]
    lines += _curve_lines(summary)
    for paragraph in paragraphs:
        if terminal.verbosity.verbose or paragraph.startswith(_OF_THE_CARD):
            lines += ["", paragraph]
    return about, lines


def _training(summary: "RunSummary") -> dict[str, Any]:
    """What JSON says of it that a list of runs does not."""
    return {
        "training": asdict(summary.training) if summary.training else None,
        "validations": summary.validations,
    }


def _config_lines(config: "Config") -> Iterator[str]:
    """The settings that are not the default, with --verbose all, and the network in short."""
    from wavenet.config import Config
    from wavenet.config.loading import flatten
    from wavenet.config.reference import settings, shown
    from wavenet.model.conditioning.registry import frame_front_ends
    from wavenet.model.cost import model_cost

    cost = model_cost(config.model, config.audio.sample_rate)
    yield _line("config", f"{config.name}: {config.purpose}" if config.purpose else config.name)
    size = f"{len(cost.layers)} layers, {cost.parameters:,} parameters"
    hears = f"hears {cost.receptive_field:,} samples = {cost.receptive_field_ms:.1f} ms"
    yield _line("network", f"{size}, {hears} at {config.audio.sample_rate} Hz")
    if followed := frame_front_ends(config.model):
        milliseconds = 1000 * config.model.frame_hop / config.audio.sample_rate
        what = ", ".join(front_end.description for front_end in followed)
        yield _line("follows", f"{what}; every {milliseconds:g} ms")
    values, defaults = flatten(config.to_dict()), flatten(Config().to_dict())
    head = "settings"
    for setting in settings():
        value, default = values.get(setting.name), defaults.get(setting.name)
        if setting.name in ("name", "purpose"):
            continue
        if value != default or terminal.verbosity.verbose:
            usual = f"  (default {shown(default)})" if value != default else ""
            yield _line(head, f"{setting.name} = {shown(value)}{usual}")
            head = ""


def _summary_lines(summary: "RunSummary") -> Iterator[str]:
    """What is known of a run or a model, but for its curve."""
    from wavenet.scores.notes import name_of as note_name

    yield from (_line("damaged", problem) for problem in summary.problems)
    if summary.config:
        yield from _config_lines(summary.config)
    if summary.recordings or summary.count:
        count = "" if summary.count is None else f"{summary.count:,} recordings"
        length = "" if summary.seconds is None else duration(summary.seconds)
        held_out = f"{summary.held_out} of them held out" if summary.held_out else ""
        known = filter(None, (summary.recordings, count, length, held_out))
        yield _line("data", ", ".join(known))
    if summary.labels:
        yield _line("labels", ", ".join(summary.labels))
    planned = summary.config.train.steps if summary.config else 0
    # A model may have been trained on under another schedule.
    steps = f" of {planned:,}" if summary.step <= planned else ""
    parts = [f"step {summary.step:,}{steps}", f"{summary.hours:.2f} hours"]
    training = summary.training
    if training:
        by = f"torch {training.torch}" if training.torch else ""
        threads = f"{training.threads} CPU thread{'s'[: training.threads != 1]}"
        threads = threads if training.threads else ""
        parts += filter(None, (training.precision, by, threads))
    yield _line("training", ", ".join(parts))
    if summary.best:
        step, bits = summary.best
        best = f"{bits:.3f} bits per sample at step {step:,}"
        for last_step, last_bits in summary.validations[-1:]:
            now = ", the last" if last_step == step else f"; the last {last_bits:.3f}"
            best += now
        yield _line("best", best)
    if training and training.ancestry:
        bases = [f"{a.name} (step {a.step:,})" for a in reversed(training.ancestry)]
        yield _line("begun from", ", before that ".join(bases))
    if training and training.pitch:
        low, high = (f"{note_name(note)} ({note:.0f})" for note in training.pitch)
        yield _line("plays", f"{low} to {high} (notes, and MIDI note numbers)")
    if training and training.loudness:
        loud = training.loudness
        levels = f"{loud.low:.0f} to {loud.high:.0f} dB, median {loud.middle:.0f}"
        yield _line("loudness", f"{levels} (A-weighted, while something sounds)")
    if training and training.mel:
        spread = f"median {training.mel.middle:g}, 5 % above {training.mel.high:g}"
        yield _line("mel frames", f"{spread} (natural logarithms)")


def _curve_lines(summary: "RunSummary") -> list[str]:
    """The validation loss over steps, where there is a curve to draw."""
    from wavenet.analysis.text import draw_curve

    points = [(step, bits) for step, bits in summary.validations if isfinite(bits)]
    if len(points) < 2:
        return []
    lines = draw_curve(points, glyphs(), terminal.drawing_columns())
    return ["", *(line.rstrip() for line in lines)]


def _audio(path: Path, place: str, name: str) -> _Facts:
    from wavenet.audio.facts import facts
    from wavenet.generation.provenance import read_comment

    audio = facts(path)
    origin = read_comment(audio.tags.get("comment", ""))
    about = {"kind": "audio", "path": place, **asdict(audio), "made_by_wavenet": origin or None}
    what = "synthetic audio, made by wavenet" if origin else "audio"
    channels = "mono" if audio.channels == 1 else f"{audio.channels} channels"
    lines = [
        f"{name}: {what}",
        _line("length", f"{duration(audio.seconds)} at {audio.sample_rate} Hz, {channels}"),
        _line("level", f"peak {audio.peak_db:.1f} dBFS, loudest 20 ms {audio.loudest_db:.1f} dBFS"),
    ]
    lines += [_line("note", note) for note in audio.notes]
    lines += [_line(name.replace("_", " "), text) for name, text in origin.items()]
    if not origin:
        lines += [_line(name, text) for name, text in audio.tags.items()]
    return about, lines
