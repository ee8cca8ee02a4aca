"""What `wavenet generate` and `wavenet vocode` share: streams written as they are generated.

So Ctrl-C and a full disk leave what there is.
"""

import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from wavenet.audio import levels
from wavenet.audio.reading import AudioFile
from wavenet.audio.writing import Sink
from wavenet.cli import terminal
from wavenet.cli.destinations import Destination
from wavenet.cli.outputs import print_json, unread_is_fine
from wavenet.engines import Engine
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Wav
from wavenet.model.checkpoint import Model
from wavenet.system import interrupts
from wavenet.system.progress import bar
from wavenet.version import __version__

INTERRUPTED = "interrupted: what was made until then is kept"
# A clip of this length whose loudest moment, at the model's level, lies below this gets advice.
SOUNDING_SECONDS, SILENT_DBFS = 0.25, -50.0
SILENT_SHOWN = 3


def new_seed() -> int:
    """A seed that is short enough to type again."""
    return secrets.randbelow(1_000_000)


def first_line(engine: Engine, streams: int, model: Model, seed: int) -> str:
    """What makes the audio."""
    return f"{engine.describe(streams)}, checkpoint of step {model.training.step}, seed {seed}"


@dataclass
class Clip:
    """What was made of a stream."""

    samples: int = 0
    # dBFS of its loudest 20 ms: in its file, and at the level that the model was trained at.
    loudest_db: float = -math.inf
    model_db: float = -math.inf

    def add(self, wav: Wav, rate: int, gain: float) -> None:
        """Count a block; `gain` takes it to the model's level."""
        self.samples += len(wav)
        loudest_db = levels.measure([wav], rate, trim_db=0).loudest_db
        self.loudest_db = max(self.loudest_db, loudest_db)
        self.model_db = max(self.model_db, loudest_db + 20 * math.log10(gain))

    def is_silent(self, rate: int) -> bool:
        """Whether it is near silence, and long enough for more."""
        return self.samples >= SOUNDING_SECONDS * rate and self.model_db < SILENT_DBFS


@dataclass(frozen=True)
class Stream:
    """What is to be made of one stream: how long, into which file, with which tags.

    `text` goes behind its length in the line about it, `facts` into JSON. `may_be_silent` says that
    silence is no surprise.
    """

    samples: int
    path: Path
    tags: Mapping[str, str]
    text: str
    facts: Mapping[str, Any]
    may_be_silent: bool = False


def make(
    batches: Iterable[tuple[Sequence[int], Sampler]],
    streams: Sequence[Stream],
    destination: Destination,
    lines: Iterable[str],
    about: Mapping[str, Any],
    lead: AudioFile | None = None,
    remedy: str = "",
) -> None:
    """Say the `lines`, generate as `write_streams` does, and report what was made.

    `about` is for JSON, with `origin`; `remedy` is advice against silence. Raises WavenetError, and
    typer.Exit after Ctrl-C.
    """
    destination.make_folders([stream.path for stream in streams])
    rate = about["sample_rate"]
    with unread_is_fine():
        for line in lines:
            terminal.status(line)
        if destination.raw:
            terminal.status(destination.format_line(rate))
    clips, interrupted = write_streams(batches, streams, destination, rate, lead)
    report(streams, clips, destination, about, interrupted)
    for line in silence_lines(streams, clips, destination, rate, remedy):
        terminal.warn(line)
    if interrupted:
        raise typer.Exit(130)


def write_streams(
    batches: Iterable[tuple[Sequence[int], Sampler]],
    streams: Sequence[Stream],
    destination: Destination,
    rate: int,
    lead: AudioFile | None = None,
) -> tuple[list[Clip], bool]:
    """Generate batch by batch, each stream to its place, under a progress bar with the speed.

    A batch is the numbers of its streams and their sampler. `lead` is a recording to put in front
    of each stream. Returns what was made of each, and whether Ctrl-C ended it: where there are no
    samples there is no file. Raises AudioError.
    """
    interrupts.raise_exceptions()
    clips = [Clip() for _ in streams]
    started = time.monotonic()
    total = sum(stream.samples for stream in streams)
    with bar(total, counted=False) as progress:
        try:
            for batch, sampler in batches:
                with _places(streams, destination, rate, lead) as write:
                    lengths = [streams[i].samples for i in batch]
                    for blocks in sampler.variable_length_blocks(lengths):
                        for stream, wav in blocks:
                            write(batch[stream], wav)
                            clips[batch[stream]].add(wav, rate, sampler.streams[stream].gain)
                        speed = sum(clip.samples for clip in clips) / (time.monotonic() - started)
                        status = f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time"
                        progress.set_postfix_str(status, refresh=False)
                        progress.update(sum(len(wav) for _, wav in blocks))
        except KeyboardInterrupt:
            return clips, True
    return clips, False


@contextmanager
def _places(
    streams: Sequence[Stream], destination: Destination, rate: int, lead: AudioFile | None
) -> Iterator[Callable[[int, Wav], None]]:
    """Inside, the function that this yields adds a block to the stream of a number.

    A file begins with the first block for it, after the `lead`.
    """
    sinks: dict[int, Sink] = {}
    begun: set[int] = set()
    try:
        with ExitStack() as opened:

            def write(i: int, wav: Wav) -> None:
                if i not in sinks:
                    place = destination.open(streams[i].path, rate, streams[i].tags)
                    sinks[i] = opened.enter_context(place)
                    for block in lead.blocks() if lead else ():
                        sinks[i].write(block)
                sinks[i].write(wav)
                begun.add(i)

            yield write
    finally:
        # Of these there is no more than the lead.
        for i in sinks.keys() - begun if destination.to_files else ():
            streams[i].path.unlink(missing_ok=True)


def report(
    streams: Sequence[Stream],
    clips: Sequence[Clip],
    destination: Destination,
    about: Mapping[str, Any],
    interrupted: bool,
) -> None:
    """Print a line for each clip, or all of them as JSON under what they are `about`."""
    rate = about["sample_rate"]
    made = [(s, clip) for s, clip in zip(streams, clips, strict=True) if clip.samples]
    if destination.as_json:
        rows = [
            {
                "file": str(stream.path) if destination.to_files else None,
                "seconds": clip.samples / rate,
                "samples": clip.samples,
                **stream.facts,
                "loudest_dbfs": clip.loudest_db,
            }
            for stream, clip in made
        ]
        whole = {**about, "interrupted": interrupted, "clips": rows}
        print_json(whole)
    say = terminal.status if destination.takes_stdout else terminal.result
    with unread_is_fine():
        for stream, clip in made:
            say(f"{destination.shown(stream.path)}  {clip.samples / rate:.2f} s{stream.text}")
        if interrupted:
            terminal.status(INTERRUPTED)


def origin(name: str, model: Model, engine: Engine, seed: int) -> dict[str, Any]:
    """What makes the audio, for JSON."""
    return {
        "version": __version__,
        "model": name,
        "step": model.training.step,
        "seed": seed,
        "engine": engine.name,
        "sample_rate": model.config.audio.sample_rate,
    }


def silence_lines(
    streams: Sequence[Stream],
    clips: Sequence[Clip],
    destination: Destination,
    rate: int,
    remedy: str,
) -> Iterator[str]:
    """Which clips are near silence, and what to try: `remedy` first."""
    pairs = zip(streams, clips, strict=True)
    silent = [(s, clip) for s, clip in pairs if clip.is_silent(rate) and not s.may_be_silent]
    for stream, clip in silent[:SILENT_SHOWN]:
        level = f"its loudest 20 ms are at {clip.loudest_db:.0f} dBFS"
        yield f"{destination.shown(stream.path)} came out near silence: {level}"
    if more := len(silent[SILENT_SHOWN:]):
        yield f"and so did {more} more"
    if silent:
        yield f"try {remedy}another --seed, --temperature 1.05, or more training"
