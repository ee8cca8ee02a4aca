"""`wavenet generate`: new audio, or the continuation of a recording."""

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import options, terminal
from wavenet.errors import AudioError, UsageError

if TYPE_CHECKING:
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
    prompt: Annotated[
        Path | None,
        typer.Option(help="A recording to continue, of any length and rate, at its own level."),
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
        Path | None,
        options.out_option("wav, flac, ogg or mp3; with --count, numbered. Default: RUN-SEED.wav."),
    ] = None,
) -> None:
    """Make new audio, or continue a recording."""
    from wavenet.cli.streams import (
        INTERRUPTED,
        chosen_or_new,
        first_line,
        silence_lines,
        write_streams,
    )
    from wavenet.generation.api import load, samples_for
    from wavenet.generation.prompt import read_prompt
    from wavenet.generation.provenance import model_name, synthetic_tags
    from wavenet.generation.sampler import Sampler, require_count
    from wavenet.model.distributions.base import Sampling
    from wavenet.model.known_labels import in_turn
    from wavenet.system.files import open_at_once

    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(model)
    if keep_prompt and prompt is None:
        raise UsageError("keep_prompt", None, "there is no `prompt` to keep")
    labels = label or []
    count = max(1, len(labels)) if count is None else count
    if count < len(labels):
        problem = f"{len(labels)} labels for {count} clips"
        raise UsageError("label", None, problem, "raise `count`, or leave it out for one of each")
    samples, rate = samples_for(trained, seconds), trained.config.audio.sample_rate
    continued = None if prompt is None else read_prompt(prompt, trained)
    seed = chosen_or_new(seed)
    name = model_name(model)
    require_count(count)
    at_once = open_at_once(count)
    paths = numbered(out or Path(f"{name}-{seed}.wav"), count)
    if prompt is not None and prompt.resolve() in [path.resolve() for path in paths]:
        raise AudioError(prompt, "is the prompt itself", "choose another -o")
    # Of as many as may be open at once. Clip i of a seed is the same in any batch.
    batches = [range(count)[i : i + at_once] for i in range(0, count, at_once)]

    def sampler_of(batch: range, engine: "str | Engine") -> Sampler:
        return Sampler(
            trained,
            seed=seed,
            count=len(batch),
            first=batch.start,
            sampling=sampling,
            engine=engine,
            options=engine_options,
            prompt=continued,
            labels=labels,
        )

    first = sampler_of(batches[0], engine)
    samplers = chain([first], (sampler_of(batch, first.engine) for batch in batches[1:]))
    recording = continued.recording if continued else None
    for note in recording.notes if recording else ():
        typer.echo(f"note: {prompt}: {note}")
    typer.echo(first_line(first.engine, len(batches[0]), trained, seed))
    lead, lead_seconds, after = None, 0.0, ""
    if keep_prompt and continued is not None:
        lead, lead_seconds = recording, continued.whole_samples / rate
        after = f" after {lead_seconds:.2f} s of prompt"
    tags: list[dict[str, str]] = [{}] * count
    if not no_tag:
        about = partial(synthetic_tags, name, trained, seed, lead_seconds=lead_seconds)
        tags = [about(clip=i + 1) for i in range(count)]
    lengths, both = [samples] * count, zip(batches, samplers, strict=True)
    clips = write_streams(both, lengths, paths, tags, rate, lead)
    known = trained.config.model.labels
    voices = [f", {known[i]}" for i in in_turn(labels, known, range(count))] or [""] * count
    for path, clip, voice in zip(paths, clips, voices, strict=True):
        if clip.samples:
            typer.echo(f"{path}  {clip.samples / rate:.2f} s{after}{voice}")
    if sum(clip.samples for clip in clips) < count * samples:
        typer.echo(INTERRUPTED)
    for line in silence_lines(paths, clips, rate, "a --prompt, "):
        terminal.warn(line)


def numbered(path: Path, count: int) -> list[Path]:
    """out.wav for one clip; out-1.wav, out-2.wav, ... for several.

    Raises AudioError for what cannot be written.
    """
    from wavenet.audio.writing import check_writable

    check_writable(path)
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in range(count)]
