"""`wavenet cache`: how large the decoded recordings are, and clearing them."""

import time
from collections.abc import Iterator
from pathlib import Path

from wavenet.data.cache_folders import CacheEntry, clear, default_cache, entries
from wavenet.errors import CorpusError


def list_or_clear(folder: Path | None, clear_them: bool, cache: Path | None) -> Iterator[str]:
    """List, or clear, the caches of one folder of recordings or of all.

    Yields lines to print. Raises CorpusError.
    """
    cache_folder = cache or default_cache()
    if cache is not None and not cache.is_dir():
        raise CorpusError(f"{cache}: no such folder")
    selected = entries(cache)
    of = ""
    if folder is not None:
        selected = [entry for entry in selected if entry.folder == str(folder.resolve())]
        of = f" of {folder}"
    if not selected:
        yield f"{cache_folder}: holds no decoded recordings{of}"
        return
    yield f"{'size':>11} {'recordings':>11} {'rate':>9}  {'last used':10}  folder"
    for entry in selected:
        yield _line(entry)
        if clear_them:
            clear(entry)
    megabytes = sum(entry.bytes for entry in selected) / 1e6
    yield f"{'cleared: ' if clear_them else ''}{megabytes:.1f} MB{of} in {cache_folder}"


def _line(entry: CacheEntry) -> str:
    day = time.strftime("%Y-%m-%d", time.localtime(entry.used))
    counts = f"{entry.bytes / 1e6:>8.1f} MB {entry.recordings:>11} {entry.sample_rate:>6} Hz"
    is_known = entry.folder != "?"
    gone = "  (no longer there)" if is_known and not Path(entry.folder).is_dir() else ""
    return f"{counts}  {day}  {entry.folder}{gone}"
