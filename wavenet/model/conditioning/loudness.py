"""How loud a recording is along it: A-weighted, in dB."""

from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.glossary import Array, Wav
from wavenet.model.conditioning.frames import AudioFrontEnd

if TYPE_CHECKING:
    from torch import Tensor

# Of music and speech, in dB.
MEAN, DEVIATION = -45.0, 20.0


class LoudnessFrontEnd(AudioFrontEnd):
    """A value is (frames, 1), dB as `audio.loudness` makes them."""

    name = "loudness"
    noun = "loudness"
    trait = "follows loudness"
    columns = 1

    @property
    def description(self) -> str:
        return "A-weighted loudness"

    def missing(self) -> str:
        return "this model follows loudness: `play` takes a recording, a MIDI file or notes"

    def scaled(self, value: Any) -> Any:
        return (value - MEAN) / DEVIATION

    def frames_of(self, wav: Wav, sample_rate: int) -> Array:
        from wavenet.audio import loudness

        return loudness.frames_of(wav, sample_rate, self.config.frame_window, self.config.frame_hop)

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        return generator.uniform(-80, -10, (frames, 1)).astype(np.float32)

    def on_device(self, value: "Tensor", sample_rate: int) -> "Tensor":
        """Audio (batch, samples) -> (batch, frames, 1)."""
        from wavenet.audio import loudness

        m = self.config
        return loudness.loudness(value.float() / 32768, sample_rate, m.frame_window, m.frame_hop)
