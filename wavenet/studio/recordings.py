"""Folders of recordings that a training may be started on: those under the studio's root."""

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from wavenet.data.discovery import AUDIO_SUFFIXES
from wavenet.errors import printable
from wavenet.model.locate import is_run
from wavenet.system import resources

# Hidden ones are left out as well.
NO_RECORDINGS = {"runs", "node_modules", "site-packages", "__pycache__", "venv"}
# The studio may have been started in a home folder.
MOST_DEPTH, MOST_FOLDERS, MOST_SECONDS = 5, 5000, 3.0
MOST_SHOWN = 200


@dataclass(frozen=True)
class RecordingFolder:
    """A folder with audio files in it, or in its folders."""

    path: Path
    # As a page shows it.
    name: str
    files: int

    @property
    def id(self) -> str:
        return identity(self.path)


def identity(path: Path) -> str:
    """What pages call a folder: they never name a path."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]


def recording_folders(root: Path) -> tuple[list[RecordingFolder], bool]:
    """Those under a root and those that come with the program, and whether these are all.

    Counted are files that are audio by their suffix, as training finds them.
    """
    deadline = time.monotonic() + MOST_SECONDS
    found, is_all = _search(root, "", deadline)
    starter = resources.folder("starter")
    if starter.is_dir() and not starter.resolve().is_relative_to(root.resolve()):
        more, is_all_of_it = _search(starter, "starter recordings", deadline + MOST_SECONDS)
        found, is_all = found[:MOST_SHOWN] + more, is_all and is_all_of_it
    return found[:MOST_SHOWN], is_all and len(found) <= MOST_SHOWN


def _search(top: Path, title: str, deadline: float) -> tuple[list[RecordingFolder], bool]:
    """The folders with audio in `top`, by name, and whether all of it was searched."""
    direct = Counter[Path]()
    is_all = True
    seen = 0
    # Links are not followed: what they lead to lies elsewhere.
    for place, folders, names in os.walk(top):
        path = Path(place)
        seen += 1
        if seen > MOST_FOLDERS or time.monotonic() > deadline:
            is_all = False
            break
        if path != top and is_run(path):
            folders.clear()
            continue
        direct[path] = sum(map(_is_audio, names))
        folders[:] = sorted(filter(_may_hold_recordings, folders))
        if len(path.relative_to(top).parts) >= MOST_DEPTH:
            is_all = is_all and not folders
            folders.clear()
    counts = Counter[Path]()
    for path, files in direct.items():
        within = path.relative_to(top)
        for holder in (within, *within.parents):
            counts[holder] += files
    if not title and not direct[top]:
        # All that lies under a root is one folder of recordings only where it begins right there.
        del counts[Path()]
    return [
        RecordingFolder(top / within, _shown(title, within), files)
        for within, files in sorted(counts.items())
        if files
    ], is_all


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES and not name.startswith(".")


def _may_hold_recordings(name: str) -> bool:
    return not name.startswith(".") and name not in NO_RECORDINGS


def _shown(title: str, within: Path) -> str:
    parts = [title] if title else []
    if within != Path():
        parts.append(within.as_posix())
    return printable(": ".join(parts) or "all recordings here")
