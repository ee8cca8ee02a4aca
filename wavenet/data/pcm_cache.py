"""A folder of recordings, decoded once into one file of 16-bit samples and an index.

Layout of a cache folder: `pcm.bin` holds little-endian int16, recordings end to end. `index.jsonl`
has one line per file that says where its samples lie; the line is appended once the samples are
safely on the disk, so that a crash loses at most the last seconds' work. Later lines replace
earlier ones of the same name. `about.json` is for people and for `wavenet cache`. A recording is
decoded again only when its content changes. Whatever is chosen of a folder shares its cache, so
that a choice with one recording more decodes that one.

Several threads write, each behind what the others have claimed, so the order of the recordings in
`pcm.bin` is left to chance. Nothing else depends on the threads.

One file for each recording, written whole and named after its content, was tried instead (AMD EPYC,
2 cores, busy). Indexing 4,000 files of 9 s took 15.3 to 17.7 s of CPU against 14.2 to 16.4 s, and
1.3 times as long by the clock; with 40,000 and no file flushed to the disk it took as long. Batches
took 1.1 ms against 0.8 to 1.0 ms. And files that a run may still read could not be deleted.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from wavenet.config import AudioConfig
from wavenet.data.cache_folders import busy, cache_folder, describe
from wavenet.data.decoding import VERSION, Decoder, Recording
from wavenet.data.discovery import File, Skipped, audio_files
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError
from wavenet.glossary import Pcm
from wavenet.system.text import counted

# How much decoding a crash may undo, in seconds.
COMMIT_SECONDS = 2.0
# A cache is made anew when its replaced samples take up this much more than those in use.
SPARE_BYTES = 1 << 24


@dataclass(frozen=True)
class Index:
    """A folder's recordings, or those chosen of it, decoded."""

    selection: Selection
    cache: Path
    sample_rate: int  # Hz
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    ignored: int = 0  # files not audio by name, or hidden
    decoded: int = 0  # files decoded by this call
    version: int = VERSION  # of decoding

    @property
    def folder(self) -> Path:
        """The folder that the recordings' names are relative to."""
        return self.selection.folder

    def pcm(self, recording: Recording) -> Pcm:
        """A recording's samples, read from the disk where they are used."""
        return self._pcm[recording.offset : recording.offset + recording.samples]

    @cached_property
    def _pcm(self) -> Pcm:
        return np.memmap(self.cache / "pcm.bin", dtype="<i2", mode="r")

    @property
    def seconds(self) -> float:
        return sum(r.samples for r in self.recordings) / self.sample_rate


def index_folder(
    folder: Path | Sequence[Path] | Selection,
    settings: AudioConfig,
    *,
    trim: bool,
    cache: Path | None = None,
    on_file: Callable[[int, int], object] = lambda done, total: None,
    threads: int | None = None,
    wait_seconds: float = 0,
    version: int = VERSION,
    on_wait: Callable[[str], object] = lambda text: None,
) -> Index:
    """Decode what is new in `folder`, or in several files and folders, and return where all lies.

    `on_file(done, total)` reports progress; the first report comes before anything is decoded.
    There are as many `threads` as cores by default. While another process indexes the same folder,
    this waits `wait_seconds`, or forever when it is below 0, and tells `on_wait` so in a line.
    `version` is that of decoding. Raises CorpusError when the wait is not enough, or when no file
    can be used.
    """
    selection = Selection.of(folder)
    selection.require()
    files, skipped, ignored = audio_files(selection)
    if not files:
        raise _nothing(selection, files, skipped, ignored)
    path = cache_folder(selection.folder, settings, trim, cache, version)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path, selection.folder, wait_seconds, on_wait):
            describe(path, selection, settings, trim, version)
            found, decoded = _update(path, settings, trim, files, on_file, threads, version)
            recordings = _usable(found)
    except Timeout:
        raise busy(selection.folder) from None
    except OSError as e:
        reason = f"the cache cannot be written ({e.strerror or e})"
        raise CorpusError(path, reason, "choose another place with `cache`") from None
    skipped += [Skipped(r.name, r.skip) for r in found if r.skip]
    if not recordings:
        raise _nothing(selection, files, skipped, ignored)
    rate = settings.sample_rate
    return Index(selection, path, rate, recordings, tuple(skipped), ignored, decoded, version)


def _nothing(
    selection: Selection, files: Sequence[File], skipped: Sequence[Skipped], ignored: int
) -> CorpusError:
    """The error for a selection of which no recording can be used."""
    if len(selection.paths) == 1 and skipped:
        return CorpusError(selection.subject, skipped[0].reason)
    holds, its = ("hold", "their") if selection.paths else ("holds", "its")
    first = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:1])
    if files:
        reason = f"none of {its} {len(skipped)} audio files can be used"
        return CorpusError(selection.subject, reason, first)
    others = f"{counted(ignored, 'other file')}{first and '; '}{first}"
    reason = f"{holds} no recordings ({others})"
    readable = "wav, flac, ogg, mp3, m4a and most other formats count"
    return CorpusError(selection.subject, reason, readable)


def _locked(
    cache: Path, folder: Path, wait_seconds: float, on_wait: Callable[[str], object]
) -> AbstractContextManager[object]:
    """The lock of a cache folder, held until the end of a `with` statement. Raises Timeout."""
    lock = FileLock(cache / "lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if not wait_seconds:
            raise
        on_wait(f"waiting for another process, which is reading the recordings of {folder}")
        return lock.acquire(timeout=wait_seconds)


def _update(
    cache: Path,
    settings: AudioConfig,
    trim: bool,
    files: list[File],
    on_file: Callable[[int, int], object],
    threads: int | None,
    version: int,
) -> tuple[list[Recording], int]:
    """Bring a cache folder up to date.

    Returns every file's recording, in the order of the files, and the number of files decoded.
    """
    known, end = _read_index(cache)
    by_content = {r.sha256: r for r in known.values()}
    states = {(r.name, r.size, r.mtime_ns) for r in known.values()}
    new = [f for f in files if (f.name, f.size, f.mtime_ns) not in states]
    # Files that hold what another one holds, while that one is being decoded.
    copies: list[Recording] = []
    decoded, done = 0, len(files) - len(new)
    if new:
        on_file(done, len(files))
    pcm_file = cache / "pcm.bin"
    with (
        open(pcm_file, "ab") as pcm,
        open(cache / "index.jsonl", "a", encoding="utf-8") as index,
        closing(_Journal(pcm, index)) as journal,
        closing(Decoder(settings, trim, pcm_file, end, by_content, threads, version)) as decoder,
    ):
        # A crash may have left half-written samples behind the end.
        pcm.truncate(2 * end)
        for r in chain(decoder.decode(new), copies):
            if r.is_copy:
                if r.sha256 not in by_content:
                    copies.append(r)
                    continue
                original = by_content[r.sha256]
                r = replace(original, name=r.name, size=r.size, mtime_ns=r.mtime_ns)
            else:
                decoded += bool(r.sha256)
                by_content[r.sha256] = r
            known[r.name] = r
            if not r.retry:
                journal.append(r)
            done += 1
            on_file(done, len(files))
    return [known[f.name] for f in files], decoded


class _Journal:
    """Appends lines to an index, for recordings whose samples are in the file `pcm` by then.

    They reach the disk after those samples: every few seconds, and when it is closed.
    """

    def __init__(self, pcm: IO[bytes], index: IO[str]) -> None:
        self._pcm, self._index = pcm, index
        self._pending: list[str] = []
        self._committed = time.monotonic()

    def append(self, recording: Recording) -> None:
        # Of what was decoded, the index says nothing more.
        empty = [k for k in ("skip", "retry", "duplicate_of", "note") if not getattr(recording, k)]
        line = {k: v for k, v in asdict(recording).items() if k not in empty}
        self._pending.append(json.dumps(line) + "\n")
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.close()

    def close(self) -> None:
        if self._pending:
            _to_disk(self._pcm)
            self._index.writelines(self._pending)
            _to_disk(self._index)
        self._pending.clear()
        self._committed = time.monotonic()


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_index(cache: Path) -> tuple[dict[str, Recording], int]:
    """Recordings by name, and where the samples of all of them end.

    Replaced ones count for the end, because a run may still be reading their samples. A last
    line cut short by a crash is dropped. An index that mostly points at replaced samples, or at
    lost ones, is dropped with its samples.
    """
    index, pcm = cache / "index.jsonl", cache / "pcm.bin"
    if not (index.exists() and pcm.exists()):
        index.unlink(missing_ok=True)
        return {}, 0
    recordings: dict[str, Recording] = {}
    complete_bytes = end = 0
    for line in index.read_bytes().splitlines(keepends=True):
        try:
            r = Recording(**json.loads(line))
        except (ValueError, TypeError):
            break
        recordings[r.name] = r
        end = max(end, r.offset + r.samples)
        complete_bytes += len(line)
    os.truncate(index, complete_bytes)
    # Duplicates share their samples, so each place counts once.
    places = {(r.offset, r.samples) for r in recordings.values()}
    size, used = pcm.stat().st_size, 2 * sum(samples for _, samples in places)
    is_mostly_replaced = size - used > used + SPARE_BYTES
    if 2 * end > size or is_mostly_replaced:
        index.unlink()
        pcm.unlink()
        return {}, 0
    return recordings, end


def _usable(found: list[Recording]) -> tuple[Recording, ...]:
    """The recordings that are not skipped, with duplicates marked."""
    usable = [r for r in found if not r.skip]
    first: dict[str, str] = {}
    originals = [first.setdefault(r.sha256, r.name) for r in usable]
    return tuple(
        r if original == r.name else replace(r, duplicate_of=original)
        for r, original in zip(usable, originals, strict=True)
    )
