"""Writing files: a name never stands for half a file, and a disk that refuses is one error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wavenet.errors import OutputError

# At the end of a file's name while it is being written.
PARTIAL = ".partial"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, an OSError becomes an OutputError that names `path`."""
    try:
        yield
    except OSError as e:
        reason = f"cannot be written ({e.strerror or e})"
        raise OutputError(path, reason, "everything finished before is intact") from None


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
