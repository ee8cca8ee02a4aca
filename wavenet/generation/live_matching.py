"""Pitch and loudness brought into a model's range while they come, by what has come so far."""

from collections import deque

import numpy as np

from wavenet.audio.spread import Spread
from wavenet.generation.matching import OCTAVE, OCTAVES, inside, octaves_into
from wavenet.glossary import Array

# The length of a history of frames, and how far apart those in it are.
HISTORY_SECONDS, STEP_SECONDS = 10.0, 0.01
# Frames of the median filter of a pitch, of which one alone may be an octave off.
MEDIAN_FRAMES = 3
# While its history is shorter, a note may still move to another octave.
FIRST_SECONDS = 0.1
# A note is another one once its pitch is so far from it, in semitones.
OTHER_NOTE = 0.6
# The noise gate lies so far above the noise, a percentile of all levels, and never lower than the
# quietest level that is followed, in dB. Without pauses that is a level of soft notes, so for what
# is voiced it is at least so far below the loudest.
NOISE_PERCENTILE, ABOVE_NOISE_DB, QUIETEST_DB, BELOW_LOUDEST_DB = 5, 6.0, -75.0, 25.0


class LivePitch:
    """Notes of a range `trained` on, for a pitch that comes frame by frame.

    All move by the same octaves, those that bring most of the history into the range. What is still
    outside moves on its own.
    """

    def __init__(self, trained: tuple[float, float] | None, frames_per_second: float) -> None:
        self._trained = trained
        self._octaves = 0
        self._last = sum(trained) / 2 if trained else 60.0
        self._recent = deque[float](maxlen=MEDIAN_FRAMES)
        self._unvoiced = 0
        self._history = _History(frames_per_second)
        self.note: int | None = None
        """The MIDI note that is played; None where there is none. It ignores single frames."""

    def __call__(self, pitch: float | None) -> float:
        """The pitch that a frame of this pitch has; for None, which is unvoiced, the last one."""
        if pitch is None:
            self._unvoiced += 1
            if self._unvoiced >= MEDIAN_FRAMES:
                self._recent.clear()
                self.note = None
            return self._last
        self._unvoiced = 0
        begins = not self._recent
        self._recent.append(pitch)
        self._history.add(pitch)
        # Else it would change within a note.
        if self._trained and (begins or self._history.seconds < FIRST_SECONDS):
            self._octaves = self._best(self._history.values, self._trained)
        # The mean of two octaves is another note.
        middle = sorted(self._recent)[len(self._recent) // 2]
        self._last = middle + OCTAVE * self._octaves
        if self._trained:
            self._last += OCTAVE * octaves_into(self._last, self._trained)
        is_steady = len(self._recent) == MEDIAN_FRAMES
        if is_steady and (self.note is None or abs(self._last - self.note) > OTHER_NOTE):
            self.note = round(self._last)
        return self._last

    def _best(self, notes: Array, trained: tuple[float, float]) -> int:
        """By how many octaves most notes come into the range: the present ones, if they do."""
        distance = sum(trained) / 2 - float(np.median(notes))

        def goodness(octaves: int) -> tuple[float, bool, float]:
            # A tenth of them is no reason to move the others.
            part = round(float(inside(notes + OCTAVE * octaves, trained).mean()), 1)
            return part, octaves == self._octaves, -abs(OCTAVE * octaves - distance)

        return max(OCTAVES, key=goodness)


class LiveLoudness:
    """Levels that come frame by frame, in dB, moved so that their median is that of a training.

    Below a noise gate there is silence.
    """

    def __init__(self, trained: Spread | None, frames_per_second: float) -> None:
        self._trained = trained or Spread(-40, -30, -20, -90)
        self._levels, self._voiced = _History(frames_per_second), _History(frames_per_second)
        self._noise, self._loudest, self._median = 0.0, 0.0, 0.0

    @property
    def silence(self) -> float:
        return self._trained.silence

    def __call__(self, level: float, voiced: bool) -> tuple[float, bool]:
        """The level that a frame of this level has, and whether it is above the gate."""
        is_fresh = self._levels.add(level)
        if voiced and level > QUIETEST_DB:
            is_fresh |= self._voiced.add(level)
        voiced_levels = self._voiced.values
        if is_fresh and len(voiced_levels):
            self._noise = float(np.percentile(self._levels.values, NOISE_PERCENTILE))
            self._loudest = float(voiced_levels.max())
            self._median = float(np.median(voiced_levels))
        gate = self._noise + ABOVE_NOISE_DB
        if voiced:
            gate = min(gate, self._loudest - BELOW_LOUDEST_DB)
        if not len(voiced_levels) or level < max(gate, QUIETEST_DB):
            return self.silence, False
        return min(level + self._trained.middle - self._median, self._trained.high), True


class _History:
    """The values of some frames, evenly spaced, of the last HISTORY_SECONDS."""

    def __init__(self, frames_per_second: float) -> None:
        self._every = max(1, round(STEP_SECONDS * frames_per_second))
        self._step = self._every / frames_per_second
        self._ring = np.zeros(max(1, round(HISTORY_SECONDS / self._step)))
        self._frames = self._kept = 0

    @property
    def seconds(self) -> float:
        return self._kept * self._step

    @property
    def values(self) -> Array:
        """In no order."""
        return self._ring[: self._kept]

    def add(self, value: float) -> bool:
        """Add a frame's; whether it is one that is kept."""
        is_kept = self._frames % self._every == 0
        if is_kept:
            self._ring[self._frames // self._every % len(self._ring)] = value
            self._kept = min(self._kept + 1, len(self._ring))
        self._frames += 1
        return is_kept
