"""Values as commands print them."""

from typing import Any

from wavenet.cli import terminal

# Of a setting's value in a table.
_CHARACTERS = 24


def duration(seconds: float) -> str:
    """90 -> '1:30', 4000 -> '1:06:40'; below a minute, '12.3 s'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def short(value: Any, characters: int = _CHARACTERS) -> str:
    """A setting's value as a table shows it: cut short, without --verbose."""
    from wavenet.config.reference import shown

    text = shown(value)
    if terminal.verbosity.verbose or len(text) <= characters:
        return text
    return f"{text[: characters - 3]}..."
