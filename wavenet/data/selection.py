"""What to train on or to score: a folder of recordings, or some of the files and folders in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from wavenet.errors import CorpusError, UsageError

# Paths that are named before the rest is counted.
PATHS_SHOWN = 3


@dataclass(frozen=True)
class Selection:
    """A folder of recordings, or some of the files and folders in it."""

    folder: Path
    # What is chosen, sorted and relative to the folder, slashes forward; () is all of it.
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Union[Path, Sequence[Path], "Selection"]) -> "Selection":
        """What a user names: a folder, a file, or several of either.

        Several lie in the deepest folder around them all, and what lies in another of them is
        left out. Raises CorpusError for one that is not there, UsageError for none.
        """
        if isinstance(given, Selection):
            return given
        named = [given] if isinstance(given, str | os.PathLike) else given
        paths = [Path(path).expanduser() for path in named]
        if not paths:
            raise UsageError("folder", None, "names no recordings")
        for path in paths:
            _require(path)
        if len(paths) > 1:
            paths = _apart(paths)
        if len(paths) == 1 and os.path.isdir(paths[0]):
            return cls(paths[0])
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        return cls(folder, tuple(sorted(path.relative_to(folder).as_posix() for path in paths)))

    @property
    def places(self) -> list[Path]:
        """The files and folders themselves."""
        return [self.folder / path for path in self.paths] or [self.folder]

    def require(self) -> None:
        """Raise CorpusError unless all of it is there."""
        if not (self.paths or os.path.isdir(self.folder)):
            raise CorpusError(self.folder, "no such folder")
        for path in self.places:
            _require(path)

    @property
    def subject(self) -> Path | str:
        """What an error names: the path of a single one."""
        return self.places[0] if len(self.paths) < 2 else str(self)

    def __str__(self) -> str:
        if len(self.paths) < 2:
            return str(self.places[0])
        more = len(self.paths) - PATHS_SHOWN
        shown = ", ".join(self.paths[:PATHS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return shown if self.folder == Path() else f"{shown} in {self.folder}"


def _require(path: Path) -> None:
    if not os.path.exists(path):
        raise CorpusError(path, "no such file or folder")


def _apart(paths: Sequence[Path]) -> list[Path]:
    """The paths, without those that lie in another one; all absolute, or all relative."""
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        # Links keep their own names, which labels may come from.
        paths = [path.resolve() if ".." in path.parts else path.absolute() for path in paths]
    given = set(paths)
    return [path for path in dict.fromkeys(paths) if not given.intersection(path.parents)]
