"""How a recording is cut into overlapping frames: frame j is centred on sample j * hop."""

import numpy as np

from wavenet.glossary import Array


def count(samples: int, hop: int) -> int:
    """Frames of a whole recording: frame j is centred on sample j * hop."""
    return 1 + samples // hop


def padded(wav: Array, first: int, last: int, window: int, hop: int) -> Array:
    """The samples under frames `first` to `last`, the last included, of `window` samples each.

    `wav` may be audio or pcm, and is what comes back. Silence stands for what lies outside it.
    """
    start = first * hop - window // 2
    block = np.zeros((last - first) * hop + window, wav.dtype)
    inside: Array = wav[max(0, start) : max(0, start + len(block))]
    block[max(0, -start) :][: len(inside)] = inside
    return block
