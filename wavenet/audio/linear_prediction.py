"""Linear prediction from mel frames: a filter that follows them, and what excites it.

The filter has the envelope of a frame's spectrum, so it is known wherever the frames are. Without
it a recording is about as loud at all times, and its spectrum falls alike in all sounds: that is
the excitation, which a vocoder's network can model in place of the recording. It goes back to
ExcitNet (Song et al. 2019), which computes the filter from the recording, and LPCNet (Valin and
Skoglund 2019), which computes it from frames. Here the excitation keeps the fall of a spectrum of
voices, as that of a filter 1 / (1 - EMPHASIS / z): the errors of a network are white, and so they
lie below the harmonics of a voice instead of among them.

The filter changes every BLOCK_SAMPLES, which are counted from the recording's start, and between
frames it is that of what lies between them on straight lines.
"""

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from wavenet.audio.mel_filters import filters as mel_filters
from wavenet.config import ModelConfig
from wavenet.glossary import Array, Wav

BLOCK_SAMPLES = 64
# Of an excitation, about: its peaks, which are ten times as large, just fit in -1 ... 1.
RMS = 0.08
# Of the window on autocorrelations, which keeps harmonics from being taken for formants: its
# deviation as a frequency.
LAG_WINDOW_HZ = 60.0
# Added to the power of all frequencies, as a part of all of it: 40 dB below.
NOISE_FLOOR = 1e-4
EMPHASIS = 0.9
# Whole recordings are predicted in pieces of so many blocks.
PIECE_BLOCKS = 512


class Filters(NamedTuple):
    """The filters of successive blocks, from the block of sample `start` on.

    A sample is about the sum of `coefficients` (blocks, order) times the samples before it, the
    nearest first, and `gains` (blocks,) times an excitation of deviation RMS.
    """

    coefficients: Array
    gains: Array
    start: int

    def of_samples(self, start: int, stop: int) -> tuple[Array, Array]:
        """Of each of these samples the coefficients (time, order) and the gain (time,)."""
        block = (np.arange(start, stop) - self.start) // BLOCK_SAMPLES
        return self.coefficients[block], self.gains[block]


def filters(
    frames: Array, sample_rate: int, model: ModelConfig, start: int, stop: int, first: int = 0
) -> Filters:
    """The filters of samples `start` to `stop` of a recording with these mel frames.

    `frames` are (frames, bands) as `audio.mel` makes them, from frame `first` of the recording on;
    before and after them the outer ones hold.
    """
    blocks = np.arange(start // BLOCK_SAMPLES, -(-stop // BLOCK_SAMPLES))
    place = (blocks + 0.5) * BLOCK_SAMPLES / model.frame_hop - first
    place = np.clip(place, 0, len(frames) - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (place - before)[:, None]
    between = (1 - share) * frames[before] + share * frames[after]
    to_logs, offset, to_correlations = _envelope(sample_rate, model)
    power = np.exp(2 * (between.astype(np.float64) @ to_logs + offset))
    coefficients, error = _levinson(power @ to_correlations)
    # What is left is emphasised, so it is louder than the error.
    gains = np.sqrt(error / (1 - EMPHASIS**2)) / RMS
    return Filters(coefficients, gains, int(blocks[0]) * BLOCK_SAMPLES)


@lru_cache(maxsize=8)
def _envelope(sample_rate: int, model: ModelConfig) -> tuple[Array, Array, Array]:
    """What makes autocorrelations (order + 1) of log-mel frames (bands), in two steps.

    To logarithms of a spectrum's magnitudes (bands, bins), to be added to (bins,): on straight
    lines between the middles of bands, and level beyond the outer ones. Then from power, under the
    Hann window of frames, to autocorrelations (bins, order + 1).
    """
    window = model.frame_window
    weights = mel_filters(sample_rate, model).astype(np.float64)
    bins = np.fft.rfftfreq(window, 1 / sample_rate)
    total = weights.sum(axis=1)
    middles = weights @ bins / total
    to_logs = np.stack([np.interp(bins, middles, unit) for unit in np.eye(len(middles))])
    emphasis = np.abs(1 - EMPHASIS * np.exp(-2j * np.pi * bins / sample_rate))
    # A magnitude of noise is smaller, in the mean, than the root of its power.
    offset = -np.log(total) @ to_logs + math.log(4 / math.pi) / 2 + np.log(emphasis)
    lags = np.arange(model.linear_prediction + 1)
    both_sides = np.where((bins == 0) | (2 * bins == sample_rate), 1, 2)[:, None]
    cosines = both_sides * np.cos(2 * np.pi * bins[:, None] * lags / sample_rate)
    lag_window = np.exp(-((2 * np.pi * LAG_WINDOW_HZ * lags / sample_rate) ** 2) / 2)
    lag_window[0] += NOISE_FLOOR
    energy = np.square(np.hanning(window + 1)[:-1]).sum()
    return to_logs, offset, cosines * lag_window / (window * energy)


def _levinson(correlations: Array) -> tuple[Array, Array]:
    """The prediction coefficients (blocks, order) of autocorrelations (blocks, order + 1).

    With the variance (blocks,) of what they leave, by Levinson's recursion.
    """
    order = correlations.shape[1] - 1
    coefficients = np.zeros((len(correlations), order))
    error = correlations[:, 0].copy()
    for i in range(order):
        predicted = np.einsum("bk,bk->b", coefficients[:, :i], correlations[:, i:0:-1])
        reflection = (correlations[:, i + 1] - predicted) / error
        coefficients[:, :i] -= reflection[:, None] * coefficients[:, :i][:, ::-1]
        coefficients[:, i] = reflection
        error *= 1 - reflection**2
    return coefficients, error


def excitation(wav: Wav, begin: int, start: int, filters: Filters) -> Wav:
    """What excites the filters to make samples `start` and later of a recording: float32 (time,).

    `wav` is the recording from sample `begin` on, or as much before `start` as the filters' order.
    Before it lies silence.
    """
    order = filters.coefficients.shape[1]
    padded = np.pad(wav[max(0, start - begin - order) :], (max(0, order - start + begin), 0))
    # (time, order + 1), the newest sample first.
    around = np.lib.stride_tricks.sliding_window_view(padded.astype(np.float64), order + 1)[:, ::-1]
    coefficients, gains = filters.of_samples(start, start + len(around))
    predicted = np.einsum("to,to->t", coefficients, around[:, 1:])
    left: Wav = ((around[:, 0] - predicted) / gains).astype(np.float32)
    return left


class Synthesis:
    """The filters of a recording's frames, excited block by block: the inverse of `excitation`.

    `frames` are (frames, bands). The same samples come out however they are cut into blocks.
    """

    def __init__(self, frames: Array, sample_rate: int, model: ModelConfig) -> None:
        order = model.linear_prediction
        self._of = partial(filters, frames, sample_rate, model)
        self._filters = Filters(np.zeros((0, order)), np.zeros(0), 0)
        self.time = 0
        # The last samples, the newest first, and what lfilter carries within a block.
        self._past, self._carried = np.zeros(order), np.zeros(order)
        # Coefficient m + 1 + k of a filter stands at [m, k], or 0 after the last.
        self._later = np.add.outer(np.arange(order), np.arange(order))

    def __call__(self, excitation: Wav) -> Wav:
        """The next samples, (time,) -> float32 (time,); they may lie beyond -1 ... 1."""
        parts = []
        while len(excitation):
            left = BLOCK_SAMPLES - self.time % BLOCK_SAMPLES
            parts.append(self._within_block(excitation[:left]))
            excitation = excitation[left:]
        return np.concatenate([np.zeros(0), *parts]).astype(np.float32)

    def _within_block(self, excitation: Wav) -> Array:
        from scipy.signal import lfilter

        block = (self.time - self._filters.start) // BLOCK_SAMPLES
        if block >= len(self._filters.gains):
            self._filters = self._of(self.time, self.time + PIECE_BLOCKS * BLOCK_SAMPLES)
            block = 0
        coefficients, gain = self._filters.coefficients[block], self._filters.gains[block]
        if self.time % BLOCK_SAMPLES == 0:
            self._carried = np.pad(coefficients, (0, len(coefficients)))[self._later] @ self._past
        samples, self._carried = lfilter(
            [gain], [1, *-coefficients], excitation.astype(np.float64), zi=self._carried
        )
        self.time += len(samples)
        self._past = np.concatenate([samples[::-1], self._past])[: len(self._past)]
        wav: Array = samples
        return wav
