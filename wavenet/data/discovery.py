"""Which files of a folder are recordings, by name and where there is no suffix by content."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wavenet.audio import reading
from wavenet.data import decoding

READABLE = ".wav .wave .bwf .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .sph .nist .sf .ircam .paf .avr"
AUDIO_SUFFIXES = frozenset(f"{READABLE} {decoding.UNREADABLE}".split())
IRREGULAR = "not a regular file"  # a named pipe would keep us waiting


@dataclass(frozen=True)
class Skipped:
    """One file that was not kept, and why."""

    name: str
    reason: str


class File(NamedTuple):
    """An audio file of the folder, as it lies there now."""

    name: str
    path: str
    stamp: dict[str, Any]  # what an entry of the index says of it while it is the same
    problem: str = ""


def audio_files(folder: Path) -> tuple[list[File], list[Skipped], int]:
    """Audio files by suffix (without one, by content) in a fixed order; folders that cannot be read; how many other files there are.

    Follows links, but never in circles. A run of ours is left alone: what it rendered is no recording.
    """
    files: list[File] = []
    closed: list[Skipped] = []
    ignored = 0
    seen: set[str] = set()

    def unreadable(e: OSError) -> None:
        leave(
            Path(e.filename).relative_to(folder).as_posix(), f"folder cannot be read ({e.strerror})"
        )

    def leave(name: str, reason: str) -> None:
        closed.append(Skipped(name, reason))

    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real, within = os.path.realpath(parent), Path(parent).relative_to(folder)
        ours = "config.toml" in names and "checkpoints" in folders
        if ours:
            leave(within.as_posix(), "a run of this program, not recordings")
        if ours or real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        prefix = "" if within == Path() else f"{within.as_posix()}/"
        for base in names:
            suffix = os.path.splitext(base)[1].lower()
            if base.startswith(".") or (suffix.strip(".") and suffix not in AUDIO_SUFFIXES):
                ignored += 1
                continue
            file = make_file(prefix + base, os.path.join(parent, base))
            if file.problem == IRREGULAR:
                leave(file.name, IRREGULAR)
            elif suffix.strip(".") or reading.readable(Path(file.path)):
                files.append(file)
            else:
                ignored += 1
    return sorted(files, key=lambda f: f.name), closed, ignored


def make_file(name: str, path: str) -> File:
    try:
        found = os.stat(path)
    except OSError as e:
        return File(name, path, {}, f"cannot be read ({e.strerror})")
    problem = "" if stat.S_ISREG(found.st_mode) else IRREGULAR
    return File(
        name, path, {"name": name, "size": found.st_size, "mtime_ns": found.st_mtime_ns}, problem
    )
