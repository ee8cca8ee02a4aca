"""The plain loop, in double precision NumPy: the specification of what every engine computes.

    for each sample:
        x = embedding[the sample before]    (or, of a scalar input, the sample's value * the table's only row)
        for each layer:
            remember x
            h = bias + sum over taps of  (x remembered as long ago as the tap's offset) @ conv[tap]
            h += what the conditions say at this time, between two frames
            z = tanh(first half of h) * sigmoid(second half)
            residual, skip = z @ out + bias
            x, total = x + residual, total + skip
        total = what the context module adds to it, from what relu(total) was before
        params = relu(relu(total) @ hidden + bias) @ output + bias
        the sample = a draw from params

Each stream is computed on its own, so that its samples do not depend on the batch it travels in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wavenet.arrays import Array, Noise, Params, Samples
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning, require_conditioning
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import PackedPyramid, PackedWeights, pack
from wavenet.errors import EngineError
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.registry import distribution_for


@dataclass
class Stream:
    """What one stream remembers: per layer a ring of as many inputs as it hears; the context module's ring; the time; the last sample."""

    rings: list[Array]  # (length, R) each
    skips: (
        Array  # (reach + 1, S) relu of the skip sums; no rows for a network without context module
    )
    time: int
    last: int


class ReferenceEngine:
    name = "reference"

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions | None = None,
    ) -> None:
        if options and options.precision != "fp32":
            raise EngineError(
                f"--precision {options.precision}: the reference engine computes in double precision; use --engine numba"
            )
        self.config = config
        self.distribution = distribution_for(config)
        self.weights: PackedWeights = pack(config, weights, np.float64)

    def describe(self, batch: int) -> str:
        return "reference engine (double precision, 1 thread)"

    def init_state(self, batch: int, cond: Conditioning | None = None) -> list[Stream]:
        require_conditioning(self.config, cond, batch, 0, 0)
        if cond is None:
            return self.select([self._silent(None)], [0] * batch)
        return [self._silent(frames[0].astype(np.float64)) for frames in cond.frames]

    def select(self, state: list[Stream], streams: Sequence[int]) -> list[Stream]:
        return [
            replace(state[i], rings=[r.copy() for r in state[i].rings], skips=state[i].skips.copy())
            for i in streams
        ]

    def prefill(self, state: list[Stream], x: Samples, cond: Conditioning | None = None) -> Params:
        require_conditioning(self.config, cond, len(state), state[0].time, x.shape[1])
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        for b, stream in enumerate(state):
            for t in range(x.shape[1]):
                params[b, t] = self._predict(stream, cond and cond.part(b))
                stream.last = int(x[b, t])
        return params

    def generate(
        self,
        state: list[Stream],
        noise: Noise,
        sampling: Sampling,
        cond: Conditioning | None = None,
    ) -> Samples:
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        require_conditioning(self.config, cond, len(state), state[0].time, noise.shape[1])
        x = np.empty(noise.shape[:2], np.int64)
        for b, stream in enumerate(state):
            for t in range(noise.shape[1]):
                params = self._predict(stream, cond and cond.part(b))
                x[b, t] = stream.last = int(self.distribution.draw(params, noise[b, t], sampling))
        return x

    def _silent(self, under: Array | None) -> Stream:
        """A stream that has heard endless silence: all taps of a layer hear the same."""
        silence, w = self.distribution.silence, self.weights
        x, total, rings = (
            self.distribution.embed_array(np.array(silence), w.embedding),
            np.zeros(w.hidden.shape[0]),
            [],
        )
        for layer, heard in enumerate(w.offsets):
            rings.append(np.tile(x, (heard[0] + 1, 1)))
            x, skip = self._layer(layer, [x] * len(heard), under)
            total += skip
        skips = np.tile(np.maximum(total, 0), (w.pyramid.reach + 1 if w.pyramid else 0, 1))
        return Stream(rings, skips, 0, silence)

    def _predict(self, stream: Stream, cond: Conditioning | None) -> Array:
        """Hear the stream's last sample and predict the next: params (n_params,)."""
        w = self.weights
        under = None
        if cond is not None:
            low, high = cond.frames[stream.time // cond.hop - cond.first :][:2].astype(np.float64)
            under = low + stream.time % cond.hop / cond.hop * (high - low)
        x = self.distribution.embed_array(np.array(stream.last), w.embedding)
        total = np.zeros(w.hidden.shape[0])
        for layer, (heard, ring) in enumerate(zip(w.offsets, stream.rings, strict=True)):
            ring[stream.time % len(ring)] = x
            x, skip = self._layer(
                layer, [ring[(stream.time - back) % len(ring)] for back in heard], under
            )
            total += skip
        if w.pyramid is not None:
            total += _context(w.pyramid, total, stream.skips, stream.time)
        stream.time += 1
        hidden = np.maximum(np.maximum(total, 0) @ w.hidden + w.hidden_bias, 0)
        params: Array = hidden @ w.output + w.output_bias
        return params

    def _layer(self, layer: int, taps: list[Array], under: Array | None) -> tuple[Array, Array]:
        """One gated layer on its taps, oldest first, under conditions (L, 2G): what the next layer hears, and the skip path."""
        w = self.weights
        h = w.conv_bias[layer] + sum(
            tap @ matrix for tap, matrix in zip(taps, w.conv[layer], strict=True)
        )
        if under is not None:
            h = h + under[layer]
        filtered, gate = np.split(h, 2)
        out = (np.tanh(filtered) / (1 + np.exp(-gate))) @ w.out[layer] + w.out_bias[layer]
        residual, skip = np.split(out, [w.residual_channels])
        return taps[-1] + residual, skip


def _context(w: PackedPyramid, total: Array, ring: Array, time: int) -> Array:
    """What the context module adds to the skip sum."""
    ring[time % len(ring)] = now = np.maximum(total, 0)
    mean = ring[(time - np.arange(w.window)) % len(ring)].mean(0)
    heard = [
        np.concatenate([ring[(time - back) % len(ring)], now]) @ taps
        for back, taps in zip(w.offsets, w.branches, strict=True)
    ]
    mixed = np.maximum(np.stack([*heard, mean @ w.mean]) + w.branch_bias, 0)
    added: Array = mixed.reshape(-1) @ w.project + w.project_bias
    return added
