"""What commands leave: JSON on standard output, and files that replace no others unasked."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from wavenet.errors import OutputError
from wavenet.system import interrupts
from wavenet.system.files import writing

if TYPE_CHECKING:
    from wavenet.analysis.text import Glyphs

# What pictures are drawn as.
PICTURES = (".png", ".svg", ".pdf")


def print_json(value: Any) -> None:
    """Print a value, with null for numbers that are not finite, which JSON has not."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    typer.echo(json.dumps(finite, indent=1))


def check_new(path: Path, force: bool) -> None:
    """Raise OutputError for a file that is there already, unless it is to be replaced."""
    if path.is_dir():
        raise OutputError(path, "is a folder", "name a file")
    if path.exists() and not force:
        raise OutputError(path, "exists already", "`force` overwrites it, or choose another name")


def picture(out: str, name: str, force: bool) -> Path:
    """The new file that a picture goes to: a `name` in a folder; a PNG unless its suffix says else.

    Raises OutputError for another kind of file, and as `check_new`.
    """
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
