"""`wavenet cache`: what decoded recordings take up, and clearing them. They are decoded again when they are next needed."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from wavenet.errors import CorpusError
from wavenet.pcm_cache import NAME, default_cache


@dataclass(frozen=True)
class Kept:
    """One folder of recordings, decoded with one set of audio settings."""

    place: Path
    folder: str  # of the recordings; "?" when a crash left no word of it
    recordings: int
    sample_rate: int  # Hz
    bytes: int
    used: float  # when it was last indexed, seconds since 1970


def kept(cache: Path | None = None) -> list[Kept]:
    """Everything under a cache's place, largest first."""
    found = []
    for place in (cache or default_cache()).glob("*/"):
        if not re.search(NAME, place.name) or not (place / "pcm.bin").exists():
            continue
        try:
            about = json.loads((place / "about.json").read_text(encoding="utf-8"))
            what = str(about["folder"]), int(about.get("recordings", 0)), int(about["audio"]["sample_rate"])
        except (OSError, ValueError, KeyError, TypeError):
            what = "?", 0, 0
        files = [p.stat() for p in place.iterdir()]
        found.append(Kept(place, *what, sum(f.st_size for f in files), max(f.st_mtime for f in files)))
    return sorted(found, key=lambda k: -k.bytes)


def clear(one: Kept) -> None:
    """Delete one cache. Raises CorpusError when it is in use, or cannot be deleted."""
    try:
        with FileLock(one.place / "lock", timeout=0):
            for name in ("index.jsonl", "pcm.bin", "about.json"):  # without its index, what is left counts for nothing
                (one.place / name).unlink(missing_ok=True)
            with suppress(PermissionError):  # Windows deletes no open file, and filelock deletes it there on release
                (one.place / "lock").unlink(missing_ok=True)
        one.place.rmdir()
    except Timeout:
        raise CorpusError(f"{one.place}: another process is indexing it; wait for it to finish") from None
    except OSError as e:
        raise CorpusError(f"{one.place}: cannot be deleted ({e.strerror or e})") from None


def tend(folder: Path | None, clear_them: bool, cache: Path | None) -> Iterator[str]:
    """List, or clear, the caches of one folder of recordings or of all. Yields lines to print."""
    place = cache or default_cache()
    if cache is not None and not cache.is_dir():
        raise CorpusError(f"{cache}: no such folder")
    wanted = [k for k in kept(cache) if folder is None or k.folder == str(folder.resolve())]
    megabytes = sum(k.bytes for k in wanted) / 1e6
    of = "" if folder is None else f" of {folder}"
    if not wanted:
        yield f"{place}: holds no decoded recordings{of}"
        return
    yield f"{'size':>11} {'recordings':>11} {'rate':>9}  {'last used':10}  folder"
    for k in wanted:
        gone = "" if k.folder == "?" or Path(k.folder).is_dir() else "  (no longer there)"
        day = time.strftime("%Y-%m-%d", time.localtime(k.used))
        yield f"{k.bytes / 1e6:>8.1f} MB {k.recordings:>11} {k.sample_rate:>6} Hz  {day}  {k.folder}{gone}"
        if clear_them:
            clear(k)
    yield f"{'cleared: ' if clear_them else ''}{megabytes:.1f} MB{of} in {place}"
