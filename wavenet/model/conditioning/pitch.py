"""Pitch along a recording: what note it sounds at each moment, and whether it sounds one."""

import math
from functools import cached_property
from typing import Any

import numpy as np

from wavenet.errors import ConfigError
from wavenet.glossary import Array, Wav
from wavenet.model.conditioning.frames import TrackFrontEnd

# Semitones from one place of the scale that a pitch is spread on to the next.
SPACING = 1.0


class PitchFrontEnd(TrackFrontEnd):
    """A value is (frames, 2), as `audio.pitch` makes it: a MIDI note number, and 1 where voiced.

    The network reads it as its distance from each place of a scale of notes: 1 on the place and 0
    at its neighbours, on straight lines between them. Unvoiced frames are 0 at all of them.
    """

    name = "pitch"
    noun = "pitch"
    trait = "follows pitch"
    columns = 2

    @cached_property
    def places(self) -> Array:
        """The notes that a pitch is spread on, as MIDI note numbers (places,)."""
        low, high = (note_of(hz) for hz in (self.config.pitch_low_hz, self.config.pitch_high_hz))
        return np.linspace(low, high, 1 + max(1, round((high - low) / SPACING)))

    @property
    def inputs(self) -> int:
        return len(self.places) + 1

    def check(self, sample_rate: int) -> None:
        highest = self.config.pitch_high_hz
        if highest > sample_rate / 4:
            rule = f"must be at most {sample_rate / 4:g}, a quarter of audio.sample_rate"
            raise ConfigError(f"model.pitch_high_hz = {highest:g}", rule)

    @property
    def description(self) -> str:
        m = self.config
        return f"pitch from {m.pitch_low_hz:g} to {m.pitch_high_hz:g} Hz"

    def missing(self) -> str:
        return "this model follows pitch: `play` takes a recording, a MIDI file or notes"

    def scaled(self, value: Any) -> Any:
        places: Any = self.places
        note, voiced = value[..., :1], value[..., 1:]
        joined: Any = np.concatenate
        if not isinstance(value, np.ndarray):
            import torch

            places, joined = value.new_tensor(places), torch.cat
        # A pitch beyond the scale is at its end.
        note = note.clip(float(places[0]), float(places[-1]))
        distance = abs(note - places) / float(places[1] - places[0])
        spread = voiced * (1 - distance).clip(0, 1)
        return 2 * joined([spread, voiced], -1)

    def frames_of(self, wav: Wav, sample_rate: int) -> Array:
        from wavenet.audio import pitch

        m = self.config
        return pitch.track(wav, sample_rate, m.frame_hop, m.pitch_low_hz, m.pitch_high_hz)

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        note = generator.uniform(self.places[0], self.places[-1], frames)
        voiced = generator.random(frames) < 0.8
        return np.stack([note, voiced], axis=1).astype(np.float32)


def note_of(hz: float) -> float:
    """A frequency as a MIDI note number: 69 at 440 Hz, 12 to an octave."""
    return 69 + 12 * math.log2(hz / 440)
