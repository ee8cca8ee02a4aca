"""The engine for CPUs: compiled loops on explicit vectors, in one thread or two per stream, float32 or bf16 weights.

`kernels` holds the loops and says how memory is laid out, `vectors` what they are made of, `panels` how weights are packed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wavenet.config import ModelConfig
from wavenet.distributions import Categorical, Sampling
from wavenet.engines.compiled import advance
from wavenet.engines.kernels import Draw, scratch
from wavenet.engines.packed import pack
from wavenet.engines.panels import BLOCK, aligned, aligned_copy, as_heard, endless_silence, laid_out, plan, sizes
from wavenet.engines.vectors import LANES
from wavenet.errors import EngineError
from wavenet.shapes import Array, Noise, Params, Samples


@dataclass
class State:
    """All streams' memory: `ring` (batch, rows, R') and `ahead` (batch, L, 8, 2 G'), the time they share, their last samples (batch,)."""

    ring: Array
    ahead: Array
    time: int
    last: Array


class NumbaEngine:
    name = "numba"

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array], precision: str = "fp32", threads: int = 0) -> None:
        self.precision = precision
        self.distribution = Categorical(config.levels)
        packed = pack(config, weights)
        self._heard = as_heard(packed, precision)
        self._plan, ring_rows = plan(packed)
        self._sizes = sizes(packed, precision, ring_rows)
        self._weights = laid_out(packed, precision)

    def init_state(self, batch: int) -> State:
        silence = self.distribution.silence
        inputs, older = endless_silence(self._heard, silence)
        n = self._sizes
        ring = aligned((1, n.ring_rows, n.r_vectors * LANES))
        for x, (_, first, mask, _, _) in zip(inputs, self._plan, strict=True):
            ring[0, first : first + mask + 1, : n.r] = x
        ahead = aligned((1, n.layers, BLOCK, 2, n.g_vectors * LANES))
        ahead[0, :, :, :, : n.g] = older.reshape(n.layers, 1, 2, n.g)
        return self.repeat(State(ring, ahead, 0, np.array([silence], np.int64)), batch)

    def repeat(self, state: State, count: int) -> State:
        ring, ahead = (aligned_copy(np.broadcast_to(a, (count, *a.shape[1:]))) for a in (state.ring, state.ahead))
        return State(ring, ahead, state.time, np.repeat(state.last, count))

    def feed(self, state: State, x: Samples) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        self._run(state, np.ascontiguousarray(x, np.int64), np.zeros((len(x), 0), np.float32), Sampling(), params)
        return params

    def generate(self, state: State, noise: Noise, sampling: Sampling) -> Samples:
        x = np.empty(noise.shape, np.int64)
        self._run(state, x, np.ascontiguousarray(noise), sampling, np.zeros((len(x), 0, 0), np.float32))
        return x

    def _run(self, state: State, x: Samples, noise: Noise, sampling: Sampling, params: Params) -> None:
        levels = self.distribution.levels
        top_k = min(sampling.top_k or levels, levels)
        how = Draw(np.float32(sampling.temperature), top_k, sampling.top_p, aligned(levels), aligned(levels, np.int64))
        work = scratch(self._sizes, len(x))
        advance(
            self._sizes, self._weights, self._plan, work, state.ring.reshape(-1), state.ahead.reshape(-1), state.time, state.last,
            x, noise, params, how,
        )  # fmt: skip
        if x.size and not np.isfinite(work.logits).all():
            raise EngineError(f"the network's output is not finite after {state.time + x.shape[1]} samples: its weights are too large")
        state.time += x.shape[1]
