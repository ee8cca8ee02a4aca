"""What carries conditioning."""

from typing import Any

FOREVER = 1 << 62  # samples: the hop of a label, which never changes
_MIDDLE, _SPREAD = -5.0, 3.0  # of natural log-mels in speech and music, near enough


def scaled(frames: Any) -> Any:
    """Log-mels -> numbers of about unit size."""
    return (frames - _MIDDLE) / _SPREAD
