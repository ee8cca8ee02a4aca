"""Which files of a folder are recordings: by suffix, and where there is none by content."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wavenet.audio import reading
from wavenet.data import decoding

READABLE = (
    ".wav .wave .bwf .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 "
    ".voc .sph .nist .sf .ircam .paf .avr"
)
AUDIO_SUFFIXES = frozenset(f"{READABLE} {decoding.UNREADABLE}".split())
# Such as a named pipe, which would block whoever reads it.
IRREGULAR = "not a regular file"


@dataclass(frozen=True)
class Skipped:
    """One file that was not kept, and why."""

    name: str
    reason: str


class File(NamedTuple):
    """An audio file of the folder, in its present state."""

    name: str
    path: str
    # The part of an index entry by which an unchanged file is recognised.
    stamp: dict[str, Any]
    problem: str = ""


def audio_files(folder: Path) -> tuple[list[File], list[Skipped], int]:
    """Audio files sorted by name, what was skipped and why, and the number of other files.

    A file is audio by its suffix, or without one by its content. Skipped are folders that cannot be
    read, files that are not regular, and run folders of this program: what it rendered is no
    recording. Links are followed, but never in circles.
    """
    files: list[File] = []
    skipped: list[Skipped] = []
    ignored = 0
    visited: set[str] = set()

    def skip_unreadable(e: OSError) -> None:
        name = Path(e.filename).relative_to(folder).as_posix()
        skipped.append(Skipped(name, f"folder cannot be read ({e.strerror})"))

    for parent, folders, names in os.walk(folder, onerror=skip_unreadable, followlinks=True):
        real, within = os.path.realpath(parent), Path(parent).relative_to(folder)
        is_run = "config.toml" in names and "checkpoints" in folders
        if is_run:
            skipped.append(Skipped(within.as_posix(), "a run of this program, not recordings"))
        if is_run or real in visited:
            # `os.walk` enters the folders that are left in this list.
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        prefix = "" if within == Path() else f"{within.as_posix()}/"
        for base in names:
            suffix = os.path.splitext(base)[1].lower()
            has_suffix = bool(suffix.strip("."))
            if base.startswith(".") or (has_suffix and suffix not in AUDIO_SUFFIXES):
                ignored += 1
                continue
            file = make_file(prefix + base, os.path.join(parent, base))
            if file.problem == IRREGULAR:
                skipped.append(Skipped(file.name, IRREGULAR))
            elif has_suffix or reading.readable(Path(file.path)):
                files.append(file)
            else:
                ignored += 1
    return sorted(files, key=lambda f: f.name), skipped, ignored


def make_file(name: str, path: str) -> File:
    """The file at `path`, which is called `name` relative to the folder, slashes forward."""
    try:
        status = os.stat(path)
    except OSError as e:
        return File(name, path, {}, f"cannot be read ({e.strerror})")
    stamp = {"name": name, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return File(name, path, stamp, "" if stat.S_ISREG(status.st_mode) else IRREGULAR)
