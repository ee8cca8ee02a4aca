"""A folder of recordings, decoded once: one file of 16-bit samples and an index that says which recording lies where.

Layout of a cache folder: `pcm.bin`, little-endian int16, recordings end to end; `index.jsonl`, one line per file, appended
once its samples are safely on the disk, so that a crash loses at most the last seconds' work; `about.json` for people.
Later lines replace earlier ones of the same name. Recordings are decoded again only when their content changes.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from wavenet import audio
from wavenet.config import AudioConfig
from wavenet.errors import AudioError, CorpusError
from wavenet.shapes import Wav

VERSION = 1  # raise it when decoding, trimming or levelling changes what lands in pcm.bin
READABLE = ".wav .wave .bwf .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .sph .nist .sf .ircam .paf .avr"
UNREADABLE = ".m4a .mp4 .aac .wma .webm .amr .ape .wv .mka"  # audio that libsndfile cannot read is named as skipped, not ignored
AUDIO_SUFFIXES = frozenset(f"{READABLE} {UNREADABLE}".split())
NAME = r"-[0-9a-f]{12}$"  # how the name of every cache folder ends
COMMIT_SECONDS = 2.0  # of decoding that a crash may undo


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
class Skipped:
    """One file that was not kept, and why."""

    name: str
    reason: str


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


def as_wav(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> Wav:
    """Cached samples as audio in -1 ... 1."""
    return pcm.astype(np.float32) / np.float32(32768)


def index_folder(
    folder: Path,
    settings: AudioConfig,
    *,
    trim: bool,
    cache: Path | None = None,
    on_file: Callable[[int, int], None] | None = None,
    patience: float = 0,
) -> Index:
    """Decode what is new in `folder` and return where everything lies. `on_file(done, total)` reports progress.

    While another process is indexing the same folder it waits `patience` seconds, below 0 for ever. Raises CorpusError when that is not
    enough, or when there is nothing to learn from.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise CorpusError(f"{folder}: {'is a file; give the folder it lies in' if folder.exists() else 'no such folder'}")
    files, closed, ignored = _audio_files(folder)
    if not files:
        found = f"{ignored} other files" + "".join(f"; {s.name}: {s.reason}" for s in closed[:1])
        raise CorpusError(f"{folder}: holds no recordings ({found}); wav, flac, ogg, mp3 and what else libsndfile reads")
    place = _cache_folder(folder, settings, trim, cache)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock", timeout=patience):
            entries, decoded = _update(folder, place, settings, trim, files, on_file)
    except Timeout:
        raise CorpusError(f"{folder}: another process is indexing it; wait for it to finish") from None
    except OSError as e:
        raise CorpusError(f"{place}: the cache cannot be written ({e.strerror or e}); choose another place with --cache") from None
    return _as_index(folder, place, settings.sample_rate, entries, closed, ignored, decoded)


def _update(
    folder: Path, place: Path, settings: AudioConfig, trim: bool, files: list[Path], on_file: Callable[[int, int], None] | None
) -> tuple[dict[str, dict[str, Any]], int]:
    """Bring the cache up to date. Returns an index entry per file, and how many were decoded now."""
    known, end = _read_index(place)
    entries: dict[str, dict[str, Any]] = {}
    decoded = 0
    by_content = {e["sha256"]: e for e in known.values()}
    with _appending(place, end) as (pcm, note):
        for i, path in enumerate(files):
            name = path.relative_to(folder).as_posix()
            entry = known.get(name, {})
            try:
                stat = path.stat()
                stamp = {"name": name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
                changed = None if stamp.items() <= entry.items() else _sha256(path)
            except OSError as e:
                entry, changed = {"skip": f"cannot be read ({e.strerror})"}, None  # not remembered: it may be readable next time
            if changed:
                same = by_content.get(changed)
                decoded += same is None
                try:
                    found = dict(same) if same else _decode(path, settings, trim, pcm)
                    entry = by_content[changed] = {**found, **stamp, "sha256": changed}
                    note(entry)
                except AudioError as e:  # not remembered either: another version of libsndfile may read it
                    advice = "; convert it to wav or flac" if path.suffix.lower() in UNREADABLE.split() else ""
                    entry = {"skip": str(e).removeprefix(str(AudioError(f"{path}: "))) + advice}
            entries[name] = entry
            if on_file:
                on_file(i + 1, len(files))
    about = {
        "folder": str(folder.resolve()),
        "recordings": sum("skip" not in e for e in entries.values()),
        "trim": trim,
        "version": VERSION,
    }
    (place / "about.json").write_text(json.dumps(about | {"audio": asdict(settings)}, indent=1), encoding="utf-8")
    return entries, decoded


@contextmanager
def _appending(place: Path, end: int) -> Iterator[tuple[BinaryIO, Callable[[dict[str, Any]], None]]]:
    """pcm.bin opened behind its first `end` samples, and a function that notes an entry in the index.

    Entries reach the disk after the samples they point at, every few seconds and when the block is left, however that happens.
    """
    (place / "pcm.bin").touch()
    pending: list[str] = []
    committed = time.monotonic()
    with open(place / "pcm.bin", "r+b") as pcm, open(place / "index.jsonl", "a", encoding="utf-8") as index:
        pcm.seek(2 * end)
        pcm.truncate()  # of what a crash left half-written

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
            yield pcm, note
        finally:
            if pending:
                commit()


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _as_index(
    folder: Path, place: Path, rate: int, entries: dict[str, dict[str, Any]], closed: list[Skipped], ignored: int, decoded: int
) -> Index:
    recordings: list[Recording] = []
    skipped = list(closed)
    first: dict[str, str] = {}
    for name, e in entries.items():
        if "skip" in e:
            skipped.append(Skipped(name, e["skip"]))
            continue
        twin = first.setdefault(e["sha256"], name)
        details = {k: e[k] for k in ("sha256", "offset", "samples", "gain_db", "loudest_db", "trimmed_seconds")}
        recordings.append(Recording(name, **details, duplicate_of=None if twin == name else twin))
    if not recordings:
        raise CorpusError(f"{folder}: none of its {len(skipped)} audio files can be used; {skipped[0].name}: {skipped[0].reason}")
    return Index(folder, place, rate, tuple(recordings), tuple(skipped), ignored, decoded)


def _decode(path: Path, settings: AudioConfig, trim: bool, pcm: BinaryIO) -> dict[str, Any]:
    """Append one recording to the open pcm file. Returns its index entry, or {"skip": reason}. Raises AudioError."""
    rate = settings.sample_rate
    level = audio.measure(audio.read_blocks(path, rate), rate, settings.trim_db)
    if not level.finite:
        return {"skip": "holds NaN or infinite samples"}
    if not level.samples:
        return {"skip": "empty: holds no samples"}
    if level.samples < settings.min_seconds * rate:
        return {"skip": f"too short: {level.samples / rate:.3f} s, below audio.min_seconds = {settings.min_seconds:g}"}
    if level.silent:
        return {"skip": f"silent: its loudest 20 ms are at {level.loudest_db:.0f} dBFS" if level.peak else "silent: nothing but zeros"}
    start, stop = (level.start, level.stop) if trim else (0, level.samples)
    gain = audio.gain_for(level.peak, settings.level, settings.peak_db)
    offset = pcm.tell() // 2
    try:
        for block in _cut(audio.read_blocks(path, rate), start, stop):
            pcm.write(np.clip(np.rint(block * (gain * 32768)), -32768, 32767).astype("<i2").tobytes())
        whole = pcm.tell() == 2 * (offset + stop - start)
    except AudioError:
        whole = False
    if not whole:
        pcm.seek(2 * offset)
        return {"skip": "changed while it was read; train again when it is finished"}
    return {
        "offset": offset,
        "samples": stop - start,
        "gain_db": round(20 * float(np.log10(gain)), 2),
        "loudest_db": round(level.loudest_db, 1),
        "trimmed_seconds": round((level.samples - stop + start) / rate, 3),
    }


def _cut(blocks: Iterator[Wav], start: int, stop: int) -> Iterator[Wav]:
    """The samples from start to stop of a stream of blocks."""
    at = 0
    for block in blocks:
        yield block[max(0, start - at) : max(0, stop - at)]
        at += len(block)


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
    used = 2 * sum(samples for _, samples in {(e["offset"], e["samples"]) for e in entries.values() if "offset" in e})
    if 2 * end > size or size > 2 * used + (1 << 24):
        for name in ("index.jsonl", "pcm.bin"):
            (place / name).unlink(missing_ok=True)
        return {}, 0
    return entries, end


def _audio_files(folder: Path) -> tuple[list[Path], list[Skipped], int]:
    """Audio files by suffix (without one, by content) in a fixed order; folders that cannot be read; how many other files there are.

    Follows links, but never in circles. A run of ours is left alone: what it rendered is no recording.
    """
    files: list[Path] = []
    closed: list[Skipped] = []
    ignored = 0
    seen: set[str] = set()

    def unreadable(e: OSError) -> None:
        leave(Path(e.filename), f"folder cannot be read ({e.strerror})")

    def leave(path: Path, reason: str) -> None:
        closed.append(Skipped(path.relative_to(folder).as_posix(), reason))

    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(parent)
        ours = "config.toml" in names and "checkpoints" in folders
        if ours:
            leave(Path(parent), "a run of this program, not recordings")
        if ours or real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or (suffix and suffix not in AUDIO_SUFFIXES):
                ignored += 1
            elif path.exists() and not path.is_file():  # a named pipe would keep us waiting
                leave(path, "not a regular file")
            elif suffix or audio.readable(path):
                files.append(path)
            else:
                ignored += 1
    return sorted(files, key=lambda p: p.relative_to(folder).as_posix()), closed, ignored


def default_cache() -> Path:
    """Where caches lie unless the user says otherwise."""
    import platformdirs

    return platformdirs.user_cache_path("wavenet") / "pcm"


def _cache_folder(folder: Path, settings: AudioConfig, trim: bool, cache: Path | None) -> Path:
    key = json.dumps([VERSION, str(folder.resolve()), asdict(settings), trim])
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in folder.resolve().name)[:40]
    return (cache or default_cache()) / f"{safe}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
