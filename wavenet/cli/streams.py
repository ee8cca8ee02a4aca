"""What `wavenet generate` and `wavenet vocode` share: streams written as they are generated.

So Ctrl-C and a full disk leave what there is.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from wavenet.audio import reading, writing
from wavenet.engines import Engine
from wavenet.generation.sampler import Sampler
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

INTERRUPTED = "interrupted: what was made until then is kept"


def chosen_or_new(seed: int | None) -> int:
    """The seed that the user gave, or a new one, short enough to type again."""
    return secrets.randbelow(1_000_000) if seed is None else seed


def first_line(engine: Engine, streams: int, model: Checkpoint, seed: int) -> str:
    """What makes the audio."""
    return f"{engine.describe(streams)}, checkpoint of step {model.training.step}, seed {seed}"


def write_streams(
    batches: Iterable[tuple[Sequence[int], Sampler]],
    lengths: Sequence[int],
    paths: Sequence[Path],
    tags: Sequence[Mapping[str, str]],
    rate: int,
    lead: Path | None = None,
) -> list[int]:
    """Generate batch by batch, each stream into its file, under a progress bar with the speed.

    A batch is the numbers of its streams and their sampler. `tags` are those of each file. `lead`
    is a recording to put in front of each stream. Returns the samples made of each: fewer than
    `lengths` after Ctrl-C. Raises AudioError.
    """
    made = [0] * len(lengths)
    started = time.monotonic()
    with bar(sum(lengths), layout=LAYOUT_WITHOUT_COUNT) as progress, suppress(KeyboardInterrupt):
        for batch, sampler in batches:
            with ExitStack() as open_files:
                files = [
                    open_files.enter_context(writing.writer(paths[i], rate, tags[i])) for i in batch
                ]
                if lead is not None:
                    for block in reading.read_blocks(lead, rate):
                        for file in files:
                            file.write(block)
                for blocks in sampler.variable_length_blocks([lengths[i] for i in batch]):
                    for stream, wav in blocks:
                        files[stream].write(wav)
                        made[batch[stream]] += len(wav)
                    speed = sum(made) / (time.monotonic() - started)
                    status = f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time"
                    progress.set_postfix_str(status, refresh=False)
                    progress.update(sum(len(wav) for _, wav in blocks))
    return made
