"""What all front ends with frames along a recording have in common.

Each frame is condensed together with its neighbours.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import gain
from wavenet.audio.quantization import from_pcm16
from wavenet.errors import EngineError
from wavenet.glossary import Array, Wav
from wavenet.model.conditioning.front_end import FrontEnd, Source

if TYPE_CHECKING:
    from wavenet.model.conditioning.modules import FrontEndModule


class FramesFrontEnd(FrontEnd):
    """A value is (frames, columns), frame j at sample j * `ModelConfig.frame_hop`.

    `scaled` makes (frames, inputs) of about unit size of it, which a convolution condenses.
    """

    per_frame = True

    @property
    @abstractmethod
    def columns(self) -> int:
        """Numbers in a frame of a value."""

    @property
    def inputs(self) -> int:
        """Numbers in a frame that is ready to be condensed."""
        return self.columns

    @abstractmethod
    def scaled(self, value: Any) -> Any:
        """(..., columns) -> (..., inputs) of about unit size; arrays or tensors."""

    @property
    def channels(self) -> int:
        return self.config.frame_channels if self.name in self.config.conditioning else 0

    @property
    def context(self) -> int:
        return self.config.frame_context

    @property
    @abstractmethod
    def description(self) -> str:
        """What a frame holds, in words and figures."""

    @property
    def shape(self) -> str:
        """The shape of a value, in words."""
        return f"(frames, {self.columns})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        weight = (self.channels, self.inputs, 2 * self.context + 1)
        return {
            f"conditioner.{self.name}.weight": weight,
            f"conditioner.{self.name}.bias": weight[:1],
        }

    def features(self, weights: Mapping[str, Array], value: Any) -> Array:
        if value.ndim != 2 or value.shape[1] != self.columns or not len(value):
            raise EngineError(f"frames of shape {value.shape}", f"this model follows {self.shape}")
        # (channels, inputs, 2 * context + 1)
        weight = weights[f"conditioner.{self.name}.weight"]
        bias = weights[f"conditioner.{self.name}.bias"]
        context, count = self.context, len(value)
        value = self.normalised(weights, np.asarray(value, np.float32))
        padded = self.scaled(np.pad(value, ((context, context), (0, 0)), mode="edge"))
        taps = range(2 * context + 1)
        total = bias + sum(padded[k : k + count] @ weight[:, :, k].T for k in taps)
        features: Array = np.maximum(total, 0)
        return features

    def normalised(self, weights: Mapping[str, Array], value: Array) -> Array:
        """A value after what statistics among the weights ask for."""
        return value

    def module(self) -> "FrontEndModule":
        from wavenet.model.conditioning.modules import FrameEncoder

        known = self.known_weights()
        return FrameEncoder(self.inputs, self.channels, self.context, self.scaled, known)

    def known_weights(self) -> Array | None:
        """Of the first channels before training, (count, inputs); None draws all of them."""
        return None

    def frames_of(self, wav: Wav, sample_rate: int) -> Array:
        """The value of a whole recording, where it is computed from the audio.

        Raises EngineError where it is not.
        """
        raise EngineError("", self.missing())


class TrackFrontEnd(FramesFrontEnd):
    """Its frames are extracted from a recording once, or lie in a file beside it.

    They are the `Source.tracks` of its name.
    """

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        return source.tracks[self.name](low, high + 1)

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        return frames_beside(source, self.name, self.config.frame_hop, self.context, begin, rows)


def frames_beside(
    source: Source, name: str, hop: int, context: int, begin: int, rows: int
) -> tuple[Array, int]:
    """What `FrontEnd.value_of` returns, of frames that lie beside a recording's audio."""
    first, last = begin // hop, (begin + rows) // hop + 1
    low, high = max(0, first - context), last + context
    return source.tracks[name](low, 1 + min(high, len(source.pcm) // hop)), first - low


class AudioFrontEnd(FramesFrontEnd):
    """Its frames are computed from a recording's audio where they are used.

    Frame j is made of `ModelConfig.frame_window` samples around sample j * hop.
    """

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        """The audio (samples,) that the frames are computed from, silence outside the recording."""
        hop, window = self.config.frame_hop, self.config.frame_window
        begin = low * hop - window // 2
        audio = np.zeros((high - low) * hop + window, np.int16)
        inside = source.pcm[max(0, begin) : max(0, begin + len(audio))]
        audio[max(0, -begin) :][: len(inside)] = inside
        return audio

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        # Computed from more samples at either end: the frames of those ends are not the
        # recording's.
        hop, window = self.config.frame_hop, self.config.frame_window
        spare = ceil_div(window, hop) + self.context
        first = begin // hop
        low, high = max(0, first - spare), begin + rows + (spare + 1) * hop
        wav = from_pcm16(source.pcm[low * hop : high])
        return self.frames_of(wav, sample_rate), first - low

    def peak(self, excerpt: Array) -> int:
        return gain.peak(excerpt)

    def with_gain(self, excerpt: Array, factor: float) -> Array:
        return gain.scaled(excerpt, factor)
