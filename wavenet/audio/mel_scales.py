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
# A scale is told from half a second and more, of a long file from its middle.
FEWEST_FRAMES, MOST_FRAMES = 30, 4096
# Natural logarithms lie between these: some programs clamp to 1e-12 before.
LOWEST, HIGHEST = -28.0, 9.0
# The median of decibels scaled to 0 ... 1 lies above this, that of magnitudes below.
SCALED_MEDIAN = 0.04
# The largest 5 % are about 40 times the median of magnitudes, and 1500 times that of powers.
POWERS_RANGE = 200
# No sound's median is above this and 15 dB above the loudest 5 % of what was trained on.
LOUDEST, LOUDER = -1.0, 1.75
# To base 10, spread and roughness are 0.43 times as large: about half way to that, as a factor.
WITHIN = 1.45


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
    """How the values of log-mel frames are distributed, those at the floor left out."""

    middle: float
    """The median."""

    high: float
    """5 % lie above."""

    roughness: float
    """The lower quartile of second differences from band to band."""

    roughness_in_time: float
    """The same from frame to frame."""


# Of a model that says nothing of its frames: speech, as rough as the smoothest sounds (rain, wind).
GENERAL = MelStatistics(middle=-5.2, high=-2.0, roughness=0.2, roughness_in_time=0.18)


def statistics(frames: Array) -> MelStatistics | None:
    """Those of frames (n, bands); None where nothing lies above the floor."""
    above = frames > max(FLOOR, float(frames.min())) + 1e-3
    if not above.any():
        return None
    middle, high = np.percentile(frames[above], (50, 95))
    found = (middle, high, _roughness(frames.T, above.T), _roughness(frames, above))
    return MelStatistics(*(round(float(value), 3) for value in found))


def _roughness(x: Array, above: Array) -> float:
    """Lower quartile of the second differences between rows, where nothing is at the floor."""
    bend = np.abs(np.diff(x, 2, axis=0))[above[2:] & above[1:-1] & above[:-2]]
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


def recognise(frames: Array, trained: MelStatistics | None = None) -> Foreign | None:
    """What frames (n, bands) look like; None for natural logarithms of mel magnitudes.

    `trained` are the statistics of what the model was trained on. What cannot be told from natural
    logarithms at some level, with some floor or smoothed, is let through: logarithms of power, and
    of the others some.
    """
    start = max(0, len(frames) - MOST_FRAMES) // 2
    some = np.asarray(frames[start : start + MOST_FRAMES], np.float64)
    low, high = float(some.min()), float(some.max())
    if low >= 0:
        return _recognise_positive(some)
    if np.abs(some.mean(axis=0)).max() < 0.1:
        # No sound is as loud in all bands.
        return NORMALISED
    decades = low / LN_10
    if abs(decades - round(decades)) < 1e-3:
        # The floor is the natural logarithm of a power of ten.
        return None
    if low < LOWEST or high > HIGHEST:
        return DECIBELS
    if abs(low + 4) < 1e-4 and high < 4.0001:
        # What is silent is clamped to -4 exactly.
        return PLUS_MINUS_4
    values = statistics(some)
    if values is None or len(some) < FEWEST_FRAMES:
        return None
    typical = trained or GENERAL
    if values.middle > max(LOUDEST, typical.high + LOUDER):
        return NORMALISED
    return BASE_10 if _is_base_10(values, typical) else None


def _recognise_positive(frames: Array) -> Foreign:
    """Numbers from 0 up: no logarithms."""
    positive = frames[frames > 0]
    middle, high = np.percentile(positive, (50, 95)) if len(positive) else (0.0, 0.0)
    if frames.max() < 1.0001 and middle > SCALED_MEDIAN:
        return ZERO_ONE
    return POWERS if high > POWERS_RANGE * middle else MAGNITUDES


def _is_base_10(values: MelStatistics, typical: MelStatistics) -> bool:
    """Whether values times ln 10 are about as high, as spread and as rough as is typical.

    Frames that an acoustic model has smoothed are less rough than that in either scale.
    """
    rough = (
        (values.roughness, typical.roughness),
        (values.roughness_in_time, typical.roughness_in_time),
    )
    return (
        LN_10 * values.middle > WITHIN * typical.middle
        and LN_10 * (values.high - values.middle) < WITHIN * (typical.high - typical.middle)
        and all(usual / WITHIN < LN_10 * its < WITHIN * usual for its, usual in rough)
    )
