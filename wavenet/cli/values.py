"""Values as commands print them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
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


def short_names(folders: Sequence[Path]) -> list[str]:
    """The names of folders, or their paths where names are the same."""
    names = [folder.absolute().name for folder in folders]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else str(folder)
        for name, folder in zip(names, folders, strict=True)
    ]
