"""`wavenet vocode`: audio from mel frames, those of recordings or made elsewhere."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavenet.cli import options, terminal
from wavenet.cli.outputs import identity, unread_is_fine
from wavenet.errors import AudioError, EngineError, UsageError, printable

if TYPE_CHECKING:
    from wavenet.generation.mel_input import MelInput
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
# Streams of a batch. More are no faster, and each takes memory.
MAX_STREAMS = 32
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
        from wavenet.cli import standard_input, streams
        from wavenet.cli.destinations import Destination
        from wavenet.engines import create_engine
        from wavenet.generation.api import load
        from wavenet.generation.mel_input import is_file_of_frames, require_frames
        from wavenet.generation.provenance import model_name, synthetic_tags
        from wavenet.generation.sampler import Sampler
        from wavenet.model.distributions.base import Sampling
        from wavenet.model.known_labels import choose
        from wavenet.system.files import open_at_once

    destination = Destination(out, force, listen, subtype, raw, as_json)
    terminal.verbosity.status_aside = destination.takes_stdout
    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    config, rate = trained.config, trained.config.audio.sample_rate
    require_frames(config)
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
        paths = outputs(files, folder, names if into_folder else None)
        destination.check(paths, rate)
        are_frames = [is_file_of_frames(path) for path in files]
        _check_options(any(are_frames), mel_scale, mel_offset)
        readable, skipped = read(files, trained, mel_scale, mel_offset, copy)
    files, paths = [files[i] for i in readable], [paths[i] for i in readable]
    sources = [standard_input.shown(path, copy) for path in files]
    mel_inputs = list(readable.values())
    both = zip(sources, mel_inputs, strict=True)
    lines = [f"note: {source}: {note}" for source, mel_input in both for note in mel_input.notes]
    lengths = [mel_input.samples for mel_input in mel_inputs]
    seed = streams.new_seed() if seed is None else seed
    with terminal.loading("the engine"):
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
    first_line = streams.first_line(loaded, len(batches[0]), trained, seed)
    lines.append(first_line + _about_frames(mel_scale, mel_offset))
    if config.train.frames_from and not all(are_frames):
        trained_on = f"the model was trained on frames from {config.train.frames_from}"
        lines.append(f"note: {trained_on}, those of recordings are computed from their audio")
    name = model_name(model)
    tags = {} if no_tag else synthetic_tags(name, trained, seed, from_mel_frames=True)
    voice = f", {label}" if label else ""
    asked = [
        streams.Stream(
            mel_input.samples,
            path,
            tags,
            text=f", after {source}{voice}",
            facts={"source": "-" if file == copy else str(file), "label": label},
            may_be_silent=mel_input.frames.max() <= SOUNDING,
        )
        for mel_input, path, file, source in zip(mel_inputs, paths, files, sources, strict=True)
    ]
    about = streams.origin(name, trained, loaded, seed) | {"skipped": skipped}
    batched = zip(batches, samplers, strict=True)
    streams.make(batched, asked, destination, lines, about)
    if skipped:
        raise typer.Exit(1)


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
    mel_scale: str,
    mel_offset: int,
    copy: Path | None = None,
) -> tuple[dict[int, "MelInput"], list[dict[str, str]]]:
    """The inputs that can be read, by number, and for JSON the others; of several each has a line.

    `copy` is that of standard input. Raises AudioError or EngineError for the only one.
    """
    from wavenet.cli.standard_input import named
    from wavenet.generation.mel_input import MelInput

    readable, skipped = {}, []
    for i, path in enumerate(files):
        try:
            with named(copy):
                readable[i] = MelInput.read(path, model, mel_scale, mel_offset)
        except (AudioError, EngineError) as e:
            if len(files) == 1:
                raise
            terminal.warn(f"wavenet: {e}")
            skipped.append({"file": "-" if path == copy else str(path), "reason": e.reason})
    if not readable:
        raise typer.Exit(1)
    return readable, skipped


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
        paths = [out or Path(f"{inputs[0].stem}{RESULT}.wav")]
        writing.check_writable(paths[0])
    else:
        folder = out or Path()
        if folder.suffix.lower() in writing.WRITABLE:
            raise AudioError(folder, f"is one file for {len(inputs)} inputs", "name a folder")
        names = names or [Path(source.name) for source in inputs]
        # Of files that differ in their suffix alone, as a recording beside its frames, it is kept.
        stems = Counter(name.with_suffix("") for name in set(names))
        paths = [
            folder / name.with_name(f"{name.stem if stems[stem] == 1 else name.name}{RESULT}.wav")
            for name, stem in zip(names, (name.with_suffix("") for name in names), strict=True)
        ]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        reason = "would be written for two inputs of the same name"
        raise AudioError(twice[0], reason, "give them one at a time")
    of_inputs = set(map(identity, inputs))
    for path in paths:
        if identity(path) in of_inputs:
            raise AudioError(path, "is an input itself", "choose another -o")
    return paths
