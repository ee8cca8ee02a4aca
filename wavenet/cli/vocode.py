"""`wavenet vocode`: audio from mel frames, those of recordings or made elsewhere."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import options, terminal
from wavenet.errors import AudioError, EngineError, OutputError, UsageError

if TYPE_CHECKING:
    from wavenet.generation.mel_input import MelInput
    from wavenet.model.checkpoint import Checkpoint

# Streams of a batch. More are no faster, and each takes memory.
MAX_STREAMS = 32
# Frames that rise above this are of something heard: noise at -50 dBFS does.
SOUNDING = -6.0
# At the end of a path, they say that it is a folder.
SLASHES = tuple(filter(None, ("/", os.sep, os.altsep)))


def vocode(
    model: options.ModelArgument,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Recordings to resynthesise, log-mel frames in .npy, or folders of either."
        ),
    ],
    label: Annotated[
        str | None, typer.Option(help="Voice or class, for a model that knows some.")
    ] = None,
    mel_scale: Annotated[
        str,
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
            "wav, flac, ogg or mp3; for several inputs a folder, which FOLDER/ names for one too. "
            "Default: INPUT-vocoded.wav, or for a folder FOLDER-vocoded."
        ),
    ] = None,
) -> None:
    """Make audio from mel frames: those of recordings, or made elsewhere."""
    from wavenet.cli.streams import (
        INTERRUPTED,
        chosen_or_new,
        first_line,
        silence_lines,
        write_streams,
    )
    from wavenet.engines import create_engine
    from wavenet.generation.api import load
    from wavenet.generation.mel_input import is_file_of_frames, require_frames
    from wavenet.generation.provenance import model_name, synthetic_tags
    from wavenet.generation.sampler import Sampler
    from wavenet.model.distributions.base import Sampling
    from wavenet.model.known_labels import choose
    from wavenet.system.files import open_at_once

    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    config, rate = trained.config, trained.config.audio.sample_rate
    require_frames(config)
    labels = [] if label is None else [label]
    # A wrong label is noticed before all inputs are read.
    choose(labels, config.model.labels)
    files, names = expanded(inputs)
    into_folder = any(path.is_dir() for path in inputs) or (out or "").endswith(SLASHES)
    if out is None and len(inputs) == 1 and into_folder:
        out = f"{inputs[0].resolve().name}-vocoded"
    paths = outputs(files, Path(out) if out else None, names if into_folder else None)
    folder = paths[0].parents[len(names[0].parts) - 1]
    are_frames = [is_file_of_frames(path) for path in files]
    _check_options(any(are_frames), mel_scale, mel_offset)
    readable = read(files, trained, mel_scale, mel_offset)
    files, paths = [files[i] for i in readable], [paths[i] for i in readable]
    mel_inputs = list(readable.values())
    for path, mel_input in zip(files, mel_inputs, strict=True):
        for note in mel_input.notes:
            typer.echo(f"note: {path}: {note}")
    lengths = [mel_input.samples for mel_input in mel_inputs]
    seed = chosen_or_new(seed)
    loaded = create_engine(engine, config.model, trained.weights, engine_options)

    def sampler_of(batch: Sequence[int]) -> Sampler:
        mels = [mel_inputs[i] for i in batch]
        return Sampler(
            trained, seed=seed, sampling=sampling, engine=loaded, labels=labels, mel_inputs=mels
        )

    # A batch takes as long as the longest input in it, so those of similar length go together.
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    at_once = open_at_once(MAX_STREAMS)
    batches = [order[i : i + at_once] for i in range(0, len(order), at_once)]
    # The first sampler refuses what does not fit, before anything is written.
    samplers = chain([sampler_of(batches[0])], map(sampler_of, batches[1:]))
    about_frames = _about_frames(mel_scale, mel_offset)
    typer.echo(first_line(loaded, len(batches[0]), trained, seed) + about_frames)
    if config.train.frames_from and not all(are_frames):
        trained_on = f"the model was trained on frames from {config.train.frames_from}"
        typer.echo(f"note: {trained_on}, those of recordings are computed from their audio")
    _make_folders(folder, paths)
    about = (
        synthetic_tags(model_name(model), trained, seed, from_mel_frames=True) if not no_tag else {}
    )
    tags = [about] * len(paths)
    clips = write_streams(zip(batches, samplers, strict=True), lengths, paths, tags, rate)
    voice = f", {label}" if label else ""
    for path, source, clip in zip(paths, files, clips, strict=True):
        if clip.samples:
            typer.echo(f"{path}  {clip.samples / rate:.2f} s, after {source}{voice}")
    if sum(clip.samples for clip in clips) < sum(lengths):
        typer.echo(INTERRUPTED)
    heard = [i for i, mel_input in enumerate(mel_inputs) if mel_input.frames.max() > SOUNDING]
    for line in silence_lines([paths[i] for i in heard], [clips[i] for i in heard], rate):
        terminal.warn(line)
    if len(readable) < len(names):
        raise typer.Exit(1)


def expanded(inputs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files that are meant, and what their results are called after.

    Of a folder these are its recordings and .npy files, by their names in it. Raises AudioError.
    """
    from wavenet.audio.mel_files import SUFFIX
    from wavenet.data.discovery import audio_files

    files, names = [], []
    for path in inputs:
        found = [Path(path.name)]
        if path.is_dir():
            found = [Path(file.name) for file in audio_files(path, {SUFFIX})[0]]
        if not found:
            raise AudioError(path, f"holds neither recordings nor {SUFFIX} files")
        names += sorted(found)
        files += [path / name for name in sorted(found)] if path.is_dir() else [path]
    return files, names


def read(
    files: Sequence[Path], model: "Checkpoint", mel_scale: str, mel_offset: int
) -> dict[int, "MelInput"]:
    """The inputs that can be read, by number; each of several that cannot gets its line.

    Raises AudioError or EngineError for the only one.
    """
    from wavenet.generation.mel_input import MelInput

    readable = {}
    for i, path in enumerate(files):
        try:
            readable[i] = MelInput.read(path, model, mel_scale, mel_offset)
        except (AudioError, EngineError) as e:
            if len(files) == 1:
                raise
            terminal.warn(f"wavenet: {e}")
    if not readable:
        raise typer.Exit(1)
    return readable


def _check_options(has_frames: bool, mel_scale: str, mel_offset: int) -> None:
    """Raise UsageError for an option about frames that nobody gave."""
    given = {"mel_scale": (mel_scale, "ln"), "mel_offset": (mel_offset, 0)}
    for name, (value, default) in given.items():
        if value != default and not has_frames:
            reason = "is of frames in .npy, and these are recordings"
            raise UsageError(name, value, reason, "leave it out")


def _about_frames(mel_scale: str, mel_offset: int) -> str:
    """How frames that came in files were taken, for the first line."""
    from wavenet.audio.mel_scales import SCALES

    scale = f", frames of {SCALES[mel_scale].noun}" if mel_scale != "ln" else ""
    offset = f", first frame centred on sample {mel_offset}" if mel_offset else ""
    return scale + offset


def outputs(
    inputs: Sequence[Path], out: Path | None, names: Sequence[Path] | None = None
) -> list[Path]:
    """The path of each result: `out` itself, or for several inputs a file in a folder of that name.

    With `names` it is a folder, and files in it are called after these. Raises AudioError.
    """
    from wavenet.audio import writing

    if names is None and len(inputs) == 1 and not (out and out.is_dir()):
        paths = [out or Path(f"{inputs[0].stem}-vocoded.wav")]
        writing.check_writable(paths[0])
    else:
        folder = out or Path()
        if folder.suffix.lower() in writing.WRITABLE:
            raise AudioError(folder, f"is one file for {len(inputs)} inputs", "name a folder")
        names = names or [Path(source.name) for source in inputs]
        # Of files that differ in their suffix alone, as a recording beside its frames, it is kept.
        stems = Counter(name.with_suffix("") for name in set(names))
        paths = [
            folder / name.with_name(f"{name.stem if stems[stem] == 1 else name.name}-vocoded.wav")
            for name, stem in zip(names, (name.with_suffix("") for name in names), strict=True)
        ]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        reason = "would be written for two inputs of the same name"
        raise AudioError(twice[0], reason, "give them one at a time")
    resolved_inputs = {source.resolve() for source in inputs}
    for path in paths:
        if path.resolve() in resolved_inputs:
            raise AudioError(path, "is an input itself", "choose another -o")
    return paths


def _make_folders(folder: Path, paths: Sequence[Path]) -> None:
    """Make the folder of results, and within it those of single ones."""
    try:
        folder.mkdir(exist_ok=True)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        advice = "name a folder in an existing one"
        raise OutputError(folder, f"cannot be made ({e.strerror})", advice) from None
