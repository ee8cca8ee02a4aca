"""What is trained on and what is held out."""

from dataclasses import dataclass

TAILS_MIN_SECONDS = 1.0
TAILS_FRACTION = 0.1
FEWEST_FILES = 4  # different recordings needed to hold whole ones out


@dataclass(frozen=True)
class Span:
    """Samples start ... stop of the recording that begins at `offset` in the pcm file, is `length` samples long and has a label."""

    offset: int
    start: int
    stop: int
    length: int
    label: int = 0

    def __len__(self) -> int:
        return self.stop - self.start
