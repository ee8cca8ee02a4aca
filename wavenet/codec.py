"""Mu-law companding (ITU-T G.711 in its continuous form) as pure functions."""

import numpy as np

from wavenet.shapes import Array, Samples, Wav


def encode(wav: Array, levels: int) -> Samples:
    """Audio in -1 ... 1 to codes 0 ... levels - 1; what lies outside is clipped. Rounds to the nearest level."""
    mu = levels - 1
    y = np.clip(np.asarray(wav, np.float64), -1, 1)
    y = np.sign(y) * np.log1p(mu * np.abs(y)) / np.log1p(mu)
    x: Samples = np.floor((y + 1) / 2 * mu + 0.5).astype(np.int64)
    return x


def decode(x: Array, levels: int) -> Wav:
    """Codes back to audio in exactly -1 ... 1; `encode(decode(x)) == x`."""
    mu = levels - 1
    y = 2 * np.asarray(x, np.float64) / mu - 1
    wav: Wav = (np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu).astype(np.float32)
    return wav


def edges(levels: int) -> Array:
    """Where one code ends and the next begins: levels - 1 values of audio, ascending; code c spans edges[c - 1] ... edges[c]."""
    mu = levels - 1
    y = (2 * np.arange(1, levels) - 1) / mu - 1
    found: Array = np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu
    return found
