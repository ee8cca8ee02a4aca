"""The run that a folder of recordings has where nobody names one: runs/FOLDER-CONFIG.

Folders of one name, such as ada/wavs and bob/wavs, have runs of their own. Which run is a folder's
is read from what runs say of their recordings, so the same command finds the same run again.
"""

import hashlib
from pathlib import Path

from wavenet.data.discovery import audio_files
from wavenet.training.run_folder import Run

RUNS = Path("runs")


def default_run(folder: Path, name: str) -> tuple[Run, tuple[str, ...]]:
    """The run of a folder under a config of this `name`, and notes on whose the shorter names are.

    The run exists, or is a new one. It is called after the folder, and after as many of the folders
    around it as it takes.
    """
    parts = folder.resolve().parts[1:] or ("",)
    notes: tuple[str, ...] = ()
    for used in range(1, len(parts) + 1):
        run = Run(RUNS / f"{'-'.join(parts[-used:])}-{name}")
        if not run.exists or _is_run_of(run, folder):
            break
        notes += (f"note: {run.folder} is a run of {run.corpus()['folder']}",)
    return run, notes


def _is_run_of(run: Run, folder: Path) -> bool:
    """Whether a run was begun on a folder, wherever that was then."""
    about = run.corpus()
    recordings: dict[str, str] = about.get("recordings", {})
    before = Path(about.get("folder", folder.resolve()))
    if before == folder.resolve():
        # Or it does not say.
        return True
    same = (_sha256(folder / name) == sha256 for name, sha256 in recordings.items())
    if not any((before / name).is_file() for name in recordings):
        # It has moved, and may have changed since.
        return any(same)
    old, new = ([file.name for file in audio_files(place)[0]] for place in (before, folder))
    return old == new and all(same)


def _sha256(path: Path) -> str:
    """Of a file's content; "" where there is none to read."""
    try:
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
