"""Frames of one recording that are not computed from its audio where they are used."""

from typing import Protocol

from wavenet.glossary import Array


class Track(Protocol):
    """Frames of one recording: of a file beside it, or extracted from it."""

    @property
    def sha256(self) -> str:
        """Of the file that they lie in; "" of what is extracted."""

    def rows(self, low: int, high: int) -> Array:
        """Frames `low` to `high` - 1, float32 (frames, columns); beyond the ends the outer ones."""
