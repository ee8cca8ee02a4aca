"""`wavenet vocode`: audio from mel frames, those of recordings or made elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wavenet.cli import options, terminal
from wavenet.cli.outputs import unread_is_fine
from wavenet.errors import AudioError, EngineError, UsageError, printable

if TYPE_CHECKING:
    from wavenet.audio.mel_files import MelFormat
    from wavenet.generation.conditions import Conditions
    from wavenet.model.checkpoint import Model

MelScale = Literal[
    "ln",
    "log10",
    "db",
    "log1p",
    "linear",
    "ln-power",
    "log10-power",
    "db-power",
    "power",
]
# Frames that rise above this are of something heard: noise at -50 dBFS does.
SOUNDING = -6.0
# What results are called after their inputs. In a folder they are no inputs.
RESULT = "-vocoded"


def vocode(
    model: options.ModelArgument,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Recordings to resynthesise, log-mel frames in .npy, or folders of either; - is "
            "standard input.",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(help="Voice or class, for a model that knows some.")
    ] = None,
    mel_scale: Annotated[
        MelScale,
        typer.Option(
            help="What frames in .npy are: ln, log10, db, log1p or linear magnitudes, or of power "
            "ln-power, log10-power, db-power or power."
        ),
    ] = "ln",
    mel_offset: Annotated[
        int,
        typer.Option(
            help="The sample that the first frame in .npy is centred on: 0 as in librosa, half a "
            "hop as in HiFi-GAN."
        ),
    ] = 0,
    mel_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW-HIGH",
            help="Where the bands in .npy begin and end, in Hz, such as 80-7600. Default: as the "
            "model's.",
        ),
    ] = None,
    temperature: options.TemperatureOption = 1.0,
    top_k: options.TopKOption = 0,
    top_p: options.TopPOption = 1.0,
    seed: options.SeedOption = None,
    engine: options.EngineOption = "auto",
    precision: options.PrecisionOption = "auto",
    threads: options.ThreadsOption = 0,
    no_tag: options.NoTagOption = False,
    out: Annotated[
        str | None,
        options.out_option(
            "wav, flac, ogg or mp3; for several inputs a folder, which FOLDER/ names for one too; "
            "- for a wav on standard output. Default: INPUT-vocoded.wav, or for a folder "
            "FOLDER-vocoded."
        ),
    ] = None,
    force: options.ForceOption = False,
    listen: options.ListenOption = False,
    subtype: options.SubtypeOption = None,
    raw: options.RawOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Make audio from mel frames: those of recordings, or made elsewhere."""
    with terminal.loading("the engine"):
        from wavenet.audio.mel_files import MelFormat
        from wavenet.cli import follow, standard_input
        from wavenet.cli.destinations import Destination
        from wavenet.generation import mel_frames
        from wavenet.generation.api import load
        from wavenet.model.distributions.base import Sampling
        from wavenet.model.known_labels import choose

    destination = Destination(out, force, listen, subtype, raw, as_json)
    terminal.verbosity.status_aside = destination.takes_stdout
    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    config, rate = trained.config, trained.config.audio.sample_rate
    made = MelFormat(mel_scale, mel_offset, range_of(mel_range))
    mel_frames.frame_format(trained, made)
    labels = [] if label is None else [label]
    # A wrong label is noticed before all inputs are read.
    choose(labels, config.model.labels)
    with standard_input.as_file(any(map(standard_input.is_meant, inputs)), "inputs") as copy:
        given = [copy if copy and standard_input.is_meant(path) else path for path in inputs]
        files, names = expanded(given)
        destination.require_one(len(files), "input")
        has_folder = any(path.is_dir() for path in inputs)
        if out is None and len(inputs) == 1 and has_folder:
            out = f"{inputs[0].resolve().name}{RESULT}"
        into_folder = has_folder or destination.into_folder
        folder = Path(out) if out and destination.to_files else None
        paths = follow.outputs(files, folder, RESULT, names if into_folder else None)
        destination.check(paths, rate)
        are_frames = [mel_frames.is_file_of_frames(path) for path in files]
        _check_options(any(are_frames), mel_scale, mel_offset, mel_range)
        readable, skipped = read(files, trained, made, copy)
    lines = []
    if config.train.frames_from and not all(are_frames[i] for i in readable):
        trained_on = f"the model was trained on frames from {config.train.frames_from}"
        lines.append(f"note: {trained_on}, those of recordings are computed from their audio")
    how = follow.Making(
        model,
        trained,
        destination,
        sampling,
        engine,
        engine_options,
        seed,
        label,
        made_from="" if no_tag else "mel frames",
        about=_about_frames(made),
        lines=lines,
        skipped=skipped,
    )
    shown = [standard_input.shown(file, copy) for file in files]
    follow.make(follow.each_of(readable, shown, files, paths, copy, _sounds), how)


def expanded(inputs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files that are meant, and what their results are called after.

    Of a folder these are its recordings and .npy files, by their names in it, without results of
    this command. Raises AudioError.
    """
    from wavenet.audio.mel_files import SUFFIX
    from wavenet.data.discovery import audio_files

    files, names = [], []
    for path in inputs:
        found, results = [Path(path.name)], ""
        if path.is_dir():
            every = [Path(file.name) for file in audio_files(path, {SUFFIX})[0]]
            found = [name for name in every if not name.stem.endswith(RESULT)]
            if left := len(every) - len(found):
                results = f"{left} earlier result{'s' * (left > 1)} (...{RESULT})"
        if not found:
            besides = f" besides {results}" if results else ""
            raise AudioError(path, f"holds neither recordings nor {SUFFIX} files{besides}")
        if results:
            with unread_is_fine():
                terminal.status(f"note: {printable(path)}: leaves out {results}")
        names += sorted(found)
        files += [path / name for name in sorted(found)] if path.is_dir() else [path]
    return files, names


def read(
    files: Sequence[Path],
    model: "Model",
    made: "MelFormat",
    copy: Path | None = None,
) -> tuple[dict[int, "Conditions"], list[dict[str, str]]]:
    """The inputs that can be read, by number, and for JSON the others; of several each has a line.

    `copy` is that of standard input. Raises AudioError or EngineError for the only one.
    """
    from wavenet.cli.standard_input import named
    from wavenet.generation import mel_frames

    readable, skipped = {}, []
    for i, path in enumerate(files):
        try:
            with named(copy):
                readable[i] = mel_frames.read(path, model, made)
        except (AudioError, EngineError) as e:
            if len(files) == 1:
                raise
            terminal.warn(f"wavenet: {e}")
            skipped.append({"file": "-" if path == copy else str(path), "reason": e.reason})
    if not readable:
        raise typer.Exit(1)
    return readable, skipped


def _sounds(conditions: "Conditions") -> bool:
    """Whether anything is to be heard of the frames."""
    return bool(conditions.values["mel"].max() > SOUNDING)


def range_of(text: str | None) -> tuple[float, float] | None:
    """The two frequencies of LOW-HIGH. Raises UsageError."""
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        rule = "must be two frequencies in Hz, such as 80-7600"
        raise UsageError("mel_range", text, rule) from None


def _check_options(
    has_frames: bool, mel_scale: str, mel_offset: int, mel_range: str | None
) -> None:
    """Raise UsageError for an option about frames that nobody gave."""
    given: dict[str, tuple[Any, Any]] = {
        "mel_scale": (mel_scale, "ln"),
        "mel_offset": (mel_offset, 0),
        "mel_range": (mel_range, None),
    }
    for name, (value, default) in given.items():
        if value != default and not has_frames:
            reason = "is of frames in .npy, and these are recordings"
            raise UsageError(name, value, reason, "leave it out")


def _about_frames(made: "MelFormat") -> str:
    """How frames that came in files were taken, for the first line."""
    from wavenet.audio.mel_scales import SCALES

    scale = f", frames of {SCALES[made.scale].noun}" if made.scale != "ln" else ""
    offset = f", first frame centred on sample {made.offset}" if made.offset else ""
    edges = f", bands from {made.range[0]:g} to {made.range[1]:g} Hz" if made.range else ""
    return scale + offset + edges
