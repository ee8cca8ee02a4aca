"""Audio to codes and back as pure functions: mu-law companding (ITU-T G.711 in its continuous form), and plain 16-bit samples."""

from functools import cache
from typing import Any

import numpy as np

from wavenet.arrays import Array, Samples, Wav

FULL_SCALE = (
    1 << 15
)  # 16-bit steps from silence to a full excursion; also the 16-bit code of silence
LEVELS_16BIT = 1 << 16


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


@cache
def bits_to_16bit(levels: int) -> Array:
    """log2 of how many 16-bit samples share each mu-law code (levels,), by counting; 0 for a code finer than one of them."""
    counts = np.bincount(encode(decode_16bit(np.arange(LEVELS_16BIT)), levels), minlength=levels)
    found: Array = np.log2(np.maximum(counts, 1))
    found.flags.writeable = False  # it is shared
    return found


def encode_16bit(wav: Array) -> Samples:
    """Audio in -1 ... 1 to codes 0 ... 65535: the nearest 16-bit sample, counted from the lowest."""
    x: Samples = (
        np.clip(np.rint(np.asarray(wav, np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
        + FULL_SCALE
    ).astype(np.int64)
    return x


def decode_16bit(x: Array) -> Wav:
    """Codes back to audio, exactly."""
    wav: Wav = ((np.asarray(x, np.float64) - FULL_SCALE) / FULL_SCALE).astype(np.float32)
    return wav


def edges_16bit() -> Array:
    """As `edges`: the 65,535 values of audio half way between neighbouring codes."""
    found: Array = (np.arange(1, LEVELS_16BIT) - 0.5 - FULL_SCALE) / FULL_SCALE
    return found


def as_wav(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> Wav:
    """Cached samples as audio in -1 ... 1."""
    return pcm.astype(np.float32) / np.float32(32768)
