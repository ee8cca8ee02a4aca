"""How the CPU kernels draw a sample from what the network predicts.

`model.distributions` is the specification of each draw.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wavenet.audio.quantization import FULL_SCALE
from wavenet.engines.cpu.panels import aligned
from wavenet.engines.kinds import CATEGORICAL, KINDS, LOGISTIC
from wavenet.glossary import Array
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.mixture_mass import LARGEST_LOG_SCALE, LEAST_SCALE, MEAN_UNIT
from wavenet.simd.vectors import exponentials, sum_of
from wavenet.simd.writer import LANES, at, subroutine


class DrawSettings(NamedTuple):
    """How to draw for each stream, and memory for it.

    The fields of `Sampling`, but for `top_k`: here it is at most `n_params`, never 0 for all.
    """

    kind: int
    temperature: Array  # (rows,)
    top_k: Array  # (rows,) int64
    top_p: Array  # (rows,)
    p: Array  # (n_params,)
    heap: Array  # (n_params,) int64


def draw_settings(distribution: Distribution, samplings: Sequence[Sampling]) -> DrawSettings:
    """The settings and memory with which kernels draw from this distribution, for each stream."""
    n = distribution.n_params
    return DrawSettings(
        kind=KINDS[distribution.kind],
        temperature=np.array([s.temperature for s in samplings], np.float64),
        top_k=np.array([min(s.top_k or n, n) for s in samplings], np.int64),
        top_p=np.array([s.top_p for s in samplings], np.float64),
        p=aligned(n),
        heap=aligned(n, np.int64),
    )


@subroutine
def draw(params, noise, settings, row):  # type: ignore[no-untyped-def]
    """One code of a stream, from the arrays params (n_params,) and noise (n_noise,)."""
    if settings.kind == CATEGORICAL:
        return _categorical(params, noise[0], settings, row)
    return _mixture(params, noise, settings.kind, settings.temperature[row])


@subroutine
def _categorical(logits, noise, settings, row):  # type: ignore[no-untyped-def]
    """A code drawn as `Categorical.draw` does, in float32.

    With p = exp((logits - largest) / temperature), and p = 0 for codes that top-k or top-p leave
    out, it is the first code at which the sum of p exceeds noise * the sum of all p.
    """
    levels, p = len(logits), settings.p
    top_k, top_p = settings.top_k[row], settings.top_p[row]
    top = 0
    for i in range(levels):
        if logits[i] > logits[top]:
            top = i
    if settings.temperature[row] == 0:
        return top
    temperature = np.float32(settings.temperature[row])
    exponentials(at(logits, 0), logits[top], temperature, at(p, 0), levels // LANES)
    if top_k < levels or top_p < 1:
        _keep_likeliest(p, top_k, top_p, settings.heap)
    total = 0.0
    for i in range(0, levels, LANES):
        total += sum_of(at(p, i))
    threshold = noise * total
    cumulative = 0.0
    chosen = top
    for i in range(0, levels, LANES):
        with_vector = cumulative + sum_of(at(p, i))
        if with_vector > threshold:
            # The code is one of this vector's.
            for j in range(i, i + LANES):
                cumulative += p[j]
                if p[j] > 0:
                    chosen = j
                if cumulative > threshold:
                    break
            break
        cumulative = with_vector
    return chosen


@subroutine
def _keep_likeliest(p, top_k, top_p, heap):  # type: ignore[no-untyped-def]
    """Zero all of p but the `top_k` likeliest codes, and of those all but the likeliest `top_p`.

    The second step keeps the fewest codes that hold at least `top_p` of the probability left by the
    first. Ties go to the lower code. A heap hands out codes from the likeliest on, for as long as
    they are kept, and ends up with them at its end, the likeliest last.
    """
    levels = len(p)
    for i in range(levels):
        heap[i] = i
    for i in range(levels // 2 - 1, -1, -1):
        _sift_down(p, heap, i, levels)
    mass = 0.0
    for i in range(levels):
        mass += p[i]
    size, before = levels, 0.0
    while levels - size < top_k and (top_k < levels or before < top_p * mass):
        before += p[heap[0]]
        size -= 1
        heap[0], heap[size] = heap[size], heap[0]
        _sift_down(p, heap, 0, size)
    mass = before if top_k < levels else mass
    before = 0.0
    for rank in range(levels):
        code = heap[levels - 1 - rank]
        q = p[code]
        if rank >= levels - size or before >= top_p * mass:
            p[code] = 0
        before += q


@subroutine
def _sift_down(p, heap, i, size):  # type: ignore[no-untyped-def]
    """Move the code at index i of a heap down, below all likelier ones."""
    while True:
        best = i
        for child in (2 * i + 1, 2 * i + 2):
            if child < size:
                a, b = heap[child], heap[best]
                if p[a] > p[b] or (p[a] == p[b] and a < b):
                    best = child
        if best == i:
            return
        heap[i], heap[best] = heap[best], heap[i]
        i = best


@subroutine
def _mixture(params, noise, kind, temperature):  # type: ignore[no-untyped-def]
    """A code drawn as `LogisticMixture.draw` and `GaussianMixture.draw` do, in float64.

    `params` holds the logits of all components' weights, then their means, then their log-scales.
    """
    components = len(params) // 3
    if temperature == 0:
        chosen = _highest_peak(params, components)
    else:
        chosen = _component(params, components, np.float64(noise[0]), temperature)
    scale = _scale(params, components, chosen) * temperature
    mean = np.float64(params[components + chosen]) * MEAN_UNIT
    wav = mean + scale * _standard(kind, noise)
    return int(min(max(np.rint(wav * FULL_SCALE), -FULL_SCALE), FULL_SCALE - 1)) + FULL_SCALE


@subroutine
def _standard(kind, noise):  # type: ignore[no-untyped-def]
    """A draw from a mixture's kind of component, with mean 0 and scale 1."""
    u = np.float64(noise[1])
    if kind == LOGISTIC:
        # The logistic quantile function.
        return math.log(u / (1 - u))
    # Box and Muller's transform of two uniforms.
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * np.float64(noise[2]))


@subroutine
def _scale(params, components, i):  # type: ignore[no-untyped-def]
    """The scale of component i."""
    return math.exp(min(np.float64(params[2 * components + i]), LARGEST_LOG_SCALE)) + LEAST_SCALE


@subroutine
def _component(params, components, noise, temperature):  # type: ignore[no-untyped-def]
    """The first component at which the sum of weights exceeds `noise` * the sum of all."""
    top = np.float64(params[0])
    for i in range(1, components):
        top = max(top, np.float64(params[i]))
    total = 0.0
    for i in range(components):
        total += math.exp((params[i] - top) / temperature)
    threshold, cumulative = noise * total, 0.0
    for i in range(components):
        cumulative += math.exp((params[i] - top) / temperature)
        if cumulative > threshold:
            return i
    return components - 1


@subroutine
def _highest_peak(params, components):  # type: ignore[no-untyped-def]
    """The first of the components with the largest weight / scale."""
    best, highest = 0, -np.inf
    for i in range(components):
        height = params[i] - math.log(_scale(params, components, i))
        if height > highest:
            best, highest = i, height
    return best
