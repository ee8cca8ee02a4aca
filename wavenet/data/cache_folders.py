"""Where the caches of decoded recordings lie, what they take up, and clearing them.

A cleared cache is decoded again when it is next needed.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wavenet.config import AudioConfig
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError
from wavenet.system.text import counted
from wavenet.system.user_folders import can_write, private_folder

# How the name of every cache folder ends.
NAME = r"-[0-9a-f]{12}$"
# In it, for people and for `wavenet cache`.
ABOUT = "about.json"
# The folder of a cache of which nothing is known.
UNKNOWN = "?"


@dataclass(frozen=True)
class CacheEntry:
    """One cache folder: the recordings of a folder, decoded with one set of audio settings."""

    path: Path
    folder: str  # of the recordings; "?" after a crash of an earlier version
    paths: tuple[str, ...]  # those in the folder that were chosen; () is all of it
    recordings: int  # different ones
    sample_rate: int  # Hz
    # All that recordings were decoded by.
    settings: Mapping[str, Any]
    bytes: int
    used: float  # last indexed, seconds since 1970


def entries(cache: Path | None = None, of: Path | None = None) -> list[CacheEntry]:
    """All cache folders under `cache`, largest first.

    With `of` those alone that hold recordings of this folder or file, or are the cache folder of
    this path or name.
    """
    folders = (_entry(path) for path in (cache or default_cache()).glob("*/"))
    found = [entry for entry in folders if entry and (of is None or _is_of(entry, of))]
    return sorted(found, key=lambda entry: -entry.bytes)


def title(entry: CacheEntry, others: Iterable[CacheEntry]) -> str:
    """An entry's folder, and what tells it apart from others of that folder and rate."""
    if entry.folder == UNKNOWN:
        return f"{UNKNOWN}  ({entry.path.name})"
    key = entry.folder, entry.sample_rate
    alike = [other.settings for other in others if (other.folder, other.sample_rate) == key]
    differing = {k: v for k, v in entry.settings.items() if any(o.get(k) != v for o in alike)}
    remarks = [_in_words(name, value) for name, value in differing.items()]
    if entry.paths:
        remarks.insert(0, f"{counted(len(entry.paths), 'path')} in it")
    if not Path(entry.folder).is_dir():
        remarks.append("no longer there")
    return entry.folder + (f"  ({', '.join(remarks)})" if remarks else "")


def _in_words(name: str, value: Any) -> str:
    if name == "trim":
        return "trimmed" if value else "not trimmed"
    return f"decoding {value}" if name == "version" else f"{name} = {value}"


def _entry(path: Path) -> CacheEntry | None:
    """The entry of a folder; None for a folder that is no cache."""
    if not re.search(NAME, path.name) or not (path / "pcm.bin").exists():
        return None
    folder, paths, rate, settings = UNKNOWN, tuple[str, ...](), 0, dict[str, Any]()
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        about = _about(path)
        rate = int(about["audio"]["sample_rate"])
        settings = {f"audio.{k}": v for k, v in about["audio"].items() if k != "trim"}
        settings |= {"trim": bool(about["trim"]), "version": about.get("version")}
        folder, paths = str(about["folder"]), tuple(map(str, about.get("paths", ())))
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    size, used = sum(f.st_size for f in files), max(f.st_mtime for f in files)
    return CacheEntry(path, folder, paths, _recordings(path), rate, settings, size, used)


def _about(path: Path) -> dict[str, Any]:
    """What is written about a cache folder; {} when it is missing or damaged."""
    with suppress(OSError, ValueError):
        about = json.loads((path / ABOUT).read_text(encoding="utf-8-sig"))
        return about if isinstance(about, dict) else {}
    return {}


def _recordings(path: Path) -> int:
    """How many different recordings the index of a cache folder has."""
    places: dict[str, int] = {}
    with (
        suppress(OSError, ValueError, KeyError, TypeError),
        open(path / "index.jsonl", "rb") as index,
    ):
        for line in index:
            recording = json.loads(line)
            if recording["samples"]:
                places[recording["name"]] = recording["offset"]
    return len(set(places.values()))


def _is_of(entry: CacheEntry, path: Path) -> bool:
    """Whether an entry holds recordings of a folder or a file, or is itself what is meant."""
    here = path.expanduser().resolve()
    if str(path) == entry.path.name or here == entry.path.resolve():
        return True
    folder = Path(entry.folder)
    of_file = here.is_file() and here.parent == folder
    return here == folder or of_file or any((folder / p).resolve() == here for p in entry.paths)


def describe(
    path: Path, selection: Selection, settings: AudioConfig, trim: bool, version: int
) -> None:
    """Write about a cache folder what its recordings are of. Raises OSError."""
    about: dict[str, Any] = {"folder": str(selection.folder.resolve()), "trim": trim}
    about |= {"version": version, "audio": asdict(settings)}
    before = _about(path) or {"paths": []}
    if selection.paths and "paths" in before:
        about["paths"] = sorted({*selection.paths, *before["paths"]})
    (path / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def clear(entry: CacheEntry) -> None:
    """Delete one cache. Raises CorpusError when it is in use, or cannot be deleted."""
    try:
        with FileLock(entry.path / "lock", timeout=0):
            # The index goes first: without it, the other files are ignored.
            for name in ("index.jsonl", "pcm.bin", ABOUT):
                (entry.path / name).unlink(missing_ok=True)
            for folder in entry.path.glob("*/"):
                shutil.rmtree(folder)
            # Windows deletes no open file; there, filelock deletes it on release.
            with suppress(PermissionError):
                (entry.path / "lock").unlink(missing_ok=True)
        entry.path.rmdir()
    except Timeout:
        raise busy(entry.path) from None
    except OSError as e:
        raise CorpusError(entry.path, f"cannot be deleted ({e.strerror or e})") from None


def busy(folder: Path) -> CorpusError:
    return CorpusError(folder, "another process is indexing it", "wait for it to finish")


def default_cache() -> Path:
    """Where caches lie unless the user says otherwise."""
    import platformdirs

    usual = platformdirs.user_cache_path("wavenet")
    private = None if can_write(usual) else private_folder()
    return (private or usual) / "pcm"


def cache_option(place: Path | None) -> tuple[str, ...]:
    """The words of a command that ask for caches in `place`; none where they are by default."""
    return () if place in (None, default_cache()) else ("`cache`", str(place))


def cache_folder(
    folder: Path, settings: AudioConfig, trim: bool, cache: Path | None, version: int
) -> Path:
    """The cache folder of a folder of recordings: another one for whatever changes it.

    `version` is that of decoding.
    """
    resolved = folder.resolve()
    key = json.dumps([version, str(resolved), asdict(settings), trim])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    readable_name = "".join(c if c.isalnum() or c in "-_" else "-" for c in resolved.name)[:40]
    return (cache or default_cache()) / f"{readable_name}-{digest}"
