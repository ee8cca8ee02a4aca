"""What `wavenet generate` and `wavenet vocode` share: streams written as they are generated.

So Ctrl-C and a full disk leave what there is.
"""

import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from soundfile import SoundFile

from wavenet.audio import levels, writing
from wavenet.audio.reading import AudioFile
from wavenet.engines import Engine
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Wav
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.progress import bar

INTERRUPTED = "interrupted: what was made until then is kept"
# A clip of this length whose loudest moment, at the model's level, lies below this gets advice.
SOUNDING_SECONDS, SILENT_DBFS = 0.25, -50.0
SILENT_SHOWN = 3


def chosen_or_new(seed: int | None) -> int:
    """The seed that the user gave, or a new one, short enough to type again."""
    return secrets.randbelow(1_000_000) if seed is None else seed


def first_line(engine: Engine, streams: int, model: Checkpoint, seed: int) -> str:
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


def write_streams(
    batches: Iterable[tuple[Sequence[int], Sampler]],
    lengths: Sequence[int],
    paths: Sequence[Path],
    tags: Sequence[Mapping[str, str]],
    rate: int,
    lead: AudioFile | None = None,
) -> list[Clip]:
    """Generate batch by batch, each stream into its file, under a progress bar with the speed.

    A batch is the numbers of its streams and their sampler. `tags` are those of each file. `lead`
    is a recording to put in front of each stream. Returns what was made of each: fewer samples than
    `lengths` after Ctrl-C, and no file where there are none. Raises AudioError.
    """
    clips = [Clip() for _ in lengths]
    started = time.monotonic()
    with bar(sum(lengths), counted=False) as progress, suppress(KeyboardInterrupt):
        for batch, sampler in batches:
            with _files(paths, tags, rate, lead) as write:
                for blocks in sampler.variable_length_blocks([lengths[i] for i in batch]):
                    for stream, wav in blocks:
                        write(batch[stream], wav)
                        clips[batch[stream]].add(wav, rate, sampler.streams[stream].gain)
                    speed = sum(clip.samples for clip in clips) / (time.monotonic() - started)
                    status = f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time"
                    progress.set_postfix_str(status, refresh=False)
                    progress.update(sum(len(wav) for _, wav in blocks))
    return clips


@contextmanager
def _files(
    paths: Sequence[Path], tags: Sequence[Mapping[str, str]], rate: int, lead: AudioFile | None
) -> Iterator[Callable[[int, Wav], None]]:
    """Inside, the function that this yields adds a block to the file of a number.

    A file begins with the first block for it, after the `lead`.
    """
    files: dict[int, SoundFile] = {}
    begun: set[int] = set()
    try:
        with ExitStack() as open_files:

            def write(i: int, wav: Wav) -> None:
                if i not in files:
                    files[i] = open_files.enter_context(writing.writer(paths[i], rate, tags[i]))
                    for block in lead.blocks() if lead else ():
                        files[i].write(block)
                files[i].write(wav)
                begun.add(i)

            yield write
    finally:
        # Of these there is no more than the lead.
        for i in files.keys() - begun:
            paths[i].unlink(missing_ok=True)


def silence_lines(
    paths: Sequence[Path], clips: Sequence[Clip], rate: int, remedy: str = ""
) -> Iterator[str]:
    """Which clips are near silence, and what to try: `remedy` first."""
    silent = [(path, clip) for path, clip in zip(paths, clips, strict=True) if clip.is_silent(rate)]
    for path, clip in silent[:SILENT_SHOWN]:
        level = f"its loudest 20 ms are at {clip.loudest_db:.0f} dBFS"
        yield f"{path} came out near silence: {level}"
    if more := len(silent[SILENT_SHOWN:]):
        yield f"and so did {more} more"
    if silent:
        yield f"try {remedy}another --seed, --temperature 1.05, or more training"
