"""A folder of recordings, decoded once: one file of 16-bit samples and an index that says which recording lies where.

Layout of a cache folder: `pcm.bin`, little-endian int16, recordings end to end; `index.jsonl`, one line per file, appended
once its samples are safely on the disk, so that a crash loses at most the last seconds' work; `about.json` for people.
Later lines replace earlier ones of the same name. Recordings are decoded again only when their content changes.

Threads read ahead and write, this one says where and notes what is done, both in the order of the names: what lies where does not
depend on how many threads there are.
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

COMMIT_SECONDS = 2.0  # of decoding that a crash may undo
SPARE_BYTES = (
    1 << 24
)  # of replaced samples, beside as many as are in use: above it, a cache is made anew


@dataclass(frozen=True)
class Recording:
    """One kept file. `offset` and `samples` locate it in pcm.bin."""

    name: str  # relative to the folder, with forward slashes
    sha256: str
    offset: int
    samples: int
    gain_db: float
    loudest_db: float  # dBFS of the loudest 20 ms as recorded
    trimmed_seconds: float
    duplicate_of: str | None = None


@dataclass(frozen=True)
class Index:
    """A folder's recordings, decoded."""

    folder: Path
    cache: Path
    sample_rate: int
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    ignored: int = 0  # files that are not audio by name, or hidden
    decoded: int = 0  # files decoded now rather than found in the cache

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
    """Decode what is new in `folder` and return where everything lies. `on_file(done, total)` reports progress.

    The first report comes before anything is decoded. As many `threads` decode as there are cores, by default; the result does not
    depend on it. While another process is indexing the same folder it waits `wait_seconds`, below 0 for ever. Raises CorpusError when
    that is not enough, or when there is nothing to learn from.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise CorpusError(
            f"{folder}: {'is a file; give the folder it lies in' if folder.exists() else 'no such folder'}"
        )
    files, closed, ignored = audio_files(folder)
    if not files:
        found = f"{ignored} other files" + "".join(f"; {s.name}: {s.reason}" for s in closed[:1])
        raise CorpusError(
            f"{folder}: holds no recordings ({found}); wav, flac, ogg, mp3 and what else libsndfile reads"
        )
    place = cache_folder(folder, settings, trim, cache)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock", timeout=wait_seconds):
            entries, decoded = _update(place, Workers(settings, trim, threads), files, on_file)
            _describe(place, folder, settings, trim, sum("skip" not in e for e in entries.values()))
    except Timeout:
        raise CorpusError(
            f"{folder}: another process is indexing it; wait for it to finish"
        ) from None
    except OSError as e:
        raise CorpusError(
            f"{place}: the cache cannot be written ({e.strerror or e}); choose another place with --cache"
        ) from None
    return _as_index(folder, place, settings.sample_rate, entries, closed, ignored, decoded)


def _update(
    place: Path, workers: Workers, files: list[File], on_file: Callable[[int, int], None] | None
) -> tuple[dict[str, dict[str, Any]], int]:
    """Bring the cache up to date. Returns an index entry per file, in the order of the files, and how many were decoded now."""
    known, end = _read_index(place)
    by_content = {e["sha256"]: e for e in known.values()}
    entries = {f.name: {"skip": f.problem} if f.problem else known.get(f.name, {}) for f in files}
    new = [f for f in files if not f.problem and not f.stamp.items() <= entries[f.name].items()]
    claimed: set[str] = set()  # contents that are being written
    decoded = 0

    def place_it(seen: tuple[File, Probe]) -> tuple[File, Probe, int | None]:
        """Where in pcm.bin its samples belong, where a content is met for the first time."""
        nonlocal end, decoded
        file, look = seen
        first = look.sha256 not in by_content and look.sha256 not in claimed
        decoded += first and bool(look.sha256)
        if look.cacheable:
            claimed.add(look.sha256)
        offset = end if first and look.samples else None
        end += look.samples if first else 0
        return file, look, offset

    def write(placed: tuple[File, Probe, int | None]) -> tuple[File, Probe, dict[str, Any]]:
        file, look, offset = placed
        if offset is None or not workers.write(place / "pcm.bin", look, offset):
            return file, look, look.entry
        return file, look, {"offset": offset, "samples": look.samples, **look.entry}

    if new and on_file:
        on_file(len(files) - len(new), len(files))
    with _appending(place, end) as note, workers:
        written = workers.in_order(
            new, lambda file: (file, workers.probe(Path(file.path), by_content)), place_it, write
        )
        for done, (file, look, entry) in enumerate(written, len(files) - len(new) + 1):
            entry = by_content.get(look.sha256, entry)
            if look.samples and "offset" not in entry:
                entry = {
                    "skip": decoding.CHANGED
                }  # or its twin, whose samples it would have shared
            elif look.cacheable:
                entry = by_content[look.sha256] = {**entry, **file.stamp, "sha256": look.sha256}
                note(entry)
            entries[file.name] = entry
            if on_file:
                on_file(done, len(files))
    return entries, decoded


def _describe(
    place: Path, folder: Path, settings: AudioConfig, trim: bool, recordings: int
) -> None:
    about = {
        "folder": str(folder.resolve()),
        "recordings": recordings,
        "trim": trim,
        "version": VERSION,
        "audio": asdict(settings),
    }
    (place / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


@contextmanager
def _appending(place: Path, end: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that notes an entry in the index, whose samples others have written; pcm.bin ends behind its first `end` samples.

    Entries reach the disk after the samples they point at, every few seconds and when the block is left, however that happens.
    """
    (place / "pcm.bin").touch()
    pending: list[str] = []
    committed = time.monotonic()
    with (
        open(place / "pcm.bin", "r+b") as pcm,
        open(place / "index.jsonl", "a", encoding="utf-8") as index,
    ):
        pcm.truncate(2 * end)  # of what a crash left half-written

        def commit() -> None:
            nonlocal committed
            _to_disk(pcm)
            index.write("".join(pending))
            _to_disk(index)
            pending.clear()
            committed = time.monotonic()

        def note(entry: dict[str, Any]) -> None:
            pending.append(json.dumps(entry) + "\n")
            if time.monotonic() - committed > COMMIT_SECONDS:
                commit()

        try:
            yield note
        finally:
            if pending:
                commit()


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _as_index(
    folder: Path,
    place: Path,
    rate: int,
    entries: dict[str, dict[str, Any]],
    closed: list[Skipped],
    ignored: int,
    decoded: int,
) -> Index:
    recordings: list[Recording] = []
    skipped = list(closed)
    first: dict[str, str] = {}
    for name, e in entries.items():
        if "skip" in e:
            skipped.append(Skipped(name, e["skip"]))
            continue
        twin = first.setdefault(e["sha256"], name)
        details = {
            k: e[k]
            for k in ("sha256", "offset", "samples", "gain_db", "loudest_db", "trimmed_seconds")
        }
        recordings.append(Recording(name, **details, duplicate_of=None if twin == name else twin))
    if not recordings:
        raise CorpusError(
            f"{folder}: none of its {len(skipped)} audio files can be used; {skipped[0].name}: {skipped[0].reason}"
        )
    return Index(folder, place, rate, tuple(recordings), tuple(skipped), ignored, decoded)


def _read_index(place: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Entries by name, and where the samples of all entries end, replaced ones included: a run may be reading those.

    A last line cut short by a crash is dropped; so is an index that mostly points at replaced samples, or at lost ones.
    """
    path = place / "index.jsonl"
    entries: dict[str, dict[str, Any]] = {}
    whole = end = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                end = max(end, entry.get("offset", 0) + entry.get("samples", 0))
                entries[entry["name"]] = entry
            except (ValueError, KeyError, TypeError, AttributeError):
                break
            whole += len(line)
        os.truncate(path, whole)
    size = (place / "pcm.bin").stat().st_size if (place / "pcm.bin").exists() else 0
    used = 2 * sum(
        samples
        for _, samples in {(e["offset"], e["samples"]) for e in entries.values() if "offset" in e}
    )
    if 2 * end > size or size - used > used + SPARE_BYTES:
        for name in ("index.jsonl", "pcm.bin"):
            (place / name).unlink(missing_ok=True)
        return {}, 0
    return entries, end
