"""Recordings read, measured and turned into 16-bit samples by several threads, in an order that does not depend on them.

libsndfile, soxr and NumPy work outside the interpreter's lock, so threads are enough, and cost nothing to start. A short recording is
decoded once and its samples are handed on; a long one is read a second time to be written, so that no more than a block is in memory.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wavenet.arrays import Wav
from wavenet.audio import levels, reading
from wavenet.config import AudioConfig
from wavenet.errors import AudioError
from wavenet.system.machine import cores

UNREADABLE = ".m4a .mp4 .aac .wma .webm .amr .ape .wv .mka"  # audio that libsndfile cannot read is named as skipped, not ignored
CHANGED = "changed while it was read; train again when it is finished"
SHORT_SAMPLES = (
    1 << 19
)  # a recording up to this long is decoded once: half a minute at 16 kHz, one megabyte
AHEAD = 8  # recordings per thread that are under way at once
MOST_THREADS = 32
Item = TypeVar("Item")
Probed = TypeVar("Probed")
Allocated = TypeVar("Allocated")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Probe:
    """What one file holds. With `samples` 0 there is nothing to write: its content is known, or `entry` says why it is skipped."""

    sha256: str
    entry: dict[str, Any] = field(default_factory=dict)  # for the index
    cacheable: bool = True  # else it is looked at again next time, when it may be readable
    path: Path = Path()
    samples: int = 0
    start: int = 0  # of the samples in the recording, at the cache's rate
    gain: float = 1.0
    pcm: bytes | None = None  # the samples, little-endian int16, of a short recording


class Workers:
    """Threads that decode recordings into one format. To be entered; left early, they stop at the next block."""

    def __init__(self, settings: AudioConfig, trim: bool, threads: int | None) -> None:
        self._settings = settings
        self._trim = trim
        self._threads = threads or min(cores(), MOST_THREADS)
        self._lookers = ThreadPoolExecutor(self._threads, thread_name_prefix="decoding")
        self._writers = ThreadPoolExecutor(
            self._threads, thread_name_prefix="decoding"
        )  # else they would wait behind all looks
        self._stop = threading.Event()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for pool in (self._lookers, self._writers):
            pool.shutdown(cancel_futures=True)

    def in_order(
        self,
        items: Iterable[Item],
        look: Callable[[Item], Probed],
        place: Callable[[Probed], Allocated],
        write: Callable[[Allocated], Result],
    ) -> Iterator[Result]:
        """`write(place(look(item)))` of each item, in the order of the items, with a few under way at once. Raises what these raise.

        Threads look and write; `place` is called here, in order too.
        """
        rest, looks, writes = iter(items), deque[Future[Probed]](), deque[Future[Result]]()
        while True:
            free = AHEAD * self._threads - len(looks) - len(writes)
            looks.extend(self._lookers.submit(look, item) for item in islice(rest, free))
            if writes and writes[0].done():
                yield writes.popleft().result()
            elif looks and looks[0].done():
                writes.append(self._writers.submit(write, place(looks.popleft().result())))
            elif looks or writes:
                heads: list[Future[Any]] = [*islice(looks, 1), *islice(writes, 1)]
                wait(heads, return_when=FIRST_COMPLETED)
            else:
                return

    def probe(self, path: Path, known: Container[str]) -> Probe:
        """Read and measure a file, unless its content is known already."""
        sha256 = ""
        try:
            with open(path, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return Probe(sha256) if sha256 in known else self._measured(path, sha256)
        except OSError as e:
            return Probe("", {"skip": f"cannot be read ({e.strerror})"}, cacheable=False)
        except AudioError as e:  # another version of libsndfile may read it
            advice = (
                "; convert it to wav or flac" if path.suffix.lower() in UNREADABLE.split() else ""
            )
            return Probe(
                sha256,
                {"skip": str(e).removeprefix(str(AudioError(f"{path}: "))) + advice},
                cacheable=False,
            )

    def write(self, pcm: Path, look: Probe, offset: int) -> bool:
        """Write a recording's samples into the file, `offset` samples from its start. False when it has become shorter meanwhile.

        Raises OSError when the disk refuses.
        """
        with open(pcm, "r+b") as file:
            file.seek(2 * offset)
            if look.pcm is not None:
                return file.write(look.pcm) == 2 * look.samples
            written = 0
            try:
                for block in _cut(self._blocks(look.path), look.start, look.start + look.samples):
                    written += file.write(_as_pcm(block, look.gain))
            except AudioError:
                return False
            return written == 2 * look.samples

    def _measured(self, path: Path, sha256: str) -> Probe:
        rate, s = self._settings.sample_rate, self._settings
        blocks = self._blocks(path)
        first, length = [], 0
        for block in blocks:
            first.append(block)
            length += len(block)
            if length > SHORT_SAMPLES:
                break
        level = levels.measure(chain(first, blocks), rate, s.trim_db)
        if reason := unusable(level, s):
            return Probe(sha256, {"skip": reason})
        start, stop = (level.start, level.stop) if self._trim else (0, level.samples)
        gain = levels.gain_for(level.peak, s.level, s.peak_db)
        entry = {
            "gain_db": round(20 * float(np.log10(gain)), 2),
            "loudest_db": round(level.loudest_db, 1),
            "trimmed_seconds": round((level.samples - stop + start) / rate, 3),
        }
        short = length == level.samples
        pcm = _as_pcm(np.concatenate(first)[start:stop], gain) if short else None
        return Probe(
            sha256, entry, path=path, samples=stop - start, start=start, gain=gain, pcm=pcm
        )

    def _blocks(self, path: Path) -> Iterator[Wav]:
        for block in reading.read_blocks(path, self._settings.sample_rate):
            if self._stop.is_set():
                raise CancelledError
            yield block


def unusable(level: levels.Level, settings: AudioConfig) -> str:
    """Why nothing can be learnt from a recording; "" when something can."""
    rate = settings.sample_rate
    if not level.finite:
        return "holds NaN or infinite samples"
    if not level.samples:
        return "empty: holds no samples"
    if level.samples < settings.min_seconds * rate:
        return f"too short: {level.samples / rate:.3f} s, below audio.min_seconds = {settings.min_seconds:g}"
    if level.silent:
        return (
            f"silent: its loudest 20 ms are at {level.loudest_db:.0f} dBFS"
            if level.peak
            else "silent: nothing but zeros"
        )
    return ""


def _as_pcm(wav: Wav, gain: float) -> bytes:
    return bytes(np.clip(np.rint(wav * (gain * 32768)), -32768, 32767).astype("<i2"))


def _cut(blocks: Iterator[Wav], start: int, stop: int) -> Iterator[Wav]:
    """The samples from start to stop of a stream of blocks."""
    at = 0
    for block in blocks:
        yield block[max(0, start - at) : max(0, stop - at)]
        at += len(block)
