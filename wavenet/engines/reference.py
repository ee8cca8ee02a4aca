"""The plain loop, in double precision NumPy: the specification of what every engine computes.

    for each sample:
        x = embedding[the sample before]
        for each layer:
            remember x
            h = bias + sum over taps k of  (x remembered k * dilation samples ago) @ conv[tap]
            z = tanh(first half of h) * sigmoid(second half)
            residual, skip = z @ out + bias
            x, total = x + residual, total + skip
        params = relu(relu(total) @ hidden + bias) @ output + bias
        the sample = a draw from params

Each stream is computed on its own, so that its samples do not depend on the batch it travels in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wavenet.config import ModelConfig
from wavenet.distributions import Categorical, Sampling
from wavenet.engines.options import EngineOptions
from wavenet.engines.packed import PackedWeights, pack
from wavenet.errors import EngineError
from wavenet.shapes import Array, Noise, Params, Samples


@dataclass
class Stream:
    """What one stream remembers: per layer a ring of its last (K - 1) * dilation + 1 inputs; the time; the last sample."""

    rings: list[Array]  # (length, R) each
    time: int
    last: int


class ReferenceEngine:
    name = "reference"

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array], options: EngineOptions | None = None) -> None:
        if options and options.precision != "fp32":
            raise EngineError(f"--precision {options.precision}: the reference engine computes in double precision; use --engine numba")
        packed = pack(config, weights)
        self.distribution = Categorical(config.levels)
        self.weights = PackedWeights._make([*(a.astype(np.float64) for a in packed[:-1]), packed.dilations])

    def describe(self, batch: int) -> str:
        return "reference engine (double precision, 1 thread)"

    def init_state(self, batch: int) -> list[Stream]:
        silence = self.distribution.silence
        x = self.weights.embedding[silence]
        lookbacks = [(self.weights.kernel_size - 1) * int(d) for d in self.weights.dilations]
        rings = []
        for layer, lookback in enumerate(lookbacks):  # endless silence: all taps of a layer hear the same
            rings.append(np.tile(x, (lookback + 1, 1)))
            x, _ = self._layer(layer, [x] * self.weights.kernel_size)
        return self.repeat([Stream(rings, 0, silence)], batch)

    def repeat(self, state: list[Stream], count: int) -> list[Stream]:
        (stream,) = state
        return [Stream([r.copy() for r in stream.rings], stream.time, stream.last) for _ in range(count)]

    def feed(self, state: list[Stream], x: Samples) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        for b, stream in enumerate(state):
            for t in range(x.shape[1]):
                params[b, t] = self._predict(stream)
                stream.last = int(x[b, t])
        return params

    def generate(self, state: list[Stream], noise: Noise, sampling: Sampling) -> Samples:
        x = np.empty(noise.shape, np.int64)
        for b, stream in enumerate(state):
            for t in range(noise.shape[1]):
                x[b, t] = stream.last = int(self.distribution.draw(self._predict(stream), noise[b, t], sampling))
        return x

    def _predict(self, stream: Stream) -> Array:
        """Hear the stream's last sample and predict the next: params (levels,)."""
        w = self.weights
        x = w.embedding[stream.last]
        total = np.zeros(w.hidden.shape[0])
        for layer, ring in enumerate(stream.rings):
            ring[stream.time % len(ring)] = x
            dilation = int(w.dilations[layer])
            taps = [ring[(stream.time - back * dilation) % len(ring)] for back in reversed(range(w.kernel_size))]
            x, skip = self._layer(layer, taps)
            total += skip
        stream.time += 1
        hidden = np.maximum(np.maximum(total, 0) @ w.hidden + w.hidden_bias, 0)
        params: Array = hidden @ w.output + w.output_bias
        return params

    def _layer(self, layer: int, taps: list[Array]) -> tuple[Array, Array]:
        """One gated layer on its taps, oldest first: what the next layer hears, and the skip path."""
        w = self.weights
        h = w.conv_bias[layer] + sum(tap @ matrix for tap, matrix in zip(taps, w.conv[layer], strict=True))
        filtered, gate = np.split(h, 2)
        out = (np.tanh(filtered) / (1 + np.exp(-gate))) @ w.out[layer] + w.out_bias[layer]
        residual, skip = np.split(out, [w.residual_channels])
        return taps[-1] + residual, skip
