"""Which files are recordings: by suffix, and by content where there is none or they are named."""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wavenet.audio import decoders
from wavenet.data.selection import Selection
from wavenet.model.locate import is_run

_SUFFIXES = (
    ".wav .wave .bwf .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 "
    ".voc .sph .nist .sf .ircam .paf .avr .m4a .mp4 .aac .wma .webm .amr .ape .wv .mka"
)
AUDIO_SUFFIXES = frozenset(_SUFFIXES.split())


@dataclass(frozen=True)
class Skipped:
    """One file that was not kept, and why."""

    name: str
    reason: str


class File(NamedTuple):
    """An audio file of the folder, in its present state."""

    name: str  # relative to the folder, slashes forward
    path: str
    size: int  # bytes
    mtime_ns: int


def audio_files(
    recordings: Path | Selection, more_suffixes: Collection[str] = ()
) -> tuple[list[File], list[Skipped], int]:
    """Audio files sorted by name, what was skipped and why, and the number of other files.

    A file in a folder is audio by its suffix, of which there may be more, or without one by its
    content; one that is named itself may be audio whatever its suffix. Skipped are folders that
    cannot be read, files that are not regular, and run folders of this program: what it rendered is
    no recording. Links are followed, but never in circles.
    """
    files: list[File] = []
    skipped: list[Skipped] = []
    ignored = 0
    selection = Selection.of(recordings)
    chosen = set(selection.paths)
    for name, path in _found(selection, skipped):
        base, suffix = os.path.basename(path), os.path.splitext(path)[1].lower()
        has_suffix = bool(suffix.strip("."))
        is_other = suffix not in AUDIO_SUFFIXES and suffix not in more_suffixes
        is_named = name in chosen
        if not is_named and (base.startswith(".") or (has_suffix and is_other)):
            ignored += 1
            continue
        try:
            status = os.stat(path)
            problem = "" if stat.S_ISREG(status.st_mode) else "not a regular file"
        except OSError as e:
            problem = f"cannot be read ({e.strerror})"
        if problem:
            # A named pipe, for one, would block whoever reads it.
            skipped.append(Skipped(name, problem))
        elif is_named or has_suffix or decoders.readable(Path(path)):
            files.append(File(name, path, status.st_size, status.st_mtime_ns))
        else:
            ignored += 1
    return sorted(files), skipped, ignored


def _found(selection: Selection, skipped: list[Skipped]) -> Iterator[tuple[str, str]]:
    """Name and path of every file; what is skipped meanwhile is added to `skipped`."""
    folder, visited = selection.folder, set[str]()

    def skip_unreadable(e: OSError) -> None:
        name = Path(e.filename).relative_to(folder).as_posix()
        skipped.append(Skipped(name, f"folder cannot be read ({e.strerror})"))

    for place in selection.places:
        if not os.path.isdir(place):
            yield place.relative_to(folder).as_posix(), str(place)
            continue
        for parent, folders, names in os.walk(place, onerror=skip_unreadable, followlinks=True):
            real, within = os.path.realpath(parent), Path(parent).relative_to(folder)
            is_ours = is_run(Path(parent))
            if is_ours:
                skipped.append(Skipped(within.as_posix(), "a run of this program, not recordings"))
            if is_ours or real in visited:
                # `os.walk` enters the folders that are left in this list.
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            prefix = "" if within == Path() else f"{within.as_posix()}/"
            for base in names:
                yield prefix + base, os.path.join(parent, base)
