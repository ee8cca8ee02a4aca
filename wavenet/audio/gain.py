"""16-bit samples played louder or softer."""

import numpy as np

from wavenet.glossary import Array


def peak(pcm: Array) -> int:
    """The loudest of int16 samples (any shape), at least 1."""
    return int(np.abs(pcm.astype(np.int32)).max(initial=1))


def scaled(pcm: Array, gain: float) -> Array:
    """int16 samples times a gain, rounded and clipped to 16 bits."""
    if gain == 1:
        return pcm
    louder = np.rint(pcm * np.float32(gain))
    return np.clip(louder, -32768, 32767).astype(np.int16)
