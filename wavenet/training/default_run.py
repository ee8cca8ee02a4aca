"""The run that a folder of recordings has where nobody names one: runs/FOLDER-CONFIG.

Folders of one name, such as ada/wavs and bob/wavs, have runs of their own. Which run is a folder's
is read from what runs say of their recordings, so the same command finds the same run again.
"""

import hashlib
from pathlib import Path

from wavenet.data.discovery import audio_files
from wavenet.model import locate
from wavenet.training.run_folder import Run

RUNS = Path("runs")


def default_run(folder: Path, name: str) -> tuple[Run, tuple[str, ...]]:
    """The run of a folder under a config of this `name`, and notes on whose the shorter names are.

    The run exists, or is a new one. It is called after the folder, and after as many of the folders
    around it as it takes.
    """
    parts = folder.resolve().parts[1:] or ("",)
    runs = [Run(RUNS / f"{'-'.join(parts[-n:])}-{name}") for n in range(1, len(parts) + 1)]
    taken = [run for run in runs if run.exists]
    own = [run for run in taken if _is_run_of(run, folder)]
    run = next(iter([*own, *(run for run in runs if not run.exists), runs[-1]]))
    others = taken[: taken.index(run)] if run in taken else taken
    notes = (f"note: {other.folder} is a run of {_origin(other)}" for other in others)
    return run, tuple(notes) if others and run.folder != runs[0].folder else ()


def _origin(run: Run) -> str:
    """The folder that a run was begun on, as far as is known."""
    about = run.corpus().get("folder", "")
    latest = None if about else locate.load_latest(run.checkpoints)
    return latest.training.folder if latest else about


def _is_run_of(run: Run, folder: Path) -> bool:
    """Whether a run was begun on a folder, wherever that was then."""
    origin, here = _origin(run), folder.resolve()
    if not origin or Path(origin) == here:
        # Where it does not say, it may be.
        return True
    recordings = run.corpus().get("recordings", {})
    if not recordings:
        return not Path(origin).is_dir()
    same = (_sha256(folder / name) == sha256 for name, sha256 in recordings.items())
    if not any((Path(origin) / name).is_file() for name in recordings):
        # It has moved, and may have changed since.
        return any(same)
    old, new = ([file.name for file in audio_files(place)[0]] for place in (Path(origin), folder))
    return old == new and all(same)


def _sha256(path: Path) -> str:
    """Of a file's content; "" where there is none to read."""
    try:
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
