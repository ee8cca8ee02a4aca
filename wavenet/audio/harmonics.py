"""What harmonics look like in log-mel frames: combs, of which the right one tells a voice's pitch.

In a frame of a voice the bands at multiples of its pitch stand above those between them. A comb for
a pitch weighs every band by the cosine that is 1 at these multiples and -1 half way between, so the
sum is largest for the pitch that the frame has: nine of ten voiced frames of speech are told within
a semitone by the largest sum alone. It is a cepstrum, of mel frames.
"""

from functools import lru_cache

import numpy as np

from wavenet.glossary import Array

LOWEST_HZ, HIGHEST_HZ = 65.0, 600.0
# Half a semitone and a little more apart.
PITCHES = 64
# Harmonics lie closer to each other than bands from here on, at a low pitch even before.
FADES_HZ, ENDS_HZ = 1000.0, 3000.0
# Slaney's scale: so many Hz to a mel, and from 1000 Hz on a ratio.
LINEAR_HZ, LOG_FROM_HZ, LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


@lru_cache(maxsize=8)
def combs(count: int, bands: int, low_hz: float, high_hz: float) -> Array:
    """Weights of bands, (count, bands), for as many pitches between LOWEST_HZ and HIGHEST_HZ.

    `bands` lie from `low_hz` to `high_hz` as `audio.mel` has them. Rows have a norm of 1 and are
    orthogonal to straight lines, or are 0 where the bands do not reach the pitch. Read-only.
    """
    low, high = _slaney_mels(np.array([low_hz, high_hz]))
    edges = _slaney_hz(np.linspace(low, high, bands + 2))
    hertz = np.arange(0.5, ENDS_HZ, 1.0)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.minimum(rising, falling).clip(0)
    pitches = np.geomspace(LOWEST_HZ, HIGHEST_HZ, count)[:, None]
    cosines = np.cos(2 * np.pi * hertz / pitches) * np.exp(-hertz / FADES_HZ)
    # Below the first harmonic nothing tells of pitch.
    cosines *= hertz > 0.4 * pitches
    widths = (edges[2:] - edges[:-2])[:, None] / 2
    weights = cosines @ (triangles / widths).T
    # A spectrum that rises or falls, as of hiss, is no comb's.
    within = edges[1:-1] < ENDS_HZ
    line = np.stack([np.ones(bands), np.linspace(-1, 1, bands)], axis=1)[within]
    weights[:, ~within] = 0
    orthonormal = np.linalg.qr(line)[0]
    weights[:, within] -= weights[:, within] @ orthonormal @ orthonormal.T
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    scaled: Array = (weights / np.maximum(norms, 1e-9)).astype(np.float32)
    # The cache hands the same array to everybody.
    scaled.flags.writeable = False
    return scaled


def prominence(frames: Array, low_hz: float, high_hz: float) -> Array:
    """How far harmonics stand out of each log-mel frame: (frames, bands) -> (frames,).

    The largest sum of any comb, over three frames: about 1 in noise, 2 to 7 in most voices.
    """
    weights = combs(PITCHES, frames.shape[1], low_hz, high_hz)
    largest = np.pad((frames @ weights.T).max(axis=1), 1, mode="edge")
    smoothed: Array = largest[:-2] / 4 + largest[1:-1] / 2 + largest[2:] / 4
    return smoothed


def _slaney_mels(hertz: Array) -> Array:
    above = np.log(np.maximum(hertz, LOG_FROM_HZ) / LOG_FROM_HZ) / LOG_STEP
    mels: Array = np.minimum(hertz, LOG_FROM_HZ) / LINEAR_HZ + above
    return mels


def _slaney_hz(mels: Array) -> Array:
    first = LOG_FROM_HZ / LINEAR_HZ
    above = np.exp(np.maximum(mels - first, 0) * LOG_STEP)
    hertz: Array = np.minimum(mels, first) * LINEAR_HZ * above
    return hertz
