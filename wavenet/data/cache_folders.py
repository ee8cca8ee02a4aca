"""Where the caches of decoded recordings lie, what they take up, and clearing them.

A cleared cache is decoded again when it is next needed.
"""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from wavenet.config import AudioConfig
from wavenet.errors import CorpusError
from wavenet.system.user_folders import can_write, private_folder

# How the name of every cache folder ends.
NAME = r"-[0-9a-f]{12}$"


@dataclass(frozen=True)
class CacheEntry:
    """One cache folder: the recordings of a folder, decoded with one set of audio settings."""

    path: Path
    folder: str  # of the recordings; "?" after a crash
    recordings: int
    sample_rate: int  # Hz
    bytes: int
    used: float  # last indexed, seconds since 1970


def entries(cache: Path | None = None) -> list[CacheEntry]:
    """All cache folders under `cache`, largest first."""
    folders = (_entry(path) for path in (cache or default_cache()).glob("*/"))
    return sorted((entry for entry in folders if entry), key=lambda entry: -entry.bytes)


def _entry(path: Path) -> CacheEntry | None:
    """The entry of a folder; None for a folder that is no cache."""
    if not re.search(NAME, path.name) or not (path / "pcm.bin").exists():
        return None
    try:
        about = json.loads((path / "about.json").read_text(encoding="utf-8-sig"))
        folder = str(about["folder"])
        recordings = int(about.get("recordings", 0))
        sample_rate = int(about["audio"]["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        # A crash came before the file was written, or while it was.
        folder, recordings, sample_rate = "?", 0, 0
    files = [file.stat() for file in path.iterdir()]
    size, used = sum(f.st_size for f in files), max(f.st_mtime for f in files)
    return CacheEntry(path, folder, recordings, sample_rate, size, used)


def clear(entry: CacheEntry) -> None:
    """Delete one cache. Raises CorpusError when it is in use, or cannot be deleted."""
    try:
        with FileLock(entry.path / "lock", timeout=0):
            # The index goes first: without it, the other files are ignored.
            for name in ("index.jsonl", "pcm.bin", "about.json"):
                (entry.path / name).unlink(missing_ok=True)
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
