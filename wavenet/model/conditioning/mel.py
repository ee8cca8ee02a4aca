"""Log-mel frames: local conditioning, of a vocoder.

Each is condensed together with its neighbours.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import gain, mel_scales
from wavenet.audio.quantization import from_pcm16
from wavenet.errors import EngineError
from wavenet.glossary import Array
from wavenet.model.conditioning.front_end import FrontEnd, Source

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.model.conditioning.modules import FrontEndModule

# Of natural log-mels in speech and music, near enough.
MEAN, DEVIATION = -5.0, 3.0


class MelFrontEnd(FrontEnd):
    """A value is (frames, bands), natural logarithms of mel magnitudes as `audio.mel` makes them.

    Training reads the recording's audio and computes the frames on the device, or reads frames that
    another program made.
    """

    name = "mel"
    per_frame = True
    noun = "mel frames"
    trait = "follows mel frames"

    @property
    def channels(self) -> int:
        return self.config.mel_channels if self.config.mel_bands else 0

    @property
    def context(self) -> int:
        return self.config.mel_context

    def shapes(self) -> dict[str, tuple[int, ...]]:
        m = self.config
        weight = (m.mel_channels, m.mel_bands, 2 * m.mel_context + 1)
        return {"conditioner.mel.weight": weight, "conditioner.mel.bias": (m.mel_channels,)}

    def check(self, sample_rate: int) -> None:
        from wavenet.audio import mel

        # Says whether every band has a frequency in it.
        mel.filters(sample_rate, self.config)

    def missing(self) -> str:
        return "this model follows mel frames: `vocode` takes a recording or a file of them"

    def features(self, weights: Mapping[str, Array], value: Any) -> Array:
        # (M, bands, 2 * context + 1)
        weight, bias = weights["conditioner.mel.weight"], weights["conditioner.mel.bias"]
        if value.ndim != 2 or value.shape[1] != weight.shape[1] or not len(value):
            reason = f"this model follows (frames, {weight.shape[1]} mel bands)"
            raise EngineError(f"frames of shape {value.shape}", reason)
        context, count = self.context, len(value)
        padding = ((context, context), (0, 0))
        padded = scaled(np.pad(np.asarray(value, np.float32), padding, mode="edge"))
        taps = range(2 * context + 1)
        total = bias + sum(padded[k : k + count] @ weight[:, :, k].T for k in taps)
        features: Array = np.maximum(total, 0)
        return features

    def module(self) -> "FrontEndModule":
        from wavenet.model.conditioning.modules import FrameEncoder

        m = self.config
        return FrameEncoder(m.mel_bands, m.mel_channels, m.mel_context, scaled)

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        """The audio (samples,) that the frames are computed from, silence outside the recording.

        Or the frames themselves, float32 (frames, bands).
        """
        if source.frames is not None:
            return source.frames(low, high + 1)
        hop, window = self.config.mel_hop, self.config.mel_window
        begin = low * hop - window // 2
        audio = np.zeros((high - low) * hop + window, np.int16)
        inside = source.pcm[max(0, begin) : max(0, begin + len(audio))]
        audio[max(0, -begin) :][: len(inside)] = inside
        return audio

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        from wavenet.audio import mel

        hop, window = self.config.mel_hop, self.config.mel_window
        if source.frames is not None:
            first, last = begin // hop, (begin + rows) // hop + 1
            low, high = max(0, first - self.context), last + self.context
            return source.frames(low, 1 + min(high, len(source.pcm) // hop)), first - low
        # Computed from more samples at either end: the frames of those ends are not the
        # recording's.
        spare = ceil_div(window, hop) + self.context
        first = begin // hop
        low, high = max(0, first - spare), begin + rows + (spare + 1) * hop
        wav = from_pcm16(source.pcm[low * hop : high])
        return mel.frames_of(wav, sample_rate, self.config), first - low

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
