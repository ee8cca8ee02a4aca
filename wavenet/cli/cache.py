"""`wavenet cache`: how large the decoded recordings are, and clearing them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from wavenet.cli.options import CacheOption
from wavenet.errors import CorpusError


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
) -> None:
    """List the decoded recordings that training keeps, or clear them."""
    from wavenet.data import cache_folders

    if place is not None and not place.is_dir():
        raise CorpusError(place, "no such folder")
    selected = cache_folders.entries(place, folder)
    cache_folder = place or cache_folders.default_cache()
    of = "" if folder is None else f" of {folder}"
    if not selected:
        typer.echo(f"{cache_folder}: holds no decoded recordings{of}")
        return
    typer.echo(f"{'size':>11} {'recordings':>11} {'rate':>9}  {'last used':10}  folder")
    for entry in selected:
        counts = f"{entry.bytes / 1e6:>8.1f} MB {entry.recordings:>11} {entry.sample_rate:>6} Hz"
        day = time.strftime("%Y-%m-%d", time.localtime(entry.used))
        typer.echo(f"{counts}  {day}  {cache_folders.title(entry, selected)}")
        if clear:
            cache_folders.clear(entry)
    megabytes = sum(entry.bytes for entry in selected) / 1e6
    typer.echo(f"{'cleared: ' if clear else ''}{megabytes:.1f} MB{of} in {cache_folder}")
