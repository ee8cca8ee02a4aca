"""How the CPU kernels draw a sample from what was predicted. `distributions` says what each draw computes."""

import math
from typing import NamedTuple

import numpy as np

from wavenet.arrays import Array
from wavenet.audio.quantization import FULL_SCALE
from wavenet.engines.cpu.panels import aligned
from wavenet.engines.cpu.vectors import LANES, at, exponentials, part, sum_of
from wavenet.errors import EngineError
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.mixture_mass import LARGEST_LOG_SCALE, LEAST_SCALE, MEAN_UNIT

CATEGORICAL, LOGISTIC, GAUSSIAN = 0, 1, 2
KINDS = {"categorical": CATEGORICAL, "logistic": LOGISTIC, "gaussian": GAUSSIAN}


class Draw(NamedTuple):
    """How to draw, as `Sampling`, and memory for it."""

    kind: int
    temperature: float
    top_k: int
    top_p: float
    p: Array  # (levels)
    heap: Array  # (levels), int64


def require_known(distribution: Distribution) -> None:
    """Raises EngineError for an output that none of the draws here is for."""
    if distribution.kind not in KINDS:
        raise EngineError(
            f"the numba engine has no draw for a {distribution.kind} output; use --engine reference"
        )


def draw_as(distribution: Distribution, sampling: Sampling) -> Draw:
    n = distribution.n_params
    top_k = min(sampling.top_k or n, n)
    kind = KINDS[distribution.kind]
    return Draw(
        kind,
        float(sampling.temperature),
        top_k,
        float(sampling.top_p),
        aligned(n),
        aligned(n, np.int64),
    )


@part
def draw(params, noise, how):  # type: ignore[no-untyped-def]
    """One code: params (levels), noise (n_noise)."""
    if how.kind == CATEGORICAL:
        return _categorical(params, noise[0], how)
    return _mixture(params, noise, how)


@part
def _categorical(logits, noise, how):  # type: ignore[no-untyped-def]
    """As `Categorical.draw` says, in float32."""
    levels, p = len(logits), how.p
    top = 0
    for i in range(levels):
        if logits[i] > logits[top]:
            top = i
    if how.temperature == 0:
        return top
    exponentials(at(logits, 0), logits[top], np.float32(how.temperature), at(p, 0), levels // LANES)
    if how.top_k < levels or how.top_p < 1:
        _keep_likeliest(p, how.top_k, how.top_p, how.heap)
    total = 0.0
    for i in range(0, levels, LANES):
        total += sum_of(at(p, i))
    threshold = noise * total
    cumulative = 0.0
    chosen = top
    for i in range(0, levels, LANES):
        beyond = cumulative + sum_of(at(p, i))
        if beyond > threshold:  # it is one of this vector's
            for j in range(i, i + LANES):
                cumulative += p[j]
                if p[j] > 0:
                    chosen = j
                if cumulative > threshold:
                    break
            break
        cumulative = beyond
    return chosen


@part
def _keep_likeliest(p, top_k, top_p, heap):  # type: ignore[no-untyped-def]
    """Zero all but the top_k largest, and of those all but the fewest that hold top_p of what is left. Ties go to the lower code.

    A heap hands out codes from the likeliest on, for as long as they are kept.
    """
    levels = len(p)
    for i in range(levels):
        heap[i] = i
    for i in range(levels // 2 - 1, -1, -1):
        _sink(p, heap, i, levels)
    mass = 0.0
    for i in range(levels):
        mass += p[i]
    if top_k < levels:
        mass = 0.0
    kept, size = 0, levels
    before = 0.0
    while kept < min(top_k, levels) and (top_k < levels or before < top_p * mass):
        before += p[heap[0]]
        size -= 1
        heap[0], heap[size] = heap[size], heap[0]
        _sink(p, heap, 0, size)
        kept += 1
    mass = before if top_k < levels else mass
    before = 0.0
    for rank in range(levels):  # taken codes lie at the end, the likeliest last
        code = heap[levels - 1 - rank]
        q = p[code]
        if rank >= kept or before >= top_p * mass:
            p[code] = 0
        before += q


@part
def _sink(p, heap, i, size):  # type: ignore[no-untyped-def]
    """Let the code at place i of a heap sink below likelier ones."""
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


@part
def _mixture(params, noise, how):  # type: ignore[no-untyped-def]
    """As `LogisticMixture.draw` and `GaussianMixture.draw` say, in float64."""
    components = len(params) // 3
    if how.temperature == 0:
        chosen = _highest_peak(params, components)
    else:
        chosen = _component(params, components, np.float64(noise[0]), how.temperature)
    spread = _scale(params, components, chosen) * how.temperature
    standard = (
        _logistic(np.float64(noise[1]))
        if how.kind == LOGISTIC
        else _normal(np.float64(noise[1]), np.float64(noise[2]))
    )
    wav = np.float64(params[components + chosen]) * MEAN_UNIT + spread * standard
    return int(min(max(np.rint(wav * FULL_SCALE), -FULL_SCALE), FULL_SCALE - 1)) + FULL_SCALE


@part
def _logistic(u):  # type: ignore[no-untyped-def]
    return math.log(u / (1 - u))


@part
def _normal(u, v):  # type: ignore[no-untyped-def]
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


@part
def _scale(params, components, i):  # type: ignore[no-untyped-def]
    return math.exp(min(np.float64(params[2 * components + i]), LARGEST_LOG_SCALE)) + LEAST_SCALE


@part
def _component(params, components, noise, temperature):  # type: ignore[no-untyped-def]
    """The first whose weight, with all those before, passes `noise` of the whole."""
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


@part
def _highest_peak(params, components):  # type: ignore[no-untyped-def]
    """The first of largest weight over scale."""
    best, highest = 0, -np.inf
    for i in range(components):
        height = params[i] - math.log(_scale(params, components, i))
        if height > highest:
            best, highest = i, height
    return best
