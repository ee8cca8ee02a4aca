"""`wavenet vocode`: audio from mel frames, those of recordings or made elsewhere."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from wavenet.cli import options
from wavenet.errors import AudioError, OutputError

# Streams of a batch. More are no faster, and each takes memory.
MAX_STREAMS = 32


def vocode(
    model: options.ModelArgument,
    inputs: Annotated[
        list[Path], typer.Argument(help="Recordings to resynthesise, or log-mel frames in .npy.")
    ],
    label: Annotated[
        str | None, typer.Option(help="Voice or class, for a model that knows some.")
    ] = None,
    temperature: options.TemperatureOption = 1.0,
    top_k: options.TopKOption = 0,
    top_p: options.TopPOption = 1.0,
    seed: options.SeedOption = None,
    engine: options.EngineOption = "auto",
    precision: options.PrecisionOption = "auto",
    threads: options.ThreadsOption = 0,
    tag: options.TagOption = True,
    out: Annotated[
        Path | None,
        options.out_option(
            "wav, flac, ogg or mp3; for several inputs a folder. Default: INPUT-vocoded.wav."
        ),
    ] = None,
) -> None:
    """Make audio from mel frames: those of recordings, or made elsewhere."""
    from wavenet.cli.streams import INTERRUPTED, chosen_or_new, first_line, write_streams
    from wavenet.engines import create_engine
    from wavenet.generation.api import load
    from wavenet.generation.mel_input import MelInput, require_frames
    from wavenet.generation.provenance import model_name, synthetic_tags
    from wavenet.generation.sampler import Sampler
    from wavenet.model.distributions.base import Sampling
    from wavenet.model.known_labels import choose

    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    config, rate = trained.config, trained.config.audio.sample_rate
    require_frames(config)
    labels = [] if label is None else [label]
    # A wrong label is noticed before all inputs are read.
    choose(labels, config.model.labels)
    paths = outputs(inputs, out)
    mel_inputs = [MelInput.read(path, trained) for path in inputs]
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
    batches = [order[i : i + MAX_STREAMS] for i in range(0, len(order), MAX_STREAMS)]
    # The first sampler refuses what does not fit, before anything is written.
    samplers = chain([sampler_of(batches[0])], map(sampler_of, batches[1:]))
    typer.echo(first_line(loaded, len(batches[0]), trained, seed))
    _make_folder(paths[0].parent)
    about = synthetic_tags(model_name(model), trained, seed, from_mel_frames=True) if tag else {}
    tags = [about] * len(paths)
    made = write_streams(zip(batches, samplers, strict=True), lengths, paths, tags, rate)
    voice = f", {label}" if label else ""
    for path, source, samples in zip(paths, inputs, made, strict=True):
        if samples:
            typer.echo(f"{path}  {samples / rate:.2f} s, after {source}{voice}")
    if sum(made) < sum(lengths):
        typer.echo(INTERRUPTED)


def outputs(inputs: Sequence[Path], out: Path | None) -> list[Path]:
    """The path of each result: `out` itself, or for several inputs a file in a folder of that name.

    Raises AudioError.
    """
    from wavenet.audio import writing

    if len(inputs) == 1 and not (out and out.is_dir()):
        paths = [out or Path(f"{inputs[0].stem}-vocoded.wav")]
        writing.check_writable(paths[0])
    else:
        folder = out or Path()
        if folder.suffix.lower() in writing.WRITABLE:
            raise AudioError(folder, f"is one file for {len(inputs)} inputs", "name a folder")
        paths = [folder / f"{source.stem}-vocoded.wav" for source in inputs]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        reason = "would be written for two inputs of the same name"
        raise AudioError(twice[0], reason, "give them one at a time")
    resolved_inputs = {source.resolve() for source in inputs}
    for path in paths:
        if path.resolve() in resolved_inputs:
            raise AudioError(path, "is an input itself", "choose another -o")
    return paths


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as e:
        advice = "name a folder in an existing one"
        raise OutputError(folder, f"cannot be made ({e.strerror})", advice) from None
