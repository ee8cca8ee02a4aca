"""Recordings read, measured and turned into 16-bit samples by several threads.

The order of the results does not depend on the threads. libsndfile, soxr and NumPy release the
interpreter's lock, so threads are enough, and cost nothing to start. A short recording is decoded
once and its samples are handed on; a long one is read a second time to be written, so that no more
than a block of it is in memory.
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

from wavenet.audio import levels, reading
from wavenet.config import AudioConfig
from wavenet.errors import AudioError
from wavenet.glossary import Wav
from wavenet.system.machine import cores

# Audio that libsndfile cannot read. Such files are listed as skipped rather than ignored.
UNREADABLE = ".m4a .mp4 .aac .wma .webm .amr .ape .wv .mka"
CHANGED = "changed while it was read; train again when it is finished"
# A recording up to this long is decoded once: half a minute at 16 kHz, one megabyte.
SHORT_SAMPLES = 1 << 19
AHEAD = 8  # recordings per thread in progress at once
MOST_THREADS = 32
Item = TypeVar("Item")
Probed = TypeVar("Probed")
Allocated = TypeVar("Allocated")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Probe:
    """What one file holds.

    With `samples` 0 there is nothing to write: either the content is known already, or `entry` says
    why the file is skipped.
    """

    sha256: str
    entry: dict[str, Any] = field(default_factory=dict)  # for the index
    # Otherwise the file is probed again next time, when it may be readable.
    cacheable: bool = True
    path: Path = Path()
    samples: int = 0
    # Offset of the samples in the recording, at the cache's sample rate.
    start: int = 0
    gain: float = 1.0
    # The samples of a short recording, as little-endian int16.
    pcm: bytes | None = None


class Workers:
    """Threads that decode recordings into one format.

    As a context manager, it stops them at the next block when it is left early.
    """

    def __init__(self, settings: AudioConfig, trim: bool, threads: int | None) -> None:
        self._settings = settings
        self._trim = trim
        self._threads = threads or min(cores(), MOST_THREADS)
        # Writers have a pool of their own: in one pool they would wait behind all probes.
        self._probers = ThreadPoolExecutor(self._threads, thread_name_prefix="decoding")
        self._writers = ThreadPoolExecutor(self._threads, thread_name_prefix="decoding")
        self._stop = threading.Event()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for pool in (self._probers, self._writers):
            pool.shutdown(cancel_futures=True)

    def in_order(
        self,
        items: Iterable[Item],
        probe: Callable[[Item], Probed],
        allocate: Callable[[Probed], Allocated],
        write: Callable[[Allocated], Result],
    ) -> Iterator[Result]:
        """`write(allocate(probe(item)))` of each item, in the order of the items.

        A few items are in progress at once. Threads probe and write; `allocate` is called in the
        caller's thread, in order too. Raises what these raise.
        """
        rest = iter(items)
        probes: deque[Future[Probed]] = deque()
        writes: deque[Future[Result]] = deque()
        while True:
            free = AHEAD * self._threads - len(probes) - len(writes)
            probes.extend(self._probers.submit(probe, item) for item in islice(rest, free))
            if writes and writes[0].done():
                yield writes.popleft().result()
            elif probes and probes[0].done():
                allocated = allocate(probes.popleft().result())
                writes.append(self._writers.submit(write, allocated))
            elif probes or writes:
                heads: list[Future[Any]] = [*islice(probes, 1), *islice(writes, 1)]
                wait(heads, return_when=FIRST_COMPLETED)
            else:
                return

    def probe(self, path: Path, known: Container[str]) -> Probe:
        """Read and measure a file, unless its content's SHA-256 is among the `known` ones."""
        sha256 = ""
        try:
            with open(path, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return Probe(sha256) if sha256 in known else self._measure(path, sha256)
        except OSError as e:
            return Probe("", {"skip": f"cannot be read ({e.strerror})"}, cacheable=False)
        except AudioError as e:
            reason = str(e).removeprefix(str(AudioError(f"{path}: ")))
            if path.suffix.lower() in UNREADABLE.split():
                reason += "; convert it to wav or flac"
            # Another version of libsndfile may be able to read it.
            return Probe(sha256, {"skip": reason}, cacheable=False)

    def write(self, pcm: Path, probe: Probe, offset: int) -> bool:
        """Write a recording's samples into the file, `offset` samples from its start.

        Returns False when the recording has become shorter since it was probed. Raises OSError when
        the disk refuses.
        """
        with open(pcm, "r+b") as file:
            file.seek(2 * offset)
            if probe.pcm is not None:
                return file.write(probe.pcm) == 2 * probe.samples
            written = 0
            stop = probe.start + probe.samples
            try:
                for block in _cut(self._blocks(probe.path), probe.start, stop):
                    written += file.write(_as_pcm(block, probe.gain))
            except AudioError:
                return False
            return written == 2 * probe.samples

    def _measure(self, path: Path, sha256: str) -> Probe:
        """Level, extent and, of a short recording, samples of a file that is not known yet."""
        settings, rate = self._settings, self._settings.sample_rate
        blocks = self._blocks(path)
        first_blocks: list[Wav] = []
        length = 0
        for block in blocks:
            first_blocks.append(block)
            length += len(block)
            if length > SHORT_SAMPLES:
                break
        level = levels.measure(chain(first_blocks, blocks), rate, settings.trim_db)
        if reason := unusable(level, settings):
            return Probe(sha256, {"skip": reason})
        start, stop = (level.start, level.stop) if self._trim else (0, level.samples)
        gain = levels.gain_for(level.peak, settings.level, settings.peak_db)
        entry = {
            "gain_db": round(20 * float(np.log10(gain)), 2),
            "loudest_db": round(level.loudest_db, 1),
            "trimmed_seconds": round((level.samples - stop + start) / rate, 3),
        }
        is_short = length == level.samples
        pcm = _as_pcm(np.concatenate(first_blocks)[start:stop], gain) if is_short else None
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
    if not level.finite:
        return "holds NaN or infinite samples"
    if not level.samples:
        return "empty: holds no samples"
    seconds = level.samples / settings.sample_rate
    if level.samples < settings.min_seconds * settings.sample_rate:
        return f"too short: {seconds:.3f} s, below audio.min_seconds = {settings.min_seconds:g}"
    if level.silent and not level.peak:
        return "silent: nothing but zeros"
    if level.silent:
        return f"silent: its loudest 20 ms are at {level.loudest_db:.0f} dBFS"
    return ""


def _as_pcm(wav: Wav, gain: float) -> bytes:
    return bytes(np.clip(np.rint(wav * (gain * 32768)), -32768, 32767).astype("<i2"))


def _cut(blocks: Iterator[Wav], start: int, stop: int) -> Iterator[Wav]:
    """The samples from start to stop of a stream of blocks."""
    offset = 0
    for block in blocks:
        yield block[max(0, start - offset) : max(0, stop - offset)]
        offset += len(block)
