"""A folder of recordings, decoded once into one file of 16-bit samples and an index.

Layout of a cache folder: `pcm.bin` holds little-endian int16, recordings end to end. `index.jsonl`
has one line per file that says where its samples lie; the line is appended once the samples are
safely on the disk, so that a crash loses at most the last seconds' work. Later lines replace
earlier ones of the same name. `about.json` is for people and for `wavenet cache`. A recording is
decoded again only when its content changes.

Threads probe and write recordings; this thread allocates their places in `pcm.bin` and appends to
the index, both in the order of the names. So the layout does not depend on the number of threads.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from wavenet.config import AudioConfig
from wavenet.data import decoding
from wavenet.data.cache_folders import VERSION, cache_folder
from wavenet.data.decoding import Probe, Workers
from wavenet.data.discovery import File, Skipped, audio_files
from wavenet.errors import CorpusError

# How much decoding a crash may undo, in seconds.
COMMIT_SECONDS = 2.0
# A cache is made anew when its replaced samples take up this much more than those in use.
SPARE_BYTES = 1 << 24
DETAILS = ("sha256", "offset", "samples", "gain_db", "loudest_db", "trimmed_seconds")


@dataclass(frozen=True)
class Recording:
    """One kept file. `offset` and `samples` locate it in pcm.bin."""

    name: str  # relative to the folder, slashes forward
    sha256: str
    offset: int
    samples: int
    gain_db: float
    loudest_db: float  # dBFS, loudest 20 ms as recorded
    trimmed_seconds: float
    duplicate_of: str | None = None


@dataclass(frozen=True)
class Index:
    """A folder's recordings, decoded."""

    folder: Path
    cache: Path
    sample_rate: int  # Hz
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    ignored: int = 0  # files not audio by name, or hidden
    decoded: int = 0  # files decoded by this call

    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """All recordings' samples as one memory map, int16 in -32768 ... 32767."""
        return np.memmap(self.cache / "pcm.bin", dtype="<i2", mode="r")

    @property
    def seconds(self) -> float:
        return sum(r.samples for r in self.recordings) / self.sample_rate


def index_folder(
    folder: Path,
    settings: AudioConfig,
    *,
    trim: bool,
    cache: Path | None = None,
    on_file: Callable[[int, int], None] | None = None,
    threads: int | None = None,
    wait_seconds: float = 0,
) -> Index:
    """Decode what is new in `folder` and return where everything lies.

    `on_file(done, total)` reports progress; the first report comes before anything is decoded.
    There are as many `threads` as cores by default, and the result does not depend on their number.
    While another process indexes the same folder, this waits `wait_seconds`, or forever when it is
    below 0. Raises CorpusError when that is not enough, or when no file can be used.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        problem = "is a file; give the folder it lies in" if folder.exists() else "no such folder"
        raise CorpusError(f"{folder}: {problem}")
    files, skipped, ignored = audio_files(folder)
    if not files:
        contents = f"{ignored} other files" + "".join(
            f"; {s.name}: {s.reason}" for s in skipped[:1]
        )
        raise CorpusError(
            f"{folder}: holds no recordings ({contents}); "
            "wav, flac, ogg, mp3 and what else libsndfile reads"
        )
    path = cache_folder(folder, settings, trim, cache)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / "lock", timeout=wait_seconds):
            entries, decoded = _update(path, Workers(settings, trim, threads), files, on_file)
            usable = sum("skip" not in entry for entry in entries.values())
            _describe(path, folder, settings, trim, usable)
    except Timeout:
        raise CorpusError(
            f"{folder}: another process is indexing it; wait for it to finish"
        ) from None
    except OSError as e:
        raise CorpusError(
            f"{path}: the cache cannot be written ({e.strerror or e}); "
            "choose another place with --cache"
        ) from None
    recordings, unusable = _recordings(entries)
    skipped += unusable
    if not recordings:
        raise CorpusError(
            f"{folder}: none of its {len(skipped)} audio files can be used; "
            f"{skipped[0].name}: {skipped[0].reason}"
        )
    return Index(
        folder, path, settings.sample_rate, tuple(recordings), tuple(skipped), ignored, decoded
    )


def _update(
    cache: Path, workers: Workers, files: list[File], on_file: Callable[[int, int], None] | None
) -> tuple[dict[str, dict[str, Any]], int]:
    """Bring a cache folder up to date.

    Returns an index entry per file, in the order of the files, and the number of files decoded.
    """
    known, end = _read_index(cache)
    by_content = {entry["sha256"]: entry for entry in known.values()}
    entries = {f.name: {"skip": f.problem} if f.problem else known.get(f.name, {}) for f in files}
    new = [f for f in files if not f.problem and not f.stamp.items() <= entries[f.name].items()]
    # Contents in progress; a duplicate is not written again.
    claimed: set[str] = set()
    decoded = 0

    def allocate(probed: tuple[File, Probe]) -> tuple[File, Probe, int | None]:
        """Add the offset in pcm.bin for the samples; None where there are none to write."""
        nonlocal end, decoded
        file, probe = probed
        is_first = probe.sha256 not in by_content and probe.sha256 not in claimed
        decoded += is_first and bool(probe.sha256)
        if probe.cacheable:
            claimed.add(probe.sha256)
        offset = end if is_first and probe.samples else None
        end += probe.samples if is_first else 0
        return file, probe, offset

    def write(allocated: tuple[File, Probe, int | None]) -> tuple[File, Probe, dict[str, Any]]:
        file, probe, offset = allocated
        if offset is None or not workers.write(cache / "pcm.bin", probe, offset):
            return file, probe, probe.entry
        return file, probe, {"offset": offset, "samples": probe.samples, **probe.entry}

    n_known = len(files) - len(new)
    if new and on_file:
        on_file(n_known, len(files))
    with _appending(cache, end) as append, workers:
        written = workers.in_order(
            new, lambda file: (file, workers.probe(Path(file.path), by_content)), allocate, write
        )
        for done, (file, probe, entry) in enumerate(written, n_known + 1):
            entry = by_content.get(probe.sha256, entry)
            if probe.samples and "offset" not in entry:
                # It changed meanwhile, or a duplicate did whose samples it would have shared.
                entry = {"skip": decoding.CHANGED}
            elif probe.cacheable:
                entry = {**entry, **file.stamp, "sha256": probe.sha256}
                by_content[probe.sha256] = entry
                append(entry)
            entries[file.name] = entry
            if on_file:
                on_file(done, len(files))
    return entries, decoded


def _describe(
    cache: Path, folder: Path, settings: AudioConfig, trim: bool, recordings: int
) -> None:
    about = {
        "folder": str(folder.resolve()),
        "recordings": recordings,
        "trim": trim,
        "version": VERSION,
        "audio": asdict(settings),
    }
    (cache / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


@contextmanager
def _appending(cache: Path, end: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that appends an entry, whose samples are written already, to the index.

    pcm.bin is cut to its first `end` samples. Entries reach the disk after the samples they point
    at, every few seconds and when the block is left, however that happens.
    """
    (cache / "pcm.bin").touch()
    pending: list[str] = []
    committed = time.monotonic()
    with (
        open(cache / "pcm.bin", "r+b") as pcm,
        open(cache / "index.jsonl", "a", encoding="utf-8") as index,
    ):
        # A crash may have left half-written samples behind the end.
        pcm.truncate(2 * end)

        def commit() -> None:
            nonlocal committed
            _to_disk(pcm)
            index.write("".join(pending))
            _to_disk(index)
            pending.clear()
            committed = time.monotonic()

        def append(entry: dict[str, Any]) -> None:
            pending.append(json.dumps(entry) + "\n")
            if time.monotonic() - committed > COMMIT_SECONDS:
                commit()

        try:
            yield append
        finally:
            if pending:
                commit()


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _recordings(entries: dict[str, dict[str, Any]]) -> tuple[list[Recording], list[Skipped]]:
    """The recordings, duplicates marked, and the files that entries say are skipped."""
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    originals: dict[str, str] = {}
    for name, entry in entries.items():
        if "skip" in entry:
            skipped.append(Skipped(name, entry["skip"]))
            continue
        original = originals.setdefault(entry["sha256"], name)
        details = {key: entry[key] for key in DETAILS}
        duplicate_of = None if original == name else original
        recordings.append(Recording(name, **details, duplicate_of=duplicate_of))
    return recordings, skipped


def _read_index(cache: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Entries by name, and where the samples of all entries end.

    Replaced entries count for the end, because a run may still be reading their samples. A last
    line cut short by a crash is dropped. An index that mostly points at replaced samples, or at
    lost ones, is dropped with its samples.
    """
    index, pcm = cache / "index.jsonl", cache / "pcm.bin"
    entries: dict[str, dict[str, Any]] = {}
    complete_bytes = end = 0
    if index.exists():
        for line in index.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                end = max(end, entry.get("offset", 0) + entry.get("samples", 0))
                entries[entry["name"]] = entry
            except (ValueError, KeyError, TypeError, AttributeError):
                break
            complete_bytes += len(line)
        os.truncate(index, complete_bytes)
    size = pcm.stat().st_size if pcm.exists() else 0
    # Duplicates share their samples, so each place counts once.
    places = {(e["offset"], e["samples"]) for e in entries.values() if "offset" in e}
    used = 2 * sum(samples for _, samples in places)
    is_lost = 2 * end > size
    is_mostly_replaced = size - used > used + SPARE_BYTES
    if is_lost or is_mostly_replaced:
        index.unlink(missing_ok=True)
        pcm.unlink(missing_ok=True)
        return {}, 0
    return entries, end
