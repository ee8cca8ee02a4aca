"""How wide the terminal is."""

import os
from typing import TextIO


def columns(stream: TextIO) -> int | None:
    """The width of the terminal that a stream is; COLUMNS goes before.

    None where lines may be of any length, because the stream is no terminal.
    """
    if (given := os.environ.get("COLUMNS", "")).isdecimal() and int(given):
        return int(given)
    try:
        # Some terminals say 0.
        return os.get_terminal_size(stream.fileno()).columns or 80 if stream.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None
