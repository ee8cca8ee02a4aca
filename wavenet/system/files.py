"""Paths as users give them, and writing files: a name never stands for half a file.

A disk that refuses is one error.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wavenet.errors import OutputError, UsageError

# At the end of a file's name while it is being written.
PARTIAL = ".partial"
# Files that a process has open already, or opens while it works: libraries, terminals, pipes.
_OTHER_FILES = 64


def given_path(name: str, given: Any) -> Path:
    """A path that a user gives for parameter `name`; ~ is a home folder. Raises UsageError."""
    if not isinstance(given, str | os.PathLike):
        raise UsageError(name, f"of type {type(given).__name__}", "must be a path")
    if not os.fspath(given):
        # To `Path` it would be the working directory.
        raise UsageError(name, None, "is empty", "name a file or a folder")
    return Path(os.path.expanduser(given))


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is to be written to. Raises OutputError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, an OSError becomes an OutputError that names `path`."""
    try:
        yield
    except OSError as e:
        reason = f"cannot be written ({e.strerror or e})"
        raise OutputError(path, reason, "everything finished before is intact") from None


def exists_already(path: Path) -> OutputError:
    """That a file would be replaced, which nobody asked for."""
    return OutputError(path, "exists already", "`force` overwrites it, or choose another name")


def write_whole(path: Path, content: bytes) -> None:
    """Write `path` atomically: to a file beside it, flushed to the disk, then renamed.

    Raises OutputError.
    """
    partial = path.with_name(path.name + PARTIAL)
    with writing(path):
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def open_at_once(wanted: int) -> int:
    """How many files of `wanted` this process may hold open at once, besides those it has.

    The limit that the user's shell sets is raised as far as the system lets it be.
    """
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        more = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
        return max(1, min(wanted, soft - _OTHER_FILES))
    return wanted
