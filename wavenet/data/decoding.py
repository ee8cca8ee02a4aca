"""Recordings read, measured and written as 16-bit samples by several threads.

libsndfile, soxr and NumPy release the interpreter's lock, so threads are enough, and cost nothing
to start. A short recording is decoded once; a long one is read a second time to be written, so that
no more than a block of it is in memory.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from wavenet.audio import levels, reading, reading_1
from wavenet.audio.quantization import to_pcm16
from wavenet.config import AudioConfig
from wavenet.data.discovery import File
from wavenet.errors import AudioError
from wavenet.glossary import Wav
from wavenet.system.machine import cores

# The rules by which recordings are read and levelled. Whoever changes what lands in pcm.bin raises
# it, and keeps the earlier rules for the runs that began with them: 1 has those of `reading_1`.
VERSION = 2

CHANGED = "changed while it was read; train again when it is finished"
# A recording up to this long is decoded once: half a minute at 16 kHz, one megabyte.
SHORT_SAMPLES = 1 << 19
AHEAD = 8  # recordings per thread, decoded or waiting for it
MOST_THREADS = 32
# Freed memory that each thread keeps for its next recording.
KEPT_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Recording:
    """One file, in the state that it was read in, and what it holds."""

    name: str  # relative to the folder, slashes forward
    size: int  # bytes
    mtime_ns: int
    sha256: str = ""
    # Where its samples lie in pcm.bin. There are none where `skip` says why.
    offset: int = 0
    samples: int = 0
    gain_db: float = 0.0
    loudest_db: float = 0.0  # dBFS, loudest 20 ms as recorded
    trimmed_seconds: float = 0.0
    # As recorded: Hz, and the number of channels. 0 where nothing was decoded, or by version 1.
    rate: int = 0
    channels: int = 0
    # What was other than it should be, and what was done about it.
    note: str = ""
    # Why nothing of it is used.
    skip: str = ""
    # Whether to read the file again next time, when it may be readable.
    retry: bool = False
    # The first file that holds the same.
    duplicate_of: str | None = None

    @property
    def is_copy(self) -> bool:
        """Whether another file that holds the same says what it holds."""
        return not (self.samples or self.skip)


class Decoder:
    """Threads that decode recordings into one format, and write them to one file.

    `close` stops them at the next block.
    """

    def __init__(
        self,
        settings: AudioConfig,
        trim: bool,
        pcm: Path,
        end: int,
        known: Iterable[str],
        threads: int | None,
        version: int = VERSION,
    ) -> None:
        """Samples are written to `pcm` behind its first `end`. `known` are contents' SHA-256."""
        self._settings, self._trim, self._version = settings, trim, version
        self._pcm, self._end = pcm, end
        self._threads = threads or min(cores(), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decoding")
        # Once a block of this size has been freed, glibc keeps as much of what is freed later.
        # Else each recording's pages go back to the system and are asked for again, which took up
        # to a third of the time.
        np.empty(KEPT_BYTES, np.uint8)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        # The file that each content is decoded from; "" for those that are known already.
        self._sources = dict.fromkeys(known, "")

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def decode(self, files: Iterable[File]) -> Iterator[Recording]:
        """What each file holds, in the order in which they are ready.

        Of a copy, whose content is known or decoded from another file, only the SHA-256 is told.
        Raises OSError when the disk refuses.
        """
        rest = iter(files)
        pending: set[Future[Recording]] = set()
        while True:
            free = AHEAD * self._threads - len(pending)
            pending |= {self._pool.submit(self._decode, file) for file in islice(rest, free)}
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            # What failed comes last, so that nothing that is finished is lost.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()

    def _decode(self, file: File) -> Recording:
        path, recording = Path(file.path), Recording(file.name, file.size, file.mtime_ns)
        try:
            with open(path, "rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as e:
            return replace(recording, skip=f"cannot be read ({e.strerror})", retry=True)
        recording = replace(recording, sha256=sha256)
        with self._lock:
            source = self._sources.setdefault(sha256, file.name)
        if source != file.name:
            return recording
        try:
            return self._measure_and_write(path, recording)
        except AudioError as e:
            # Another version of libsndfile may be able to read it.
            return replace(recording, skip=e.reason, retry=True)

    def _measure_and_write(self, path: Path, recording: Recording) -> Recording:
        settings, rate = self._settings, self._settings.sample_rate
        file = _File1(path, rate) if self._version == 1 else self._file(path)
        first_blocks: list[Wav] = []
        while True:
            first_blocks.clear()
            blocks, length = self._until_stopped(file.blocks()), 0
            while length <= SHORT_SAMPLES and (block := next(blocks, None)) is not None:
                first_blocks.append(block)
                length += len(block)
            level = levels.measure(chain(first_blocks, blocks), rate, settings.trim_db)
            if not file.refine(level):
                break
        source_rate, channels = file.format
        recording = replace(
            recording, rate=source_rate, channels=channels, note="; ".join(file.notes)
        )
        if reason := unusable(level, settings):
            return replace(recording, skip=reason)
        start, stop = (level.start, level.stop) if self._trim else (0, level.samples)
        gain = levels.gain_for(level.peak, settings.level, settings.peak_db)
        is_short = length == level.samples
        again = iter(first_blocks) if is_short else self._until_stopped(file.blocks())
        with self._lock:
            offset = self._end
            self._end += stop - start
        if not self._write(_cut(again, start, stop), gain, offset, stop - start):
            return replace(recording, skip=CHANGED, retry=True)
        return replace(
            recording,
            offset=offset,
            samples=stop - start,
            gain_db=round(20 * float(np.log10(gain)), 2),
            loudest_db=round(level.loudest_db, 1),
            trimmed_seconds=round((level.samples - stop + start) / rate, 3),
        )

    def _file(self, path: Path) -> reading.AudioFile:
        settings = self._settings
        return reading.AudioFile(path, settings.sample_rate, to_peak=settings.level == "peak")

    def _write(self, blocks: Iterator[Wav], gain: float, offset: int, samples: int) -> bool:
        """Write a recording into the file, `offset` samples from its start.

        Returns False when the recording has become shorter since it was measured.
        """
        with open(self._pcm, "r+b") as file:
            file.seek(2 * offset)
            try:
                written = sum(file.write(to_pcm16(b, gain).astype("<i2").data) for b in blocks)
            except AudioError:
                return False
        return written == 2 * samples

    def _until_stopped(self, blocks: Iterator[Wav]) -> Iterator[Wav]:
        for block in blocks:
            if self._stop.is_set():
                raise CancelledError
            yield block


class _File1:
    """A recording as version 1 read it: nothing was noted of it, nor repaired."""

    format = 0, 0
    notes: Sequence[str] = ()

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._path, self._sample_rate = path, sample_rate

    def blocks(self) -> Iterator[Wav]:
        return reading_1.read_blocks(self._path, self._sample_rate)

    def refine(self, level: levels.Level) -> bool:
        return False


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


def _cut(blocks: Iterable[Wav], start: int, stop: int) -> Iterator[Wav]:
    """The samples from start to stop of a stream of blocks."""
    offset = 0
    for block in blocks:
        yield block[max(0, start - offset) : max(0, stop - offset)]
        offset += len(block)
