"""Log-mel frames: local conditioning, of a vocoder."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.audio import gain, harmonics, mel_scales
from wavenet.glossary import Array, Wav
from wavenet.model.conditioning.frames import AudioFrontEnd, frames_beside
from wavenet.model.conditioning.front_end import Source

if TYPE_CHECKING:
    from torch import Tensor

# Of natural log-mels in speech and music, near enough.
MEAN, DEVIATION = -5.0, 3.0
# What makes the sums of combs of harmonics about as large as what other channels begin with.
COMBS = 3.0


class MelFrontEnd(AudioFrontEnd):
    """A value is (frames, bands), natural logarithms of mel magnitudes as `audio.mel` makes them.

    Training reads the recording's audio and computes the frames on the device, or reads frames that
    another program made.
    """

    name = "mel"
    noun = "mel frames"
    trait = "follows mel frames"

    @property
    def columns(self) -> int:
        return self.config.mel_bands

    @property
    def shape(self) -> str:
        return f"(frames, {self.columns} mel bands)"

    def check(self, sample_rate: int) -> None:
        from wavenet.audio import mel

        # Says whether every band has a frequency in it.
        mel.filters(sample_rate, self.config)

    @property
    def description(self) -> str:
        m = self.config
        return f"{m.mel_bands} mel bands from {m.mel_low_hz:g} to {m.mel_high_hz:g} Hz"

    def missing(self) -> str:
        return "this model follows mel frames: `vocode` takes a recording or a file of them"

    def scaled(self, value: Any) -> Any:
        return scaled(value)

    def known_weights(self) -> Array:
        """Half of the channels begin with combs of harmonics, so that pitch need not be found."""
        m = self.config
        combs = harmonics.combs(self.channels // 2, m.mel_bands, m.mel_low_hz, m.mel_high_hz)
        known: Array = COMBS * combs
        return known

    def frames_of(self, wav: Wav, sample_rate: int) -> Array:
        from wavenet.audio import mel

        return mel.frames_of(wav, sample_rate, self.config)

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        """The audio (samples,), or the frames themselves, float32 (frames, bands)."""
        if self.name in source.tracks:
            return source.tracks[self.name](low, high + 1)
        return super().excerpt(source, low, high)

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        if self.name in source.tracks:
            hop, context = self.config.frame_hop, self.context
            return frames_beside(source, self.name, hop, context, begin, rows)
        return super().value_of(source, sample_rate, begin, rows)

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        return generator.uniform(-11, 1, (frames, self.config.mel_bands)).astype(np.float32)

    def on_device(self, value: "Tensor", sample_rate: int) -> "Tensor":
        """Audio (batch, samples) -> log-mel frames (batch, frames, bands); frames stay."""
        if value.is_floating_point():
            return value
        from wavenet.audio import mel

        return mel.log_mel(value.float() / 32768, sample_rate, self.config).transpose(1, 2)

    def peak(self, excerpt: Array) -> int:
        return 1 if excerpt.dtype.kind == "f" else gain.peak(excerpt)

    def with_gain(self, excerpt: Array, factor: float) -> Array:
        if excerpt.dtype.kind == "f":
            return mel_scales.louder(excerpt, math.log(factor))
        return gain.scaled(excerpt, factor)


def scaled(frames: Any) -> Any:
    """Log-mels as numbers of about unit size; arrays or tensors."""
    return (frames - MEAN) / DEVIATION
