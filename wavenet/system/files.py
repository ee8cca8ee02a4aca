"""Writing files: a name never stands for half a file, and a disk that refuses is one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wavenet.errors import OutputError

PARTIAL = ".partial"  # at the end of a name: not whole yet


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system says while `path` is written becomes an OutputError that names it."""
    try:
        yield
    except OSError as e:
        raise OutputError(
            f"{path}: cannot be written ({e.strerror or e}); everything finished before is intact"
        ) from None


def write_whole(path: Path, content: bytes) -> None:
    """Write atomically: to a neighbour first, flushed to the disk, then renamed over `path`. Raises OutputError."""
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
