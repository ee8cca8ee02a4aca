"""Words in messages."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 recording, 2 recordings."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
