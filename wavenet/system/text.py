"""Words in messages, and texts that are compared."""

import unicodedata
from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 recording, 2 recordings."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def composed(text: str) -> str:
    """Text in Unicode's composed form, NFC."""
    return unicodedata.normalize("NFC", text)
