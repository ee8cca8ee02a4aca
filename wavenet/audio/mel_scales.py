"""Scales of mel frames: how those of other programs become ours, and how they are recognised.

Ours are natural logarithms of mel magnitudes. Needs NumPy alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wavenet.glossary import Array

# A band's magnitude is clamped to this from below before the logarithm.
MIN_MAGNITUDE = 1e-5

# What silence gives in every band.
FLOOR = math.log(MIN_MAGNITUDE)

LN_10 = math.log(10)
# A band of power is larger than the square of the band of magnitudes, beyond the sum of its
# weights, by as much as the spectrum varies within it: 0.10 to 0.15 (median of speech, music and
# drums; 0.24 to 0.28 of single instruments), of natural logarithms of magnitude.
POWER_EXCESS = 0.12
# Fewer frames say nothing of how values are distributed.
FEWEST_FRAMES = 40
# Frames of a file that its scale is judged by, spread over it.
MOST_FRAMES = 4096
# Values above the floor that a distribution is told from.
FEWEST_VALUES = 100


class Scale(NamedTuple):
    """What the numbers of a frame are. `log` makes natural logarithms of them."""

    noun: str
    log: Callable[[Array], Array]
    of_power: bool = False
    # Of magnitudes themselves, which are never below 0.
    positive: bool = False


def _log(x: Array) -> Array:
    # Far below the floor, of magnitudes and of powers.
    logs: Array = np.log(np.maximum(x, 1e-20))
    return logs


SCALES: dict[str, Scale] = {
    "ln": Scale("natural logarithms", lambda x: x),
    "log10": Scale("base-10 logarithms", lambda x: LN_10 * x),
    "db": Scale("decibels", lambda x: LN_10 / 20 * x),
    "log1p": Scale("logarithms of 1 + magnitude", lambda x: _log(np.expm1(x)), positive=True),
    "linear": Scale("magnitudes", _log, positive=True),
    "ln-power": Scale("natural logarithms of power", lambda x: x, of_power=True),
    "log10-power": Scale("base-10 logarithms of power", lambda x: LN_10 * x, of_power=True),
    "db-power": Scale("decibels of power", lambda x: LN_10 / 10 * x, of_power=True),
    "power": Scale("powers", _log, of_power=True, positive=True),
}


def converted(frames: Array, scale: str, window_seconds: float) -> Array:
    """Frames of one of SCALES as ours: float32, at least FLOOR.

    Exact but for those of power, whose bands sum squares: they come within about 1 dB. Slaney bands
    are assumed, whose weights sum to the length of the window in seconds.
    """
    logs = SCALES[scale].log(np.asarray(frames, np.float64))
    if SCALES[scale].of_power:
        logs = (logs + math.log(window_seconds)) / 2 - POWER_EXCESS
    frames = np.maximum(logs, FLOOR)
    return frames.astype(np.float32)


def shifted(frames: Array, offset_hops: float) -> Array:
    """Frames (n, bands) of which the first is centred `offset_hops` after the start, as ours.

    Between two frames lies what lies on a straight line; before the first it is the first, after
    the last the last.
    """
    if not offset_hops:
        return frames
    place = np.clip(np.arange(len(frames)) - offset_hops, 0, len(frames) - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (place - before)[:, None]
    between: Array = (1 - share) * frames[before] + share * frames[after]
    return between.astype(np.float32)


def louder(frames: Array, log_gain: float) -> Array:
    """Our frames of the same sound times a gain, whose natural logarithm is given: float32."""
    frames = np.asarray(frames, np.float32)
    if not log_gain:
        return frames
    moved: Array = np.where(frames > FLOOR, frames + np.float32(log_gain), frames)
    return np.maximum(moved, np.float32(FLOOR))


@dataclass(frozen=True)
class MelStatistics:
    """How the values of natural log-mel frames are distributed, those at the floor left out."""

    low: float
    """5 % lie below."""

    middle: float
    """The median."""

    high: float
    """5 % lie above."""

    roughness: float
    """How far a band lies off the middle of its two neighbours, twice: the lower quartile."""

    @property
    def spread(self) -> float:
        return self.high - self.low


# Of 300 recordings of speech, music, instruments and drums, in bands of 4.6 frequencies.
GENERAL = MelStatistics(low=-8.7, middle=-5.2, high=-2.2, roughness=0.25)
# Of natural logarithms in as many bands that nobody smoothed, none measured was less rough.
MOST_EVEN = 0.168
# Bands of more frequencies are smoother.
MOST_BINS = 4.8


def statistics(frames: Array) -> MelStatistics | None:
    """Those of frames (n, bands); None where next to nothing lies above the floor."""
    floor = max(FLOOR, float(frames.min()))
    values = frames[frames > floor + 1e-3]
    if len(values) < FEWEST_VALUES:
        return None
    low, middle, high = np.percentile(values, (5, 50, 95))
    found = (low, middle, high, _roughness(frames, floor))
    return MelStatistics(*(round(float(value), 3) for value in found))


def _roughness(frames: Array, floor: float) -> float:
    """Lower quartile of the second differences between columns, where nothing is at the floor."""
    above = frames > floor + 1e-3
    bend = np.abs(frames[:, 2:] - 2 * frames[:, 1:-1] + frames[:, :-2])
    bend = bend[above[:, 2:] & above[:, 1:-1] & above[:, :-2]]
    return float(np.percentile(bend, 25)) if len(bend) else 0.0


class Foreign(NamedTuple):
    """What frames look like that are not ours, and what to do about it."""

    noun: str
    advice: str


DECIBELS = Foreign("decibels", "add `mel_scale` db, or db-power for those of power")
BASE_10 = Foreign("base-10 logarithms", "add `mel_scale` log10")
MAGNITUDES = Foreign(
    "magnitudes", "add `mel_scale` linear, or log1p if they are log(1 + magnitude)"
)
POWERS = Foreign("powers", "add `mel_scale` power")
# The constants are those of r9y9's wavenet_vocoder and of Tacotron-2 after it.
_DB = "are decibels, for `mel_scale` db"
ZERO_ONE = Foreign(
    "values scaled to 0 ... 1",
    f"undo that: with min_level_db -100 and ref_level_db 20, 100 x - 80 {_DB}",
)
PLUS_MINUS_4 = Foreign(
    "values scaled to -4 ... 4",
    f"undo that: with min_level_db -100 and ref_level_db 20, 12.5 x - 30 {_DB}",
)
NORMALISED = Foreign(
    "values normalised by mean and variance",
    "undo that: multiply by the standard deviation and add the mean that they were normalised with "
    f"(of -4 ... 4 with min_level_db -100 and ref_level_db 20, 12.5 x - 30 {_DB})",
)


def recognise(
    frames: Array, trained: MelStatistics | None = None, bins_per_band: float = 4.6
) -> Foreign | None:
    """What frames (n, bands) look like; None for natural logarithms of mel magnitudes.

    `trained` are the statistics of what the model was trained on, `bins_per_band` the frequencies
    that a band covers in the mean. What cannot be told from natural logarithms at some level, with
    some floor or smoothed, is let through: logarithms of power, and of the others some.
    """
    start = max(0, len(frames) - MOST_FRAMES) // 2
    some = np.asarray(frames[start : start + MOST_FRAMES], np.float64)
    low, high = float(some.min()), float(some.max())
    if low >= 0:
        return _recognise_positive(some)
    at_low = np.count_nonzero(some < low + 2e-3) / some.size
    decades = low / LN_10
    # Clamped at a power of ten before the natural logarithm.
    is_clamped = at_low > 0.005 and abs(decades - round(decades)) < 5e-3
    if (low < 2 * FLOOR - 0.5 and not is_clamped) or high > 9:
        return DECIBELS
    if abs(low + 4) < 2e-3 and high < 4.001 and at_low > 0.005 and high > low + 1e-3:
        return PLUS_MINUS_4
    values = statistics(some)
    if values is None or len(some) < FEWEST_FRAMES:
        return None
    if is_clamped and values.middle < -0.75:
        return None
    typical = trained or GENERAL
    highest = max(-0.5 if values.roughness < MOST_EVEN else 0.3, typical.middle + 1.5)
    if values.middle > highest or np.abs(some.mean(axis=0)).max() < 0.1:
        # No sound is that loud, or as loud in all bands.
        return NORMALISED
    if trained is None and bins_per_band > MOST_BINS:
        return None
    if values.middle < -5 or not _is_compressed(some, values, typical, trained is not None):
        return None
    is_high = values.low > -3 and values.middle > typical.middle + 3
    return NORMALISED if is_high else BASE_10


def _recognise_positive(frames: Array) -> Foreign:
    """Numbers from 0 up: no logarithms."""
    high, middle = float(frames.max()), float(np.median(frames))
    if high < 1.0001 and middle > 0.04 * high:
        return ZERO_ONE
    positive = frames[frames > 1e-10]
    low, high = np.percentile(np.log(positive), (5, 95)) if len(positive) else (0.0, 0.0)
    # The logarithms of a sound's powers spread over 10 to 18, those of its magnitudes over 5 to 9.
    return POWERS if high - low > 9.5 else MAGNITUDES


def _is_compressed(
    frames: Array, values: MelStatistics, typical: MelStatistics, is_known: bool
) -> bool:
    """Whether values differ too little for natural logarithms of the `typical` kind of sound.

    To base 10 they spread 0.43 times as far and are 0.43 times as rough, which no level changes.
    The noise in any sound makes frames rough; those of acoustic models are smooth but spread as
    far, and those of stationary noise spread little but are rough. `is_known` says that the model
    was trained on that kind.
    """
    # To base 10 the floor is at -5: what lies below is silence.
    clamped = np.maximum(frames, -6.0)
    if (loud := statistics(clamped)) is None:
        return False
    spread, rough = loud.spread / typical.spread, values.roughness / max(typical.roughness, 1e-3)
    in_time = _roughness(clamped.T, float(clamped.min()))
    is_smooth = loud.roughness < 0.024 * loud.spread or in_time < max(
        0.035, 0.016 * loud.spread, 0.42 * loud.roughness
    )
    # 22 dB louder than what was trained on is a sign of its own.
    is_louder = is_known and values.middle > typical.middle + 2.5
    most, roughest = (0.8, MOST_EVEN) if is_louder else (0.6, 0.15)
    if not is_smooth and values.roughness < roughest and max(rough, spread) < most:
        return True
    if not is_known or spread > 0.5:
        return False
    if typical.roughness > 0.3:
        # Sustained tones are smooth in time, and rough from band to band.
        return 0.36 < rough < 0.55 and in_time < 0.085 and values.middle > typical.middle + 2
    moves = float(np.median(clamped.std(axis=0)))
    is_narrow = spread < 0.45 and moves > 0.55 and values.low > -5.3
    return is_narrow and 0.02 < loud.roughness < 0.3 * typical.roughness
