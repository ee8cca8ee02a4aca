"""Files that hold a score: opened, and read as text."""

from pathlib import Path
from typing import NamedTuple

from wavenet.errors import ScoreError, reason_of

MOST_BYTES = 32_000_000
_BOM_16 = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    """A label in a file, and its times in seconds, before they are checked."""

    # Where in the file it stands, in words.
    where: str
    start: float
    end: float
    label: str


def content(path: Path) -> bytes:
    """All bytes of a file. Raises ScoreError where it cannot be read, is empty or too large."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ScoreError(path, "no such file") from None
    except (OSError, ValueError) as e:
        raise ScoreError(path, f"cannot be read ({reason_of(e)})") from None
    if not raw:
        raise ScoreError(path, "is empty")
    if len(raw) > MOST_BYTES:
        most = f"{MOST_BYTES // 1_000_000} MB"
        raise ScoreError(path, f"is larger than {most}", "is it a file of notes or labels?")
    return raw


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; its lines end in \\n.

    Raises ScoreError.
    """
    raw = content(path)
    encoding = "utf-16" if raw.startswith(_BOM_16) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as e:
        line = 1 + raw.count(b"\n", 0, e.start)
        advice = "save it as text in UTF-8"
        raise ScoreError(f"{path}: line {line}", "not UTF-8 text", advice) from None
    if "\0" in text:
        raise ScoreError(path, "is no text", "save it as text in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
