"""What a sample costs without a network, in bits: guessed by frequency, by the sample before, by linear prediction.

The yardsticks beside every likelihood: a model above `bigram` has learnt little, a sound one passes `lpc`.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from wavenet.arrays import Array, Samples, Wav
from wavenet.audio import quantization
from wavenet.model.distributions.base import Distribution

ORDER = 24  # of the linear prediction
SCALE_DECAY = 0.99  # per sample, of the average error that scales its Laplace distribution
FIRST_SCALE = 0.01  # of full scale
LEAST_SCALE = 1e-4  # digital silence has no error at all


def pairs(blocks: Iterable[Samples], levels: int) -> Array:
    """How often each code follows each other, [before, after], in blocks of codes; each begins with one sample of context."""
    counts = np.zeros(levels * levels)
    for x in blocks:
        counts += np.bincount(x[:-1] * levels + x[1:], minlength=len(counts))
    return counts.reshape(levels, levels)


def open_bits(distribution: Distribution) -> Array:
    """What each code of `coarse` leaves open (coarse.levels,): bits to tell apart the distribution's own codes that share it.

    None for mu-law, whose codes are counted themselves; for a mixture, the log2 of how many 16-bit samples a mu-law code holds.
    """
    coarse, wav = (
        distribution.baseline_codes,
        quantization.decode_16bit(np.arange(quantization.LEVELS_16BIT)),
    )
    x = coarse.encode(wav)
    counts = np.bincount(x, minlength=coarse.levels)
    own = np.bincount(
        x, distribution.bits_to_16bit(distribution.encode(wav)), minlength=coarse.levels
    ) / np.maximum(counts, 1)
    found: Array = np.where(counts > 0, coarse.bits_to_16bit(np.arange(coarse.levels)) - own, 0)
    return found


def pair_bits(
    learnt: Array, scored: Array, distribution: Distribution, prior: float = 0.1
) -> tuple[float, float]:
    """(unigram, bigram) bits per sample of the `scored` pairs under the frequencies of the `learnt` ones, pairs of coarse codes both.

    `prior` is added to every count, so that nothing is impossible; with `prior=0` and the same pairs twice, they are entropies.
    """
    table = learnt + prior
    with np.errstate(divide="ignore", invalid="ignore"):
        unigram = -np.log2(table.sum(axis=0) / table.sum())
        bigram = -np.log2(table / table.sum(axis=1, keepdims=True))
    seen = scored > 0
    total = scored.sum()
    alone = np.broadcast_to(unigram, scored.shape)
    finer = float((scored.sum(axis=0) * open_bits(distribution)).sum() / total)
    return finer + float((scored[seen] * alone[seen]).sum() / total), finer + float(
        (scored[seen] * bigram[seen]).sum() / total
    )


def autocorrelation(blocks: Iterable[Wav]) -> Array:
    """Sums over a recording of wav[t] * wav[t - lag], for lags 0 ... ORDER."""
    sums = np.zeros(ORDER + 1)
    before = np.zeros(ORDER)
    for block in blocks:
        joined = np.concatenate([before, block])
        now = joined[ORDER:]
        sums += [float(now @ joined[ORDER - lag : len(joined) - lag]) for lag in range(ORDER + 1)]
        before = joined[len(joined) - ORDER :]
    return sums


def predictor(sums: Array) -> Array:
    """Coefficients that predict a sample from the ORDER before it, the latest first (the autocorrelation method)."""
    if sums[0] == 0:
        return np.zeros(ORDER)
    coefficients: Array = solve_toeplitz(
        np.concatenate([[sums[0] * (1 + 1e-9)], sums[1:-1]]), sums[1:]
    )
    return coefficients


def lpc_bits(
    blocks: Iterable[Samples], coefficients: Array, distribution: Distribution
) -> Iterator[Array]:
    """Bits of every sample of a recording, block by block: the mass of its code under a Laplace distribution around the prediction.

    Its scale is a running average of the errors so far. Pass the recording from its start: before it there is silence.
    """
    bounds = np.concatenate([[-np.inf], distribution.edges(), [np.inf]])
    predict = np.concatenate([[0.0], coefficients])
    memory, scale_memory = np.zeros(ORDER), np.full(1, FIRST_SCALE)
    for x in blocks:
        wav = distribution.decode(x).astype(np.float64)
        predicted, memory = lfilter(predict, [1.0], wav, zi=memory)
        scale, scale_memory = lfilter(
            [0.0, 1 - SCALE_DECAY], [1.0, -SCALE_DECAY], np.abs(wav - predicted), zi=scale_memory
        )
        scale += LEAST_SCALE
        yield _laplace_bits((bounds[x] - predicted) / scale, (bounds[x + 1] - predicted) / scale)


def _laplace_bits(low: Array, high: Array) -> Array:
    """-log2 of the mass of a unit Laplace distribution between two points, exact far out in its tails."""
    mirrored = low > 0  # a bin right of the centre weighs as much as its mirror image on the left
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    left = np.exp(np.minimum(low, 0))  # twice the mass below, while that is left of the centre
    straddling = (1 - 0.5 * left - 0.5 * np.exp(-np.maximum(high, 0))) * (high > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # far left, 0.5 * (exp(high) - exp(low)) underflows; its logarithm does not
        tail = high + np.log1p(-np.exp(low - high)) + np.log(0.5)
        nats = np.where(high > 0, -np.log(straddling), -tail)
    bits: Array = nats / np.log(2)
    return bits
