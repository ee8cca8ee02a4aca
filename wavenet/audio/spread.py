"""How loudness is spread in recordings of one instrument: what a model that follows it was shown.

Loudness is in dB, frame by frame, and so are all levels here.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from wavenet.errors import CorpusError
from wavenet.glossary import Array

# In percent, of loudness while something sounds.
LOW, MIDDLE, HIGH = 5, 50, 95
# Much of a pause is the tail of the note before it, so silence is what its quieter part has.
PAUSE = 25
# A rise or a fall of less may be vibrato.
LEAST_FALL_DB = 15.0
LEAST_RISE_DB = 20.0
# Between these levels below its peak a rise is timed. An amplitude that grows in proportion to time
# takes this part of its rise from the one to the other.
RISE_FROM_DB, RISE_TO_DB = 15.0, 6.0
RISE_PART = 10 ** (-RISE_TO_DB / 20) - 10 ** (-RISE_FROM_DB / 20)
# A rise is over after so long, and begins from a pause so shortly before.
RISE_SECONDS, PAUSE_SECONDS = 0.3, 0.05
# Steps below this, in dB a frame, end a fall.
_LEVEL_STEP_DB = 0.3


@dataclass(frozen=True)
class Spread:
    """Loudness in recordings, in dB: percentiles while something sounds, and how notes come and go.

    low, middle, high   5, 50 and 95 % of loudness while something sounds
    silence             between notes
    attack              seconds in which the amplitude of a note rises
    release             dB a second by which it falls after its end
    """

    low: float
    middle: float
    high: float
    silence: float
    attack: float = 0.1
    release: float = 250.0

    def rounded(self) -> "Spread":
        """The same to three decimals, as files keep it."""
        return Spread(*(round(value, 3) for value in astuple(self)))


def measured(
    loudness: Sequence[Array], sounding: Sequence[Array], frame_seconds: float, floor: float = -80.0
) -> Spread:
    """The spread of recordings, of each the loudness (frames,) and whether it sounds (frames,).

    A frame lasts `frame_seconds`; loudness below `floor` counts as that. Attack and release keep
    their ordinary values where no note begins, or ends, at a pause. Raises CorpusError when nothing
    sounds.
    """
    levels = [np.maximum(np.asarray(x, np.float64), floor) for x in loudness]
    sounds = [np.asarray(s, bool) for s in sounding]
    heights = np.concatenate([x[s] for x, s in zip(levels, sounds, strict=True)])
    pauses = np.concatenate([x[~s] for x, s in zip(levels, sounds, strict=True)])
    if not heights.size:
        raise CorpusError("", "nothing sounds in these recordings")
    low, middle, high = (float(p) for p in np.percentile(heights, (LOW, MIDDLE, HIGH)))
    silence = float(np.percentile(pauses, PAUSE)) if pauses.size else float(heights.min())
    rises = np.concatenate([_rises(x, frame_seconds) for x in levels])
    falls = np.concatenate([_falls(x, low - LEAST_FALL_DB) for x in levels])
    attack = float(np.median(rises)) if rises.size else Spread.attack
    release = float(np.median(falls)) / frame_seconds if falls.size else Spread.release
    return Spread(low, middle, high, silence, attack, release)


def _rises(level: Array, frame_seconds: float) -> Array:
    """Seconds of each rise out of a pause, as long as a rise in proportion to time would be."""
    ahead = max(2, round(RISE_SECONDS / frame_seconds))
    behind = round(PAUSE_SECONDS / frame_seconds)
    found = []
    for i in range(len(level) - ahead):
        part = level[i : i + ahead]
        peak = part.max()
        begins = part[0] < peak - RISE_FROM_DB <= part[1]
        if begins and level[max(0, i - behind) : i + 1].min() < peak - LEAST_RISE_DB:
            found.append(_crossing(part, peak - RISE_TO_DB) - _crossing(part, peak - RISE_FROM_DB))
    return np.array(found) * frame_seconds / RISE_PART


def _crossing(level: Array, height: float) -> float:
    """Where a level that begins below a height first reaches it, in frames and parts of them."""
    after = int(np.argmax(level >= height))
    return float(after - (level[after] - height) / (level[after] - level[after - 1]))


def _falls(level: Array, lowest: float) -> Array:
    """dB a frame of each fall without a stop that begins above `lowest`."""
    falling = np.diff(level) < -_LEVEL_STEP_DB
    edges = np.flatnonzero(np.diff(np.r_[False, falling, False].astype(int))).reshape(-1, 2)
    fall, length = level[edges[:, 0]] - level[edges[:, 1]], edges[:, 1] - edges[:, 0]
    taken = (fall > LEAST_FALL_DB) & (level[edges[:, 0]] > lowest)
    return np.asarray(fall[taken] / length[taken])
