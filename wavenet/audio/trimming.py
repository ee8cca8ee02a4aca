"""Where a recording's sound begins and ends: the rule by which silence at its ends is trimmed.

Levels are measured in pieces of 20 ms. A piece is sound when its level is within `trim_db` of the
loudest piece's. What is kept reaches from a margin before the first sound to a margin after the
last; silence between sounds stays.

`levels.measure` measures the pieces and asks here. `Config.trims` decides whether to trim at all.
Whoever changes the rule raises `VERSION` in `wavenet.data.decoding`, for the cache holds
recordings as they were trimmed.
"""

import numpy as np

from wavenet.glossary import Array

# No piece below this level counts as sound, however quiet the whole recording is.
SILENCE_DBFS = -70.0

# Kept before the first and after the last sound, since onsets and decays are soft.
MARGIN_SECONDS = 0.05


def sound_extent(
    levels_db: Array, piece_samples: int, samples: int, sample_rate: int, trim_db: float
) -> tuple[int, int]:
    """Where the kept part `wav[start:stop]` of a recording starts and stops, in samples.

    `levels_db` (pieces,) is the level in dBFS of each successive piece of `piece_samples`; the last
    piece may be shorter. `samples` is the recording's length. Without any sound all of it is kept.
    """
    threshold = max(float(levels_db.max()) - trim_db, SILENCE_DBFS)
    sounding = np.flatnonzero(levels_db >= threshold)
    if not len(sounding):
        return 0, samples
    margin = round(MARGIN_SECONDS * sample_rate)
    start = int(sounding[0]) * piece_samples - margin
    stop = (int(sounding[-1]) + 1) * piece_samples + margin
    return max(0, start), min(samples, stop)
