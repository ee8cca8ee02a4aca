"""The CPU kernel: one compiled loop over time and layers that never returns to Python between samples.

It computes what `reference` does, in float32. Loops run over outputs inside inputs, so that the compiler turns them into
vector instructions; tanh, sigmoid and softmax are built on one polynomial `_exp` that it can vectorise too.

Memory of one stream: the rings of all layers end to end, `ring (rows, R)`. Layer l owns rows first[l] ... first[l] + size[l] - 1,
size a power of two, and keeps the input of time t in row first[l] + (t & size[l] - 1):

    ring   | layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | layer 2: ...

All kernels live in this file, because numba's on-disk cache notices a change in no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from wavenet.config import ModelConfig
from wavenet.distributions import Categorical, Sampling
from wavenet.engines.packed import PackedWeights, pack
from wavenet.shapes import Array, Noise, Params, Samples

_float = np.float32
MOST_SAVES = 40  # more than the functions below, each of which is saved once


def _compiled(function):  # type: ignore[no-untyped-def]
    """Compile, and remember it on disk where any cache folder can be written. `contract` allows fused multiply-add only."""
    options: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no place for its cache
        return njit(**options)(function)


def _call(function, *arguments):  # type: ignore[no-untyped-def]
    """Call a compiled function even if its cache lies on a full disk: what cannot be saved is compiled all the same."""
    for _ in range(MOST_SAVES):
        try:
            return function(*arguments)
        except OSError:
            continue
    return function(*arguments)


@dataclass
class State:
    """All streams' memory: `ring` (batch, rows, R) float32, the time they share, and their last samples (batch,)."""

    ring: Array
    time: int
    last: Array


class NumbaEngine:
    name = "numba"

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.distribution = Categorical(config.levels)
        self.weights = pack(config, weights)
        lookbacks = (self.weights.kernel_size - 1) * self.weights.dilations
        self.sizes = np.array([1 << int(n).bit_length() for n in lookbacks], np.int64)  # at least lookback + 1
        self.firsts = np.cumsum(self.sizes) - self.sizes

    def init_state(self, batch: int) -> State:
        silence = self.distribution.silence
        rows = int(self.sizes.sum())
        ring = np.zeros((rows, self.weights.residual_channels), np.float32)
        _call(_fill_with_silence, self.weights, self.firsts, self.sizes, ring, silence)
        return self.repeat(State(ring[None], 0, np.array([silence], np.int64)), batch)

    def repeat(self, state: State, count: int) -> State:
        return State(np.repeat(state.ring, count, axis=0), state.time, np.repeat(state.last, count))

    def feed(self, state: State, x: Samples) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        self._run(state, np.ascontiguousarray(x, np.int64), np.zeros((len(x), 0), np.float32), Sampling(), params)
        return params

    def generate(self, state: State, noise: Noise, sampling: Sampling) -> Samples:
        x = np.empty(noise.shape, np.int64)
        self._run(state, x, noise, sampling, np.zeros((len(x), 0, 0), np.float32))
        return x

    def _run(self, state: State, x: Samples, noise: Noise, sampling: Sampling, params: Params) -> None:
        top_k = sampling.top_k or self.distribution.levels
        for b in range(len(x)):
            _call(
                _run, self.weights, self.firsts, self.sizes, state.ring[b], state.time, state.last[b],
                x[b], noise[b], params[b],
                _float(sampling.temperature), top_k, sampling.top_p,
            )  # fmt: skip
        if x.shape[1]:
            state.time += x.shape[1]
            state.last[:] = x[:, -1]


@_compiled
def _run(weights: PackedWeights, firsts, sizes, ring, time, last, x, noise, params, temperature, top_k, top_p):  # type: ignore[no-untyped-def]
    """Advance one stream over x (time,). With noise, draw x; without, x is given and its predictions go to params."""
    levels = weights.output.shape[1]
    h = np.empty(weights.conv.shape[3], np.float32)
    z = np.empty(weights.conv.shape[3] // 2, np.float32)
    out = np.empty(weights.out.shape[2], np.float32)
    total = np.empty(weights.hidden.shape[0], np.float32)
    hidden = np.empty(weights.hidden.shape[1], np.float32)
    logits = np.empty(levels, np.float32)
    p = np.empty(levels, np.float32)
    for t in range(len(x)):
        total[:] = 0
        row = ring[firsts[0] + (time + t & sizes[0] - 1)]
        row[:] = weights.embedding[last]
        for layer in range(len(sizes)):
            _layer(weights, firsts, sizes, ring, time + t, layer, h, z, out)
            _residual_and_skip(firsts, sizes, ring, time + t, layer, out, total)
        _head(weights, total, hidden, logits)
        if len(noise):
            x[t] = _draw(logits, noise[t], temperature, top_k, top_p, p)
        else:
            params[t] = logits
        last = x[t]


@_compiled
def _fill_with_silence(weights, firsts, sizes, ring, silence):  # type: ignore[no-untyped-def]
    """Leave in every layer's ring what endless silence leaves there: its input, the same in every row."""
    h = np.empty(weights.conv.shape[3], np.float32)
    z = np.empty(weights.conv.shape[3] // 2, np.float32)
    out = np.empty(weights.out.shape[2], np.float32)
    total = np.zeros(weights.hidden.shape[0], np.float32)
    ring[0] = weights.embedding[silence]
    for layer in range(len(sizes)):
        for i in range(1, sizes[layer]):
            ring[firsts[layer] + i] = ring[firsts[layer]]
        _layer(weights, firsts, sizes, ring, 0, layer, h, z, out)
        _residual_and_skip(firsts, sizes, ring, 0, layer, out, total)


@_compiled
def _layer(weights, firsts, sizes, ring, time, layer, h, z, out):  # type: ignore[no-untyped-def]
    """out (R + S) = gate(sum of taps @ conv) @ out."""
    h[:] = weights.conv_bias[layer]
    taps = weights.conv.shape[1]
    for k in range(taps):
        past = time - (taps - 1 - k) * weights.dilations[layer]
        _add_product(ring[firsts[layer] + (past & sizes[layer] - 1)], weights.conv[layer, k], h)
    _gate(h, z)
    out[:] = weights.out_bias[layer]
    _add_product(z, weights.out[layer], out)


@_compiled
def _residual_and_skip(firsts, sizes, ring, time, layer, out, total):  # type: ignore[no-untyped-def]
    """Hand x + residual to the next layer's ring, and add the skip path to the total."""
    channels = ring.shape[1]
    if layer + 1 < len(sizes):
        x = ring[firsts[layer] + (time & sizes[layer] - 1)]
        onward = ring[firsts[layer + 1] + (time & sizes[layer + 1] - 1)]
        for i in range(channels):
            onward[i] = x[i] + out[i]
    for i in range(len(total)):
        total[i] += out[channels + i]


@_compiled
def _head(weights, total, hidden, logits):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] = max(total[i], _float(0))
    hidden[:] = weights.hidden_bias
    _add_product(total, weights.hidden, hidden)
    for i in range(len(hidden)):
        hidden[i] = max(hidden[i], _float(0))
    logits[:] = weights.output_bias
    _add_product(hidden, weights.output, logits)


@_compiled
def _add_product(x, matrix, y):  # type: ignore[no-untyped-def]
    """y += x @ matrix, four inputs at a time so that y is loaded and stored a quarter as often."""
    inputs = len(x)
    whole = inputs - inputs % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for o in range(len(y)):
            y[o] += a * matrix[i, o] + b * matrix[i + 1, o] + c * matrix[i + 2, o] + d * matrix[i + 3, o]
    for i in range(whole, inputs):
        a = x[i]
        for o in range(len(y)):
            y[o] += a * matrix[i, o]


@_compiled
def _exp(x):  # type: ignore[no-untyped-def]
    """e^x within 3e-7 relative: 2^n from the exponent bits times a Taylor polynomial on |r| <= ln(2) / 2."""
    x = min(max(x, _float(-87)), _float(87))
    n = np.rint(x * _float(1.4426950408889634))  # 1 / ln 2
    r = x - n * _float(0.693359375) + n * _float(2.12194440e-4)  # ln 2 in two parts, the first exact in few bits
    p = _float(1 / 720)
    p = p * r + _float(1 / 120)
    p = p * r + _float(1 / 24)
    p = p * r + _float(1 / 6)
    p = p * r + _float(1 / 2)
    p = p * r + _float(1)
    p = p * r + _float(1)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_compiled
def _gate(h, z):  # type: ignore[no-untyped-def]
    """z = tanh(first half of h) * sigmoid(second half), with one division for both. Beyond +-20 both have saturated."""
    half = len(z)
    for i in range(half):
        a = _exp(_float(-2) * min(max(h[i], _float(-20)), _float(20)))
        b = _exp(-min(max(h[half + i], _float(-20)), _float(20)))
        z[i] = (_float(1) - a) / ((_float(1) + a) * (_float(1) + b))


@_compiled
def _draw(logits, noise, temperature, top_k, top_p, p):  # type: ignore[no-untyped-def]
    """The draw that `Categorical.draw` specifies. p (levels,) is scratch."""
    levels = len(logits)
    top = 0
    for i in range(levels):
        if logits[i] > logits[top]:
            top = i
    if temperature == 0:
        return top
    for i in range(levels):
        p[i] = _exp((logits[i] - logits[top]) / temperature)
    if top_k < levels or top_p < 1:
        _keep_likeliest(p, top_k, top_p)
    total = 0.0
    for i in range(levels):
        total += p[i]
    threshold = noise * total
    cumulative = 0.0
    chosen = top
    for i in range(levels):
        cumulative += p[i]
        if cumulative > threshold:
            chosen = i
            break
    return chosen


@_compiled
def _keep_likeliest(p, top_k, top_p):  # type: ignore[no-untyped-def]
    """Zero all but the top_k largest, and of those all but the fewest that hold top_p of what is left."""
    order = np.argsort(-p, kind="mergesort")
    kept = 0.0
    for rank in range(min(top_k, len(p))):
        kept += p[order[rank]]
    before = 0.0
    for rank in range(len(p)):
        i = order[rank]
        q = p[i]
        if rank >= top_k or before >= top_p * kept:
            p[i] = 0
        before += q
