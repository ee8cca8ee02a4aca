"""The plain loop, in double precision NumPy: the specification of what every engine computes.

    for each sample:
        x = embedding[previous sample]           # a scalar input: the sample's value * the only row
        skips = 0
        for each layer:
            ring[now] = x
            h = bias + sum over taps of ring[now - the tap's offset] @ conv[tap]
            h = h + conditioning of this sample, on the straight line between two frames
            z = tanh(first half of h) * sigmoid(second half of h)
            residual, skip = z @ out + bias
            x = x + residual
            skips = skips + skip
        skips = skips + context module(relu(skips), present and past)            # if there is one
        hidden = relu(relu(skips) @ hidden + bias)
        params = hidden @ output + bias
        sample = a draw from params

This is WaveNet (van den Oord et al. 2016) with every layer's past inputs kept in a ring, so that a
sample costs one step of each layer (Le Paine et al. 2016). Letters in shapes are those of
`glossary`, weights those of `weights`. Each stream is computed on its own: its samples do not
depend on the batch that it is generated in. docs/dilated-convolutions.md explains rings in step 8.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.engine import Engine
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.engines.weights import PackedPyramid, PackedWeights, pack
from wavenet.errors import EngineError
from wavenet.glossary import Array, Noise, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling


@dataclass
class Stream:
    """The state of one stream.

    A layer's ring holds its inputs, from the one that its oldest tap reads to the present one. What
    belongs to time t is in row t % length. The context module's ring holds relu(skips) in the same
    way, and has no rows without such a module.
    """

    rings: list[Array]  # (oldest offset + 1, R) each
    skip_ring: Array  # (lag + 1, S)
    time: int  # samples so far
    last: int  # code of the last sample


State = list[Stream]


class ReferenceEngine(Engine):
    name = "reference"

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, Array], options: EngineOptions = DEFAULTS
    ) -> None:
        options = options.for_engine(rounds_weights=False)
        super().__init__(config, options)
        if options.precision != "fp32":
            reason = "the reference engine computes in double precision"
            raise EngineError(f"`precision` {options.precision}", reason, "use `engine` numba")
        self.weights: PackedWeights = pack(config, weights, np.float64)

    def describe(self, batch: int) -> str:
        return "reference engine (double precision, 1 thread)"

    def _select(self, state: State, streams: Sequence[int]) -> State:
        return [copy.deepcopy(state[i]) for i in streams]

    def _merge(self, states: Sequence[State]) -> State:
        return [copy.deepcopy(stream) for state in states for stream in state]

    def _times(self, state: State) -> Array:
        return np.array([stream.time for stream in state])

    def _prefill(self, state: State, x: Samples, conditioning: Conditioning | None) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        for b, i in np.ndindex(x.shape):
            params[b, i] = self._predict(state[b], b, conditioning)
            state[b].last = int(x[b, i])
        return params

    def _generate(
        self,
        state: State,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Samples:
        x = np.empty(noise.shape[:2], np.int64)
        for b, i in np.ndindex(x.shape):
            params = self._predict(state[b], b, conditioning)
            state[b].last = int(self.distribution.draw(params, noise[b, i], samplings[b]))
            x[b, i] = state[b].last
        return x

    def _predict(self, stream: Stream, number: int, conditioning: Conditioning | None) -> Array:
        """Advance a stream by its last sample and predict the next one: params (n_params,)."""
        w, now = self.weights, stream.time
        conditioning_now = _conditioning_at(conditioning, number, now)
        x = self.distribution.embed_array(np.array(stream.last), w.embedding)  # (R,)
        skips = np.zeros(len(w.hidden))  # (S,)
        for layer, ring in enumerate(stream.rings):
            ring[now % len(ring)] = x
            taps = [ring[(now - offset) % len(ring)] for offset in w.offsets[layer]]
            x, skip = self._layer(layer, taps, conditioning_now)
            skips = skips + skip
        if w.pyramid is not None:
            skips = skips + _pyramid(w.pyramid, relu(skips), stream.skip_ring, now)
        stream.time += 1
        hidden = relu(relu(skips) @ w.hidden + w.hidden_bias)  # (H,)
        params: Array = hidden @ w.output + w.output_bias
        return params

    def _layer(
        self, layer: int, taps: list[Array], conditioning: Array | None
    ) -> tuple[Array, Array]:
        """One gated layer on what its taps read, oldest first, under conditioning (L, 2G).

        Returns the next layer's input (R,) and the skip path (S,).
        """
        w = self.weights
        convolved = sum(tap @ matrix for tap, matrix in zip(taps, w.conv[layer], strict=True))
        h = w.conv_bias[layer] + convolved  # (2G,)
        if conditioning is not None:
            h = h + conditioning[layer]
        filtered, gate = np.split(h, 2)
        # tanh times the sigmoid, 1 / (1 + exp(-gate)).
        z = np.tanh(filtered) / (1 + np.exp(-gate))  # (G,)
        out = z @ w.out[layer] + w.out_bias[layer]  # (R + S,)
        residual, skip = np.split(out, [w.residual_channels])
        # The newest tap reads the layer's present input.
        return taps[-1] + residual, skip

    def _after_silence(self, frames: Array) -> State:
        """All taps of a layer read the same."""
        w, silence = self.weights, self.distribution.silence
        skip_rows = 0 if w.pyramid is None else w.pyramid.lag + 1
        state = []
        for frame in frames.astype(np.float64):  # (L, 2G)
            x = self.distribution.embed_array(np.array(silence), w.embedding)  # (R,)
            skips = np.zeros(len(w.hidden))  # (S,)
            rings = []
            for layer, offsets in enumerate(w.offsets):
                rings.append(np.tile(x, (offsets[0] + 1, 1)))
                x, skip = self._layer(layer, [x] * len(offsets), frame)
                skips = skips + skip
            skip_ring = np.tile(relu(skips), (skip_rows, 1))
            state.append(Stream(rings, skip_ring, time=0, last=silence))
        return state


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _conditioning_at(conditioning: Conditioning | None, stream: int, time: int) -> Array | None:
    """One stream's conditioning at one sample, on the straight line between two frames: (L, 2G)."""
    if conditioning is None:
        return None
    start = int(np.broadcast_to(conditioning.start, len(conditioning.frames))[stream])
    frame, offset = divmod(time - start, conditioning.hop)
    low, high = conditioning.frames[stream, frame : frame + 2].astype(np.float64)
    interpolated: Array = low + offset / conditioning.hop * (high - low)
    return interpolated


def _pyramid(w: PackedPyramid, u: Array, ring: Array, now: int) -> Array:
    """What the context module adds to the skips, of which u (S,) is the relu: (S,)."""
    ring[now % len(ring)] = u
    branches = []
    for offset, matrix in zip(w.offsets, w.branches, strict=True):
        older = ring[(now - offset) % len(ring)]
        branches.append(np.concatenate([older, u]) @ matrix)  # (P,)
    window = ring[(now - np.arange(w.window)) % len(ring)]  # (window, S)
    branches.append(window.mean(0) @ w.mean)
    mixed = relu(np.stack(branches) + w.branch_bias)  # (n + 1, P)
    added: Array = mixed.reshape(-1) @ w.project + w.project_bias
    return added
