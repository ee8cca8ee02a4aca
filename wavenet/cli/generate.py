"""`wavenet generate`: new audio, or the continuation of a recording."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import options, terminal
from wavenet.cli.outputs import identity
from wavenet.errors import AudioError, UsageError

if TYPE_CHECKING:
    from wavenet.cli.destinations import Destination
    from wavenet.cli.streams import Stream
    from wavenet.engines import Engine


def generate(
    model: options.ModelArgument,
    seconds: Annotated[float, typer.Option(help="Length of what is generated.")] = 5.0,
    count: Annotated[
        int | None,
        typer.Option(
            help="How many different clips to make at once. Default: 1, or one of each --label."
        ),
    ] = None,
    clip: Annotated[
        int | None,
        typer.Option(
            help="The number of the first clip: with the same seed and labels, --clip 3 makes the "
            "third of --count 4 again. Default: 1."
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            help="A recording to continue, of any length and rate, at its own level; - reads it "
            "from standard input."
        ),
    ] = None,
    keep_prompt: Annotated[
        bool, typer.Option("--keep-prompt", help="Put the prompt itself in front.")
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Voice or class; repeatable. Clips take them in turn, or without it all that the "
            "model knows."
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
            "wav, flac, ogg or mp3; with --count, numbered. FOLDER/ for files in it; - for a wav "
            "on standard output. Default: RUN-SEED.wav."
        ),
    ] = None,
    force: options.ForceOption = False,
    listen: options.ListenOption = False,
    subtype: options.SubtypeOption = None,
    raw: options.RawOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Make new audio, or continue a recording."""
    with terminal.loading("the engine"):
        from wavenet.cli import standard_input, streams
        from wavenet.cli.destinations import Destination
        from wavenet.generation.api import load, samples_for
        from wavenet.generation.prompt import read_prompt
        from wavenet.generation.provenance import model_name, synthetic_tags
        from wavenet.generation.sampler import Sampler
        from wavenet.model.distributions.base import Sampling
        from wavenet.model.known_labels import in_turn

    destination = Destination(out, force, listen, subtype, raw, as_json)
    terminal.verbosity.status_aside = destination.takes_stdout
    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    if keep_prompt and prompt is None:
        raise UsageError("keep_prompt", None, "there is no `prompt` to keep")
    labels = label or []
    numbers = clip_numbers(count, clip, len(labels))
    destination.require_one(len(numbers), "clip")
    samples, rate = samples_for(trained, seconds), trained.config.audio.sample_rate
    name = model_name(model)
    seed, paths = seed_and_paths(destination, name, seed, numbers)
    if prompt is not None and destination.to_files and identity(prompt) in map(identity, paths):
        raise AudioError(prompt, "is the prompt itself", "choose another -o")
    destination.check(paths, rate)
    known = trained.config.model.labels
    voices = [known[i] for i in in_turn(labels, known, numbers)] or [""] * len(numbers)
    with standard_input.as_file(standard_input.is_meant(prompt), "prompt") as copy:
        source = copy or prompt
        with standard_input.named(copy):
            continued = None if source is None else read_prompt(source, trained)

        # Clip i of a seed is the same in any batch.
        def sampler_of(batch: range, engine: "str | Engine") -> Sampler:
            return Sampler(
                trained,
                seed=seed,
                count=len(batch),
                first=numbers.start + batch.start,
                sampling=sampling,
                engine=engine,
                options=engine_options,
                prompt=continued,
                labels=labels,
            )

        batches = batches_of(len(numbers))
        with terminal.loading("the engine"):
            first = sampler_of(batches[0], engine)
        samplers = chain([first], (sampler_of(batch, first.engine) for batch in batches[1:]))
        lines = list[str]()
        lead, lead_seconds = None, 0.0
        if source and continued and continued.recording:
            whose = standard_input.shown(source, copy)
            lines = [f"note: {whose}: {note}" for note in continued.recording.notes]
            if keep_prompt:
                lead, lead_seconds = continued.recording, continued.whole_samples / rate
        lines.append(streams.first_line(first.engine, len(batches[0]), trained, seed))
        tags = partial(synthetic_tags, name, trained, seed, lead_seconds=lead_seconds)
        asked = clip_streams(
            samples, numbers, paths, voices, lead_seconds, None if no_tag else tags
        )
        both = zip(batches, samplers, strict=True)
        origin = streams.origin(name, trained, first.engine, seed)
        streams.make(both, asked, destination, lines, origin, lead, "a --prompt, ")


def clip_numbers(count: int | None, first: int | None, labels: int) -> range:
    """The clips to make, counted from 0; `first` counts from 1, `labels` were asked for.

    Raises UsageError.
    """
    from wavenet.generation.sampler import MOST_STREAMS, require_count

    if first is None and count is not None and count < labels:
        problem = f"{labels} labels for {count} clips"
        raise UsageError("label", None, problem, "raise `count`, or leave it out for one of each")
    if first is not None and not 1 <= first <= MOST_STREAMS:
        raise UsageError("clip", first, f"must be 1 to {MOST_STREAMS}")
    count = count if count is not None else max(1, labels) if first is None else 1
    require_count(count)
    start = (first or 1) - 1
    return range(start, start + count)


def batches_of(count: int) -> list[range]:
    """So many clips, counted from 0, in batches of as many as may be open at once."""
    from wavenet.system.files import open_at_once

    at_once, whole = open_at_once(count), range(count)
    return [whole[i : i + at_once] for i in range(0, count, at_once)]


def clip_streams(
    samples: int,
    numbers: range,
    paths: Sequence[Path],
    voices: Sequence[str],
    lead_seconds: float,
    tags: Callable[..., Mapping[str, str]] | None,
) -> "list[Stream]":
    """What is to be made of each clip, which stands behind so many seconds of its prompt."""
    from wavenet.cli.streams import Stream

    after = f" after {lead_seconds:.2f} s of prompt" if lead_seconds else ""
    return [
        Stream(
            samples,
            path,
            tags=tags(clip=number + 1) if tags else {},
            text=after + (f", {voice}" if voice else ""),
            facts={
                "clip": number + 1,
                "label": voice or None,
                "kept_prompt_seconds": lead_seconds,
            },
        )
        for number, path, voice in zip(numbers, paths, voices, strict=True)
    ]


def seed_and_paths(
    destination: "Destination", name: str, seed: int | None, numbers: range
) -> tuple[int, list[Path]]:
    """The seed that was given, or a new one, and a path for each clip.

    A new seed is one after which no file is called yet, where files are called after it.
    """
    from wavenet.cli.streams import new_seed

    while True:
        chosen = new_seed() if seed is None else seed
        paths = clip_paths(destination, f"{name}-{chosen}.wav", numbers)
        if seed is not None or destination.is_named or not any(p.exists() for p in paths):
            return chosen, paths


def clip_paths(destination: "Destination", default: str, numbers: range) -> list[Path]:
    """out.wav for one clip; out-1.wav, out-2.wav, ... for several.

    Under the `default` name, a clip alone has its number too, unless it is the first.
    """
    path = destination.path_of(default)
    alone = len(numbers) == 1 and (destination.is_named or not numbers.start)
    return [path if alone else path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in numbers]
