"""`wavenet cache`: what decoded recordings take up, and clearing them."""

import time
from collections.abc import Iterator
from pathlib import Path

from wavenet.data.cache_folders import clear, default_cache, entries
from wavenet.errors import CorpusError


def list_or_clear(folder: Path | None, clear_them: bool, cache: Path | None) -> Iterator[str]:
    """List, or clear, the caches of one folder of recordings or of all. Yields lines to print."""
    place = cache or default_cache()
    if cache is not None and not cache.is_dir():
        raise CorpusError(f"{cache}: no such folder")
    wanted = [k for k in entries(cache) if folder is None or k.folder == str(folder.resolve())]
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
