"""What is amiss with a recording's samples as they were stored, and what is done about it.

Channels that cancel each other, integers stored as floats, single wild samples, a constant offset.
Each is found in all samples of a recording, at its own rate and before resampling, which would
spread a wild sample over its neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wavenet.glossary import Array, Wav

# Channels whose mean has so much less power than that of unrelated ones cancel each other.
CANCELLING_DB = -15.0
# Up to this peak floats were mixed too loud. What goes beyond it counts the steps of integers.
LOUDEST_FLOAT = 128.0
INTEGER_BITS = (16, 24, 32)
# Wild samples are no more than this, this much louder than all others, and far beyond full scale:
# what lasts for a millisecond is an event, and where all else is silence it is the sound.
WILD_SAMPLES = 10
WILD_FACTOR = 4.0
WILD_PEAK = 2.0
SILENCE = 1e-3
# An offset of the whole recording below this (-40 dBFS) is left as it is.
LEAST_OFFSET = 0.01

# Levels are counted in half decibels from -140 dBFS to what a float can hold.
_STEPS_PER_DB, _LOWEST_DB, _HIGHEST_DB = 2, -140, 780
_LEVELS = (_HIGHEST_DB - _LOWEST_DB) * _STEPS_PER_DB


@dataclass(frozen=True)
class Repair:
    """What is done to a recording's samples: by default nothing but the mean of its channels."""

    channel: int | None = None
    """The only one to take, counted from 0; None for the mean of all."""
    bits: int = 0
    """Samples are integers of so many bits; 0 for floats as they are."""
    limit: float = math.inf
    """What is louder is clipped."""
    offset: float = 0.0
    """It is taken away."""

    def mono(self, samples: Array) -> tuple[Wav, int]:
        """Samples (frames, channels) as float32 (frames,), and how many of them were wild."""
        if self.channel is None:
            # What is not finite is noticed later.
            with np.errstate(all="ignore"):
                wav = samples.mean(axis=1, dtype=np.float32)
        else:
            wav = samples[:, min(self.channel, samples.shape[1] - 1)]
        if self.bits:
            wav = wav * np.float32(2.0 ** (1 - self.bits))
        wild = 0
        if math.isfinite(self.limit):
            wild = int((np.abs(wav) > WILD_FACTOR * self.limit).sum())
            wav = np.clip(wav, -self.limit, self.limit)
        if self.offset:
            wav = wav - np.float32(self.offset)
        return wav, wild


@dataclass
class Statistics:
    """What all samples of a recording have in common, after the repair so far."""

    frames: int = 0
    low: float = math.inf
    high: float = -math.inf
    finite: bool = True
    # Of each channel, and of the mono signal last: sums and sums of squares.
    sums: Array = field(default_factory=lambda: np.zeros(0))
    squares: Array = field(default_factory=lambda: np.zeros(0))
    # How many samples have each level, where that is counted.
    levels: Array | None = None

    def add(self, samples: Array, wav: Wav) -> None:
        """Take in a block: (frames, channels) as stored, and (frames,) as repaired."""
        if not len(wav) or not self.finite:
            return
        low, high = float(wav.min()), float(wav.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            self.finite = False
            return
        self.frames += len(wav)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if samples.shape[1] > 1:
            self._add_channels([*np.ascontiguousarray(samples.T), wav])
        if self.levels is not None:
            steps = _step(np.abs(wav.astype(np.float64)))
            self.levels += np.bincount(steps, minlength=_LEVELS)

    def _add_channels(self, channels: Sequence[Wav]) -> None:
        if len(self.sums) != len(channels):
            # A file that was joined of several may change its channels.
            self.sums, self.squares = np.zeros(len(channels)), np.zeros(len(channels))
        self.sums += [channel.sum(dtype=np.float64) for channel in channels]
        with np.errstate(over="ignore"):
            self.squares += [np.dot(channel, channel) for channel in channels]

    @property
    def peak(self) -> float:
        return max(self.high, -self.low, 0.0)

    @property
    def power(self) -> Array:
        """Of each channel, and of the mono signal last, offsets aside."""
        n = max(1, self.frames)
        power: Array = np.maximum(0, self.squares / n - (self.sums / n) ** 2)
        return power

    def level_below(self, loudest: int) -> float:
        """The level that all but the `loudest` samples keep to, to half a decibel."""
        assert self.levels is not None
        above = np.cumsum(self.levels[::-1])[::-1]
        return _upper_level(np.flatnonzero(above > loudest))

    def level_within(self, limit: float) -> float:
        """The level of the loudest sample up to `limit`, to half a decibel."""
        assert self.levels is not None
        steps = np.flatnonzero(self.levels)
        return _upper_level(steps[steps < _step(limit)])


def _step(level: float | Array) -> Array:
    with np.errstate(divide="ignore"):
        db = 20 * np.log10(level)
    steps: Array = np.clip((db - _LOWEST_DB) * _STEPS_PER_DB, 0, _LEVELS - 1).astype(np.int64)
    return steps


def _upper_level(steps: Array) -> float:
    """Where the last of some ascending steps ends; silence for none."""
    step = int(steps[-1]) + 1 if len(steps) else 0
    return float(10 ** ((step / _STEPS_PER_DB + _LOWEST_DB) / 20))


def counting_levels() -> Statistics:
    return Statistics(levels=np.zeros(_LEVELS, np.int64))


def refined(repair: Repair, statistics: Statistics, offset: float, to_peak: bool) -> Repair:
    """The next thing to do about a recording; the same `repair` when nothing is left.

    `offset` is what its samples are off by. What is beyond full scale, and with `to_peak` a wild
    sample within it, is found where levels were counted.
    """
    if not statistics.finite or not statistics.frames:
        return repair
    power = statistics.power
    if repair.channel is None and len(power) > 1:
        stored = power[:-1]
        unrelated = stored.mean() / len(stored)
        if power[-1] < unrelated * 10 ** (CANCELLING_DB / 10):
            # The first of those that are as loud.
            return replace(repair, channel=int((stored > 0.99 * stored.max()).argmax()))
    if statistics.levels is None:
        if statistics.peak > 1:
            return repair
    elif not repair.bits and not math.isfinite(repair.limit):
        bits, limit = _scale_and_limit(statistics, to_peak)
        if bits or math.isfinite(limit):
            return replace(repair, bits=bits, limit=limit)
    if not repair.offset and abs(offset) > LEAST_OFFSET:
        return replace(repair, offset=round(offset, 6))
    return repair


def _scale_and_limit(statistics: Statistics, to_peak: bool) -> tuple[int, float]:
    """How many bits the integers have, if they are any, and beyond which level samples are wild."""
    usual = statistics.level_below(WILD_SAMPLES)
    bits = 0
    if usual > LOUDEST_FLOAT:
        # Levels are known to half a decibel.
        bits = next((b for b in INTEGER_BITS if usual <= 1.06 * 2.0 ** (b - 1)), 0)
    step = 2.0 ** (1 - bits) if bits else 1.0
    is_far = statistics.peak * step > (SILENCE if to_peak else WILD_PEAK)
    is_wild = is_far and statistics.peak > WILD_FACTOR * usual and usual * step > SILENCE
    limit = step * statistics.level_within(WILD_FACTOR * usual) if is_wild else math.inf
    return bits, limit


def notes(repair: Repair, wild: int) -> list[str]:
    """What was done, a few words each; `wild` counts the samples that were clipped."""
    texts = []
    if repair.channel is not None:
        texts.append(f"channels cancel each other: number {repair.channel + 1} alone was taken")
    if repair.bits:
        texts.append(f"its floats count the steps of {repair.bits}-bit integers: scaled")
    if math.isfinite(repair.limit):
        number = f"{wild} wild samples" if wild > 1 else "a wild sample"
        texts.append(f"{number} clipped")
    if repair.offset:
        texts.append(f"an offset of {repair.offset:+.3f} removed")
    return texts
