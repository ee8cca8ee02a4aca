"""A model's conditioning as engines take it: projected for every layer, at frame rate, in NumPy.

`model.conditioning` says what front ends there are, and computes the same in torch for training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.glossary import Array
from wavenet.model.arguments import require_type
from wavenet.model.conditioning.carriers import Conditioning, conditioning_hop
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.registry import front_ends


def require_conditioning(
    config: ModelConfig, conditioning: Conditioning | None, batch: int, time: Any, steps: int
) -> None:
    """Raises EngineError unless `conditioning` is what the model needs.

    It must fit `batch` streams and cover `steps` samples from sample `time` on, which is one number
    or (batch,).
    """
    required = front_ends(config)
    if not required:
        if conditioning is not None:
            reason = "this model was trained without labels, pitch or the like: it follows none"
            raise EngineError("", reason)
        return
    if conditioning is None:
        nouns = " and ".join(front_end.noun for front_end in required)
        raise EngineError("", f"this model is conditioned on {nouns}: give some")
    require_type("conditioning", conditioning, Conditioning)
    frames = conditioning.frames
    shape = (batch, *frames.shape[1:2], len(config.schedule), config.gate_channels)
    if frames.shape != shape:
        wanted = f"(streams, frames, layers, gate channels) are {shape}"
        raise EngineError("", f"conditions of shape {frames.shape} do not fit: {wanted}")
    starts, times = np.broadcast_to(conditioning.start, batch), np.broadcast_to(time, batch)
    ends = starts + (frames.shape[1] - 1) * conditioning.hop
    for start, now, end in zip(starts, times, ends, strict=True):
        if not start <= now <= now + steps <= end:
            covered = f"conditions of {shape[1]} frames from frame {start // conditioning.hop} on"
            raise EngineError("", f"{covered} do not cover samples {now} to {now + steps}")


class Projection:
    """A model's front ends, and the weights that project their features for every layer.

    For a model without front ends, features have no channels and the conditioning is None.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.config = config
        self.hop = conditioning_hop(config)
        self._front_ends = front_ends(config)
        self._weights = weights
        if self._front_ends:
            layers = range(len(config.schedule))
            matrices = [weights[f"stack.layers.{i}.condition.weight"].T for i in layers]
            self._matrix = np.ascontiguousarray(np.concatenate(matrices, axis=1))  # (C, L 2G)

    def features(self, **values: Any) -> Array:
        """(F, C) of one recording, from a value for each front end, such as `mel=frames, label=0`.

        Raises EngineError for a value that is missing, or of the wrong shape.
        """
        parts: list[Array] = []
        for front_end in self._front_ends:
            value = values.get(front_end.name)
            if value is None:
                raise EngineError("", front_end.missing())
            parts.append(front_end.features(self._weights, value))
        return self._joined(parts)

    def features_of(self, source: Source, sample_rate: int, begin: int, samples: int) -> Array:
        """(F, C) of a part of a recording, from the frame at sample `begin` on."""
        parts: list[Array] = []
        for front_end in self._front_ends:
            value, before = front_end.value_of(source, sample_rate, begin, samples)
            parts.append(front_end.features(self._weights, value)[before:])
        return self._joined(parts)

    def _joined(self, parts: Sequence[Array]) -> Array:
        """The front ends' channels side by side, for as many frames as all have."""
        pairs = list(zip(self._front_ends, parts, strict=True))
        frames = min((len(part) for f, part in pairs if f.per_frame), default=1)
        no_channels = np.zeros((frames, 0), np.float32)
        wide = [
            part[:frames] if f.per_frame else np.broadcast_to(part, (frames, part.shape[1]))
            for f, part in pairs
        ]
        return np.concatenate([no_channels, *wide], axis=1).astype(np.float32)

    def conditioning(self, features: Sequence[Array], time: Any, steps: int) -> Conditioning | None:
        """The conditioning of samples `time` to `time + steps - 1`; each stream may have its time.

        There is a stream for each recording's `features` (F, C). After a recording's last frame the
        last one holds.
        """
        if not self._front_ends:
            return None
        times = np.broadcast_to(time, len(features))
        first = times // self.hop
        # The last sample lies between two frames.
        last = (times + max(steps, 1) - 1) // self.hop + 1
        numbers = first[:, None] + np.arange(1 + max(last - first))
        rows = [
            recording[np.minimum(of_stream, len(recording) - 1)]
            for recording, of_stream in zip(features, numbers, strict=True)
        ]
        # A product for each frame gives the same bits whatever frames are computed beside it.
        projected = [[row @ self._matrix for row in recording] for recording in rows]
        frames = np.array(projected, np.float32)  # (batch, F, L 2G)
        by_layer = frames.reshape(*frames.shape[:2], len(self.config.schedule), -1)
        return Conditioning(by_layer, first * self.hop, self.hop)
