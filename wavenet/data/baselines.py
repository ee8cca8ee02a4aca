"""Bits per sample without a network: by frequency, by the sample before, by linear prediction.

They are the baselines for every likelihood: a model above `bigram` has learnt little, a sound one
is below linear prediction, `lpc`.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from wavenet.audio import quantization
from wavenet.glossary import Array, Samples
from wavenet.model.distributions.base import Distribution

ORDER = 24  # of the linear prediction
# The scale of the Laplace distribution is an exponential moving average of the absolute errors.
SCALE_DECAY = 0.99  # per sample
FIRST_SCALE = 0.01  # of full scale
# Added to every scale, because digital silence has no error at all.
LEAST_SCALE = 1e-4


def pairs(blocks: Iterable[Samples], levels: int) -> Array:
    """Counts of each code after each other one, [before, after].

    Every block of codes begins with one sample of context.
    """
    counts = np.zeros(levels * levels)
    for x in blocks:
        counts += np.bincount(x[:-1] * levels + x[1:], minlength=len(counts))
    return counts.reshape(levels, levels)


def refinement_bits(distribution: Distribution) -> Array:
    """Bits that tell apart the distribution's own codes within each of its `baseline_codes`.

    Returns (baseline_codes.levels,). None are needed for mu-law, whose own codes are counted; for a
    mixture they are log2 of the number of 16-bit samples in a mu-law code.
    """
    baseline = distribution.baseline_codes
    wav = quantization.decode_16bit(np.arange(quantization.LEVELS_16BIT))
    x = baseline.encode(wav)
    counts = np.bincount(x, minlength=baseline.levels)
    # The mean over the 16-bit samples in each baseline code.
    own_bits = distribution.bits_to_16bit(distribution.encode(wav))
    own_to_16bit = np.bincount(x, own_bits, baseline.levels) / np.maximum(counts, 1)
    baseline_to_16bit = baseline.bits_to_16bit(np.arange(baseline.levels))
    return np.where(counts > 0, baseline_to_16bit - own_to_16bit, 0)


def pair_bits(
    learnt: Array, scored: Array, distribution: Distribution, prior: float = 0.1
) -> tuple[float, float]:
    """(unigram, bigram) bits per sample of `scored` pairs under the frequencies of `learnt` ones.

    Both are counts of pairs of baseline codes, from `pairs`. `prior` is added to every learnt
    count, so that nothing is impossible; with `prior=0` and the same pairs twice, the results are
    entropies.
    """
    table = learnt + prior
    with np.errstate(divide="ignore", invalid="ignore"):
        unigram = -np.log2(table.sum(axis=0) / table.sum())
        bigram = -np.log2(table / table.sum(axis=1, keepdims=True))
    seen, total = scored > 0, scored.sum()
    refinement = float((scored.sum(axis=0) * refinement_bits(distribution)).sum() / total)
    unigram_bits, bigram_bits = (
        float((scored[seen] * bits[seen]).sum() / total)
        for bits in (np.broadcast_to(unigram, scored.shape), bigram)
    )
    return refinement + unigram_bits, refinement + bigram_bits


def autocorrelation(blocks: Iterable[Array]) -> Array:
    """Sums over a recording of wav[t] * wav[t - lag], for lags 0 ... ORDER."""
    sums = np.zeros(ORDER + 1)
    history = np.zeros(ORDER)
    for block in blocks:
        joined = np.concatenate([history, block])
        for lag in range(ORDER + 1):
            sums[lag] += float(joined[ORDER:] @ joined[ORDER - lag : len(joined) - lag])
        history = joined[-ORDER:]
    return sums


def predictor(sums: Array) -> Array:
    """Coefficients (ORDER,) that predict a sample from those before it, the newest first.

    `sums` come from `autocorrelation` (the autocorrelation method of linear prediction).
    """
    if sums[0] == 0:
        return np.zeros(ORDER)
    # A little white noise keeps the equations solvable for a pure tone.
    column = np.concatenate([[sums[0] * (1 + 1e-9)], sums[1:-1]])
    coefficients: Array = solve_toeplitz(column, sums[1:])
    return coefficients


def lpc_bits(
    blocks: Iterable[Samples], coefficients: Array, distribution: Distribution
) -> Iterator[Array]:
    """Bits of every sample of a recording by linear prediction, block by block.

    They are -log2 of the mass of the sample's code under a Laplace distribution around the
    prediction, whose scale is an EMA of the errors so far. Pass the recording from its start:
    before it there is silence.
    """
    bounds = np.concatenate([[-np.inf], distribution.edges(), [np.inf]])
    fir, ema = np.concatenate([[0.0], coefficients]), ([0.0, 1 - SCALE_DECAY], [1.0, -SCALE_DECAY])
    fir_state, ema_state = np.zeros(ORDER), np.full(1, FIRST_SCALE)
    for x in blocks:
        wav = distribution.decode(x).astype(np.float64)
        predicted, fir_state = lfilter(fir, [1.0], wav, zi=fir_state)
        errors = np.abs(wav - predicted)
        scale, ema_state = lfilter(*ema, errors, zi=ema_state)
        scale += LEAST_SCALE
        yield _laplace_bits((bounds[x] - predicted) / scale, (bounds[x + 1] - predicted) / scale)


def _laplace_bits(low: Array, high: Array) -> Array:
    """-log2 of a unit Laplace distribution's mass between two points, exact in the tails too."""
    # A bin right of the centre has the same mass as its mirror image on the left.
    mirrored = low > 0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    # Twice the mass below `low`, while that is left of the centre.
    left = np.exp(np.minimum(low, 0))
    straddling = (1 - 0.5 * left - 0.5 * np.exp(-np.maximum(high, 0))) * (high > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Far left, 0.5 * (exp(high) - exp(low)) underflows; its logarithm does not.
        tail = high + np.log1p(-np.exp(low - high)) + np.log(0.5)
        bits: Array = np.where(high > 0, -np.log(straddling), -tail) / np.log(2)
    return bits
