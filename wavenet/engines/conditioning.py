"""What conditioning makes of a model, as engines take it: each layer's share of h, projected at frame rate.

    c(t) = low + (t / hop - j) * (high - low)        low, high: frames j and j + 1 around sample t

A label is a frame that lasts for ever. `conditioning` says what the frames mean, and computes the same in training.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavenet.arrays import Array
from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.model.conditioning.carriers import FOREVER, scaled
from wavenet.model.known_labels import labels_line


class Conditioning(NamedTuple):
    """Conditions of a batch from sample `first * hop` on. Before the first sample, a state has heard silence under the first frame."""

    frames: Array  # (batch, F, L, 2G) float32; F is at least 2
    first: int
    hop: int

    def part(self, streams: Any) -> "Conditioning":
        """Of some of the streams."""
        return self._replace(frames=self.frames[streams])

    def covers(self, time: int, steps: int) -> bool:
        return (
            self.first * self.hop <= time
            and time + steps <= (self.first + self.frames.shape[1] - 1) * self.hop
        )


def require_conditioning(
    config: ModelConfig, cond: Conditioning | None, batch: int, time: int, steps: int
) -> None:
    """Raises EngineError unless `cond` is what the model needs for so many streams and steps."""
    if not config.condition_channels:
        if cond is not None:
            raise EngineError(
                "this model was trained without labels and mel frames: it cannot be told any"
            )
        return
    if cond is None:
        raise EngineError(
            "this model is conditioned on " + " and ".join(_kinds(config)) + ": give some"
        )
    shape = (batch, cond.frames.shape[1], len(config.schedule), config.gate_channels)
    if cond.frames.shape != shape:
        raise EngineError(
            f"conditions of shape {cond.frames.shape} do not fit: (streams, frames, layers, gate channels) are {shape}"
        )
    if not cond.covers(time, steps):
        raise EngineError(
            f"conditions of {shape[1]} frames from frame {cond.first} on do not cover samples {time} to {time + steps}"
        )


def _kinds(config: ModelConfig) -> list[str]:
    return ["mel frames"] * (config.mel_bands > 0) + ["a label"] * (config.label_channels > 0)


class Projection:
    """A model's conditioning weights."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.config = config
        self.hop = config.mel_hop if config.mel_bands else FOREVER
        self._weights = weights
        layers = [
            weights[f"stack.layers.{i}.condition.weight"].T for i in range(len(config.schedule))
        ]  # (C, 2G) each
        self._matrix = np.ascontiguousarray(np.concatenate(layers, axis=1))

    def features(self, frames: Array | None = None, label: int | None = None) -> Array:
        """(n, C) of one recording: from its log-mel frames (n, bands) and the number of its label, whichever the network takes."""
        parts: list[Array] = []
        if self.config.mel_bands:
            if frames is None:
                raise EngineError(
                    "this model follows mel frames: `wavenet vocode` takes a recording or a file of them"
                )
            parts.append(self._condensed(frames))
        if self.config.label_channels:
            if label is None:
                raise EngineError(
                    f"this model knows labels: name one of {labels_line(self.config.labels)}"
                )
            parts.append(
                np.tile(
                    self._weights["conditioner.label.weight"][label],
                    (len(parts[0]) if parts else 1, 1),
                )
            )
        return np.concatenate(parts, axis=1).astype(np.float32)

    def cond(self, features: Sequence[Array], time: int, steps: int) -> Conditioning:
        """For streams that follow `features`, over samples time ... time + steps - 1."""
        first, last = time // self.hop, (time + max(steps, 1) - 1) // self.hop + 1
        chosen = [[f[min(j, len(f) - 1)] for j in range(first, last + 1)] for f in features]
        # frame by frame: the same product in the same order whatever else is computed with it
        projected = np.array(
            [[frame @ self._matrix for frame in frames] for frames in chosen], np.float32
        )
        return Conditioning(
            projected.reshape(len(features), last - first + 1, len(self.config.schedule), -1),
            first,
            self.hop,
        )

    def _condensed(self, frames: Array) -> Array:
        weight, bias = (
            self._weights["conditioner.mel.weight"],
            self._weights["conditioner.mel.bias"],
        )  # (M, bands, 2 * context + 1)
        if frames.ndim != 2 or frames.shape[1] != weight.shape[1] or not len(frames):
            raise EngineError(
                f"frames of shape {frames.shape}: this model follows (frames, {weight.shape[1]} mel bands)"
            )
        c, n = self.config.mel_context, len(frames)
        padded = scaled(np.pad(np.asarray(frames, np.float32), ((c, c), (0, 0)), mode="edge"))
        total = bias + sum(padded[k : k + n] @ weight[:, :, k].T for k in range(2 * c + 1))
        found: Array = np.maximum(total, 0)
        return found
