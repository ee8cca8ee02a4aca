"""What `wavenet vocode` and `wavenet play` share: streams that follow what they are given."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import typer

from wavenet.audio import writing
from wavenet.cli import streams, terminal
from wavenet.cli.destinations import Destination
from wavenet.cli.outputs import identity
from wavenet.engines import create_engine
from wavenet.engines.options import EngineOptions
from wavenet.errors import AudioError
from wavenet.generation.conditions import Conditions
from wavenet.generation.provenance import model_name, synthetic_tags
from wavenet.generation.sampler import Sampler
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.base import Sampling
from wavenet.system.files import open_at_once

# Streams of a batch. More are no faster, and each takes memory.
MAX_STREAMS = 32


@dataclass(frozen=True)
class Followed:
    """One source: what is followed of it, how it is called, and where its audio goes."""

    conditions: Conditions
    # In lines, and in JSON.
    shown: str
    source: str
    path: Path
    may_be_silent: bool = False


@dataclass(frozen=True)
class Making:
    """How all of them are made."""

    model: Path
    trained: Model
    destination: Destination
    sampling: Sampling
    engine: str
    options: EngineOptions
    seed: int | None
    label: str | None
    # What its audio is made from, for tags; "" for none of these.
    made_from: str
    # For the first line.
    about: str = ""
    lines: Sequence[str] = ()
    skipped: Sequence[Mapping[str, str]] = field(default=())


def each_of(
    readable: Mapping[int, Conditions],
    shown: Sequence[str],
    sources: Sequence[object],
    paths: Sequence[Path],
    copy: Path | None,
    sounds: Callable[[Conditions], bool],
) -> list[Followed]:
    """Each source that can be read, by its number. `copy` is that of standard input."""
    names = ["-" if copy and str(source) == str(copy) else str(source) for source in sources]
    return [
        Followed(each, shown[i], names[i], paths[i], may_be_silent=not sounds(each))
        for i, each in readable.items()
    ]


def make(sources: Sequence[Followed], how: Making) -> None:
    """Make the audio of all sources, and report it. Raises WavenetError and typer.Exit."""
    trained, labels = how.trained, [] if how.label is None else [how.label]
    lines = [f"note: {s.shown}: {note}" for s in sources for note in s.conditions.notes]
    lengths = [source.conditions.samples for source in sources]
    seed = streams.new_seed() if how.seed is None else how.seed
    with terminal.loading("the engine"):
        loaded = create_engine(how.engine, trained.config.model, trained.weights, how.options)

    def sampler_of(batch: Sequence[int]) -> Sampler:
        return Sampler(
            trained,
            seed=seed,
            sampling=how.sampling,
            engine=loaded,
            labels=labels,
            conditions=[sources[i].conditions for i in batch],
        )

    # A batch takes as long as the longest input in it, so those of similar length go together.
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    at_once = open_at_once(MAX_STREAMS)
    batches = [order[i : i + at_once] for i in range(0, len(order), at_once)]
    # The first sampler refuses what does not fit, before anything is written.
    samplers = chain([sampler_of(batches[0])], map(sampler_of, batches[1:]))
    lines.append(streams.first_line(loaded, len(batches[0]), trained, seed) + how.about)
    name, made_from = model_name(how.model), how.made_from
    tags = synthetic_tags(name, trained, seed, made_from=made_from) if made_from else {}
    voice = f", {how.label}" if how.label else ""
    asked = [
        streams.Stream(
            source.conditions.samples,
            source.path,
            tags,
            text=f", after {source.shown}{voice}",
            facts={"source": source.source, "label": how.label},
            may_be_silent=source.may_be_silent,
        )
        for source in sources
    ]
    about = streams.origin(name, trained, loaded, seed) | {"skipped": list(how.skipped)}
    batched = zip(batches, samplers, strict=True)
    streams.make(batched, asked, how.destination, [*lines, *how.lines], about)
    if how.skipped:
        raise typer.Exit(1)


def outputs(
    inputs: Sequence[Path], out: Path | None, result: str, names: Sequence[Path] | None = None
) -> list[Path]:
    """The path of each result: `out` itself, or for several inputs a file in a folder of that name.

    Files are called after the inputs, with `result` behind the stem. With `names` `out` is a
    folder, and files in it are called after these. Raises AudioError.
    """
    if names is None and len(inputs) == 1 and not (out and out.is_dir()):
        paths = [out or Path(f"{inputs[0].stem}{result}.wav")]
        writing.check_writable(paths[0])
    else:
        folder = out or Path()
        if folder.suffix.lower() in writing.WRITABLE:
            raise AudioError(folder, f"is one file for {len(inputs)} inputs", "name a folder")
        names = names or [Path(source.name) for source in inputs]
        # Of files that differ in their suffix alone, as a recording beside its frames, it is kept.
        stems = Counter(name.with_suffix("") for name in set(names))
        paths = [
            folder / name.with_name(f"{name.stem if stems[stem] == 1 else name.name}{result}.wav")
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
