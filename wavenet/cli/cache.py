"""`wavenet cache`: how large the decoded recordings are, and clearing them."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import terminal
from wavenet.cli.options import CacheOption, JsonOption
from wavenet.cli.outputs import iso_time, print_json
from wavenet.errors import CorpusError

if TYPE_CHECKING:
    from wavenet.data.cache_folders import CacheEntry


def cache(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Only what was decoded from this folder or file, or the cache folder of this name."
        ),
    ] = None,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear", help="Delete what is listed; it is decoded again when next needed."
        ),
    ] = False,
    place: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the decoded recordings that training keeps, or clear them."""
    from wavenet.data import cache_folders

    if place is not None and not place.is_dir():
        raise CorpusError(place, "no such folder")
    selected = cache_folders.entries(place, folder)
    cache_folder = place or cache_folders.default_cache()
    of = "" if folder is None else f" of {folder}"
    # First, since nobody may read the lines.
    for entry in selected if clear else ():
        cache_folders.clear(entry)
    if as_json:
        print_json([_to_dict(entry) for entry in selected])
    elif not selected:
        terminal.result(f"{cache_folder}: holds no decoded recordings{of}")
    else:
        terminal.result("\n".join(_table(selected)))
    if selected and not as_json:
        megabytes = sum(entry.bytes for entry in selected) / 1e6
        terminal.result(f"{'cleared: ' if clear else ''}{megabytes:.1f} MB{of} in {cache_folder}")


def _to_dict(entry: "CacheEntry") -> dict[str, object]:
    """As a program reads it."""
    return {**asdict(entry), "path": str(entry.path), "used": iso_time(entry.used)}


def _table(entries: "Sequence[CacheEntry]") -> list[str]:
    from wavenet.data import cache_folders

    columns = [
        terminal.Column("MB", right=True),
        terminal.Column("recordings", right=True, leave_out=1),
        terminal.Column("Hz", right=True),
        terminal.Column("last used", leave_out=2),
        terminal.Column("folder", wraps=True),
    ]
    rows = []
    for entry in entries:
        day = time.strftime("%Y-%m-%d", time.localtime(entry.used))
        size, folder = f"{entry.bytes / 1e6:.1f}", cache_folders.title(entry, entries)
        rows.append([size, entry.recordings, entry.sample_rate, day, folder])
    return terminal.table(columns, rows)
