"""What commands leave: JSON on standard output, and files that replace no others unasked."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from wavenet.cli import terminal
from wavenet.errors import OutputError, WavenetError
from wavenet.system import interrupts
from wavenet.system.files import exists_already, writing

if TYPE_CHECKING:
    from wavenet.analysis.text import Glyphs

Source = TypeVar("Source")
Read = TypeVar("Read")
# What pictures are drawn as.
PICTURES = (".png", ".svg", ".pdf")


def print_json(value: Any) -> None:
    """Print a value, with null for numbers that are not finite, which JSON has not."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    typer.echo(json.dumps(finite, indent=1))


def iso_time(seconds: float) -> str:
    """A time, given in seconds since 1970, as JSON has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


@contextmanager
def unread_is_fine() -> Iterator[None]:
    """Inside, whoever stops reading standard output, as `head` does, does not end the command.

    What is printed from then on is discarded. While standard output carries data, it is the end.
    """
    try:
        yield
    except BrokenPipeError:
        if terminal.verbosity.status_aside:
            raise
        # With what is left in the buffer, which would fail again at the end.
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())


def read_each(sources: Iterable[Source], read: Callable[[Source], Read]) -> tuple[list[Read], int]:
    """What `read` makes of those sources that it can, and how many it cannot.

    Of several each that it cannot gets its line. Raises WavenetError for the only one, and
    typer.Exit where nothing is left.
    """
    sources, made = list(sources), list[Read]()
    for source in sources:
        try:
            made.append(read(source))
        except WavenetError as e:
            if len(sources) == 1:
                raise
            terminal.warn(f"wavenet: {e}")
    if sources and not made:
        raise typer.Exit(1)
    return made, len(sources) - len(made)


def identity(path: Path) -> object:
    """What all names of a file have in common, links to it among them."""
    try:
        about = path.stat()
    except OSError:
        return path.resolve()
    return about.st_dev, about.st_ino


def check_new(path: Path, force: bool) -> None:
    """Raise OutputError for a file that is there already, unless it is to be replaced."""
    if path.is_dir():
        raise OutputError(path, "is a folder", "name a file")
    if path.exists() and not force:
        raise exists_already(path)


def picture(out: str, name: str, force: bool) -> Path:
    """The new file that a picture goes to: a `name` in a folder; a PNG unless its suffix says else.

    Raises OutputError for another kind of file or standard output, and as `check_new`.
    """
    if out == "-":
        raise OutputError("standard output", "takes no picture", f"name a file, as {name}")
    path = Path(out)
    if path.is_dir() or out.endswith(("/", os.sep)):
        path = path / name
    if not path.suffix:
        path = path.with_name(path.name + PICTURES[0])
    if path.suffix.lower() not in PICTURES:
        kinds = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        reason = f"a picture is drawn as {kinds}"
        raise OutputError(path, reason, f"name it {path.stem or 'picture'}.png")
    check_new(path, force)
    return path


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is to lie in. Raises OutputError."""
    # From here on, something may be half done.
    interrupts.raise_exceptions()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def glyphs() -> "Glyphs":
    """What drawings on standard output are made of: not every output can hold more than ASCII."""
    from wavenet.analysis.text import FINE, PLAIN

    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return FINE if is_utf8 else PLAIN
