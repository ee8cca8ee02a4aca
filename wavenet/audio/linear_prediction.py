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
from wavenet.audio.mel_scales import HIGHEST
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
    # Frames of others may have values that no sound has.
    of_blocks = np.minimum(_on_lines(frames, place), HIGHEST)
    # Not by products of matrices, which wake threads that the network is trained with.
    envelope = _envelope(sample_rate, model)
    logs = _on_lines(of_blocks.T, envelope.bands).T + envelope.offset
    correlations = np.fft.irfft(np.exp(2 * logs), model.frame_window, axis=1)
    order = model.linear_prediction
    coefficients, error = _levinson(correlations[:, : order + 1] * envelope.lag_window)
    # What is left is emphasised, so it is louder than the error.
    gains = np.sqrt(error / (1 - EMPHASIS**2)) / RMS
    return Filters(coefficients, gains, int(blocks[0]) * BLOCK_SAMPLES)


def _on_lines(rows: Array, place: Array) -> Array:
    """The rows (n, columns) at each place (m,), on straight lines between them: float64.

    Beyond the outer rows these hold.
    """
    place = np.clip(place, 0, len(rows) - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(rows) - 1)
    share = (place - before)[:, None]
    between: Array = (1 - share) * rows[before] + share * rows[after]
    return between


class _Envelope(NamedTuple):
    """What makes autocorrelations of log-mel frames."""

    # Between which bands each bin of a spectrum lies (bins,): at 1.5, amid the second and third.
    bands: Array
    # Added to what lies there (bins,), it makes logarithms of magnitudes.
    offset: Array
    # Of autocorrelations (order + 1,), under the Hann window of frames.
    lag_window: Array


@lru_cache(maxsize=8)
def _envelope(sample_rate: int, model: ModelConfig) -> _Envelope:
    window = model.frame_window
    weights = mel_filters(sample_rate, model).astype(np.float64)
    bins = np.fft.rfftfreq(window, 1 / sample_rate)
    total = weights.sum(axis=1)
    middles = (weights * bins).sum(axis=1) / total
    bands = np.interp(bins, middles, np.arange(len(middles)))
    emphasis = np.abs(1 - EMPHASIS * np.exp(-2j * np.pi * bins / sample_rate))
    # A magnitude of noise is smaller, in the mean, than the root of its power.
    offset = math.log(4 / math.pi) / 2 + np.log(emphasis)
    offset -= _on_lines(np.log(total)[:, None], bands)[:, 0]
    lags = np.arange(model.linear_prediction + 1)
    lag_window = np.exp(-((2 * np.pi * LAG_WINDOW_HZ * lags / sample_rate) ** 2) / 2)
    lag_window[0] += NOISE_FLOOR
    energy = np.square(np.hanning(window + 1)[:-1]).sum()
    return _Envelope(bands, offset, lag_window / energy)


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
    left = np.empty(len(around), np.float32)
    piece = PIECE_BLOCKS * BLOCK_SAMPLES
    for at in range(0, len(around), piece):
        samples = around[at : at + piece]
        coefficients, gains = filters.of_samples(start + at, start + at + len(samples))
        predicted = np.einsum("to,to->t", coefficients, samples[:, 1:])
        left[at : at + piece] = (samples[:, 0] - predicted) / gains
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
