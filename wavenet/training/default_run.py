"""The run that recordings have where nobody names one: runs/FOLDER-CONFIG.

A file has runs/STEM-CONFIG, and several files and folders have runs/ONE-and-OTHER-CONFIG, or
runs/FIRST-and-2-more-CONFIG. What would have the same name, such as ada/wavs and bob/wavs, has runs
of its own. Which run is that of some recordings is read from what runs say of theirs, so the same
command finds the same run again.
"""

import hashlib
import os
from pathlib import Path

from wavenet.data.discovery import audio_files
from wavenet.data.selection import Selection
from wavenet.training.run_folder import Run

RUNS = Path("runs")


def default_run(recordings: Path | Selection, name: str) -> tuple[Run, tuple[str, ...]]:
    """The run of recordings under a config of this `name`, and notes on whose shorter names are.

    The run exists, or is a new one. It is called after the recordings, and after as many of the
    folders around them as it takes.
    """
    selection = Selection.of(recordings)
    runs = [Run(RUNS / f"{title}-{name}") for title in _titles(selection)]
    taken = [run for run in runs if run.exists]
    own = [run for run in taken if _is_run_of(run, selection)]
    run = next(iter([*own, *(run for run in runs if not run.exists), runs[-1]]))
    others = taken[: taken.index(run)] if run in taken else taken
    notes = (f"note: {other.folder} is a run of {other.recordings()}" for other in others)
    return run, tuple(notes) if others and run.folder != runs[0].folder else ()


def _titles(selection: Selection) -> list[str]:
    """What a run may be called after, the shortest first; the last is of no other recordings."""
    folder, paths = selection.folder.resolve(), selection.paths
    parts = list(folder.parts[1:])
    if paths:
        first, *others = (p.name if p.is_dir() else p.stem for p in selection.places)
        more = others[0] if len(others) == 1 else f"{len(others)}-more"
        parts.append(f"{first}-and-{more}" if others else first)
    titles = ["-".join(parts[-n:]) for n in range(1, len(parts) + 1)] or [""]
    digest = hashlib.sha256(repr((str(folder), paths)).encode()).hexdigest()[:8]
    return [*titles, f"{titles[0]}-{digest}"]


def _is_run_of(run: Run, selection: Selection) -> bool:
    """Whether a run was begun on these recordings, wherever they were then."""
    origin, here = run.recordings(), Selection(selection.folder.resolve(), selection.paths)
    if origin is None or origin == here:
        # Where it does not say, it may be.
        return True
    recordings = run.corpus().get("recordings", {})
    if not recordings:
        return not all(map(os.path.exists, origin.places))
    same = (_sha256(here.folder / name) == sha256 for name, sha256 in recordings.items())
    if not any((origin.folder / name).is_file() for name in recordings):
        # They have moved, and may have changed since.
        return any(same)
    old, new = ([file.name for file in audio_files(place)[0]] for place in (origin, here))
    return old == new and all(same)


def _sha256(path: Path) -> str:
    """Of a file's content; "" where there is none to read."""
    try:
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
