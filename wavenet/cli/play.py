"""`wavenet play`: a model that follows pitch, notes or others, played like an instrument."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import options, terminal
from wavenet.cli.command import RESTS
from wavenet.cli.option_names import with_options
from wavenet.errors import UsageError, WavenetError

if TYPE_CHECKING:
    from wavenet.generation.conditions import Conditions
    from wavenet.generation.sources import How
    from wavenet.model.checkpoint import Model

# What results are called after their sources, and after typed notes.
RESULT, TYPED = "-played", "notes"


def play(
    model: options.ModelArgument,
    sources: Annotated[
        list[str],
        typer.Argument(
            help='Recordings to follow, MIDI files, notes such as "C4:0.5 D4 E4:1 -:0.5", files of '
            "segments, or features in .npy; - is a recording on standard input.",
        ),
    ],
    transpose: Annotated[
        float, typer.Option(help="Semitones up; down with a number below 0.")
    ] = 0.0,
    tempo: Annotated[float, typer.Option(help="How much faster: 2 in half the time.")] = 1.0,
    label: Annotated[
        str | None, typer.Option(help="Voice or class, for a model that knows some.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(help="Of MIDI files that have several, 1 to 16.")
    ] = None,
    tier: Annotated[
        str | None, typer.Option(help="Of TextGrids that have several, by its name.")
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
            "wav, flac, ogg or mp3; for several sources a folder, which FOLDER/ names for one too; "
            f"- for a wav on standard output. Default: SOURCE{RESULT}.wav."
        ),
    ] = None,
    force: options.ForceOption = False,
    listen: options.ListenOption = False,
    subtype: options.SubtypeOption = None,
    raw: options.RawOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Play a model like an instrument: by a recording, MIDI, notes, segments or features."""
    with terminal.loading("the engine"):
        from wavenet.cli import follow, standard_input
        from wavenet.cli.destinations import Destination
        from wavenet.generation.api import load
        from wavenet.generation.sources import (
            How,
            from_text,
            is_typed,
            require_of_use,
            require_playable,
        )
        from wavenet.model.conditioning.registry import followed
        from wavenet.model.distributions.base import Sampling
        from wavenet.model.known_labels import choose

    destination = Destination(out, force, listen, subtype, raw, as_json)
    terminal.verbosity.status_aside = destination.takes_stdout
    engine_options = options.engine_options(precision, threads)
    sampling = Sampling(temperature, top_k, top_p)
    how = How(transpose, tempo, channel, tier)
    trained = load(model)
    require_playable(trained)
    # A wrong label is noticed before all sources are read.
    choose([] if label is None else [label], trained.config.model.labels)
    is_piped = any(standard_input.is_meant(Path(source)) for source in sources)
    with standard_input.as_file(is_piped, "sources") as copy:
        given = [
            str(copy) if copy and standard_input.is_meant(Path(s)) else s
            for s in map(_typed, sources)
        ]
        destination.require_one(len(given), "source")
        require_of_use(how, given)
        # Words that are no notes are noticed before anything else.
        for text in filter(is_typed, given):
            from_text(text, trained, how, "sources")
        is_new = out is not None or force
        names = named(given, lambda name: is_new or not Path(f"{name}{RESULT}.wav").exists())
        folder = Path(out) if out and destination.to_files else None
        into = [Path(path.name) for path in names] if destination.into_folder else None
        paths = follow.outputs(names, folder, RESULT, into)
        destination.check(paths, trained.sample_rate)
        readable, skipped = read(given, trained, how, copy)
    kinds = followed(trained.config.model)
    making = follow.Making(
        model,
        trained,
        destination,
        sampling,
        engine,
        engine_options,
        seed,
        label,
        made_from="" if no_tag else kinds,
        about=f", follows {kinds}",
        skipped=skipped,
    )
    shown = [_shown(source, copy) for source in given]
    follow.make(follow.each_of(readable, shown, given, paths, copy, _sounds), making)


def named(sources: Sequence[str], is_free: Callable[[str], bool]) -> list[Path]:
    """What results are called after: files themselves, and lines of notes by numbers.

    A line alone has no number, unless that name `is_free` no more.
    """
    from wavenet.generation.sources import is_typed

    count = sum(map(is_typed, sources))
    numbers = ((f"{TYPED}-{i}" if i or count > 1 else TYPED) for i in range(count > 1, 1 << 30))
    free = filter(is_free, numbers)
    return [Path(next(free)) if is_typed(source) else Path(source) for source in sources]


def read(
    sources: Sequence[str], model: "Model", how: "How", copy: Path | None = None
) -> tuple[dict[int, "Conditions"], list[dict[str, str]]]:
    """The sources that can be played, by number, and for JSON the others; of several each a line.

    `copy` is that of standard input. Raises WavenetError for the only one, and UsageError for what
    would go wrong with any other, too.
    """
    from wavenet.cli.standard_input import named as as_typed
    from wavenet.generation.sources import from_file, from_text, is_typed

    readable: dict[int, Conditions] = {}
    skipped: list[dict[str, str]] = []
    for i, source in enumerate(sources):
        try:
            with as_typed(copy):
                is_text = is_typed(source)
                readable[i] = (
                    from_text(source, model, how, "sources")
                    if is_text
                    else from_file(Path(source), model, how)
                )
        except WavenetError as e:
            of_one = not isinstance(e, UsageError) or e.parameter in ("channel", "tier")
            if len(sources) == 1 or not of_one:
                raise
            terminal.warn(with_options(f"wavenet: {e}"))
            skipped.append({"file": "-" if source == str(copy) else source, "reason": e.reason})
    if not readable:
        raise typer.Exit(1)
    return readable, skipped


def _typed(source: str) -> str:
    """A source as it was typed, which has a space before it where it begins with a rest."""
    bare = source.removeprefix(" ")
    return bare if bare.startswith(RESTS) else source


def _shown(source: str, copy: Path | None) -> str:
    """A source in the lines about it."""
    from wavenet.cli.standard_input import shown
    from wavenet.generation.sources import is_typed

    return " ".join(source.split()) if is_typed(source) else shown(Path(source), copy)


def _sounds(conditions: "Conditions") -> bool:
    """Whether anything is to be played in them, as far as that shows."""
    pitch = conditions.values.get("pitch")
    return pitch is None or bool(pitch[:, 1].any())
