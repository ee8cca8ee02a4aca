"""A recording, or frames, on standard input: as a file, because readers go through it twice."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from wavenet.errors import AudioError, UsageError, WavenetError, printable
from wavenet.system import interrupts
from wavenet.system.files import writing

# What stands for standard input, and for standard output.
DASH = Path("-")
NAME = "standard input"
# The other name that a shell's users know it by.
_DEVICE = Path("/dev/stdin")
# How a file of frames begins.
_NPY = b"\x93NUMPY"


def is_meant(path: Path | None) -> bool:
    """Whether a path stands for standard input."""
    return path in (DASH, _DEVICE)


@contextmanager
def as_file(wanted: bool, parameter: str) -> Iterator[Path | None]:
    """Inside, a file with what comes on standard input; None unless it is `wanted`.

    Raises UsageError for a terminal, AudioError for nothing at all, OutputError for a full disk.
    """
    if not wanted:
        yield None
        return
    # None after `<&-`.
    stdin: TextIO | None = sys.stdin
    if stdin and stdin.isatty():
        reason = "standard input is a terminal"
        raise UsageError(parameter, DASH, reason, "pipe a recording into it, or name a file")
    head = stdin.buffer.read(len(_NPY)) if stdin else b""
    if not stdin or not head:
        raise AudioError(NAME, "is empty")
    interrupts.raise_exceptions()
    with TemporaryDirectory(prefix="wavenet-") as folder:
        copy = Path(folder) / ("stdin.npy" if head == _NPY else "stdin")
        with writing(copy), open(copy, "wb") as file:
            file.write(head)
            shutil.copyfileobj(stdin.buffer, file)
        yield copy


def shown(path: Path, copy: Path | None) -> str:
    """What lines call a path, where `copy` is that of standard input."""
    return NAME if path == copy else printable(path)


@contextmanager
def named(copy: Path | None) -> Iterator[None]:
    """Inside, errors about the copy are about standard input."""
    try:
        yield
    except WavenetError as e:
        if copy and str(e.subject) == str(copy):
            e.subject = NAME
        raise
