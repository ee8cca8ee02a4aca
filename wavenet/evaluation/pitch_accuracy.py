"""How much of what was played is in tune with what was asked for."""

import numpy as np

from wavenet.glossary import Array

IN_TUNE_CENTS = 50.0


def cents_off(asked: Array, found: Array) -> Array:
    """How far off each frame is that should sound, in cents; NaN where the result is unvoiced.

    Both are (frames, 2) as `audio.pitch` makes them, and what one has more at its end is left out.
    """
    frames = min(len(asked), len(found))
    asked, found = asked[:frames].astype(np.float64), found[:frames]
    cents = np.where(found[:, 1] > 0, 100 * (found[:, 0] - asked[:, 0]), np.nan)
    should_sound: Array = cents[asked[:, 1] > 0]
    return should_sound


def raw_pitch_accuracy(asked: Array, found: Array) -> float:
    """The part of the frames that should sound which is within IN_TUNE_CENTS; NaN if none should.

    This is RPA as in Poliner et al. (2007, Melody Transcription from Music Audio): a frame that is
    unvoiced in the result is wrong.
    """
    off = cents_off(asked, found)
    return float(np.mean(np.abs(off) <= IN_TUNE_CENTS)) if len(off) else float("nan")
