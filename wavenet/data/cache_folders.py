"""Where decoded recordings lie, what they take up, and clearing them: they are decoded again when next needed."""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from wavenet.config import AudioConfig
from wavenet.errors import CorpusError

# Raise it when decoding, trimming or levelling changes what lands in pcm.bin.
VERSION = 1
# How the name of every cache folder ends.
NAME = r"-[0-9a-f]{12}$"


@dataclass(frozen=True)
class CacheEntry:
    """One folder of recordings, decoded with one set of audio settings."""

    place: Path
    folder: str  # of the recordings; "?" when a crash left no word of it
    recordings: int
    sample_rate: int  # Hz
    bytes: int
    used: float  # when it was last indexed, seconds since 1970


def entries(cache: Path | None = None) -> list[CacheEntry]:
    """Everything under a cache's place, largest first."""
    found = []
    for place in (cache or default_cache()).glob("*/"):
        if not re.search(NAME, place.name) or not (place / "pcm.bin").exists():
            continue
        try:
            about = json.loads((place / "about.json").read_text(encoding="utf-8"))
            what = (
                str(about["folder"]),
                int(about.get("recordings", 0)),
                int(about["audio"]["sample_rate"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            what = "?", 0, 0
        files = [p.stat() for p in place.iterdir()]
        found.append(
            CacheEntry(place, *what, sum(f.st_size for f in files), max(f.st_mtime for f in files))
        )
    return sorted(found, key=lambda k: -k.bytes)


def clear(one: CacheEntry) -> None:
    """Delete one cache. Raises CorpusError when it is in use, or cannot be deleted."""
    try:
        with FileLock(one.place / "lock", timeout=0):
            for name in (
                "index.jsonl",
                "pcm.bin",
                "about.json",
            ):  # without its index, what is left counts for nothing
                (one.place / name).unlink(missing_ok=True)
            with suppress(
                PermissionError
            ):  # Windows deletes no open file, and filelock deletes it there on release
                (one.place / "lock").unlink(missing_ok=True)
        one.place.rmdir()
    except Timeout:
        raise CorpusError(
            f"{one.place}: another process is indexing it; wait for it to finish"
        ) from None
    except OSError as e:
        raise CorpusError(f"{one.place}: cannot be deleted ({e.strerror or e})") from None


def default_cache() -> Path:
    """Where caches lie unless the user says otherwise."""
    import platformdirs

    return platformdirs.user_cache_path("wavenet") / "pcm"


def cache_folder(folder: Path, settings: AudioConfig, trim: bool, cache: Path | None) -> Path:
    key = json.dumps([VERSION, str(folder.resolve()), asdict(settings), trim])
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in folder.resolve().name)[:40]
    return (cache or default_cache()) / f"{safe}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
