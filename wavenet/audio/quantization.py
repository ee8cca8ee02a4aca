"""Audio to codes and back as pure functions: mu-law companding, and plain 16-bit samples.

Mu-law is that of ITU-T G.711 in its continuous form.
"""

from functools import cache

import numpy as np

from wavenet.glossary import Array, Pcm, Samples, Wav

# 16-bit steps from silence to a full excursion, and also the 16-bit code of silence.
FULL_SCALE = 1 << 15
LEVELS_16BIT = 1 << 16


def encode(wav: Array, levels: int) -> Samples:
    """Audio in -1 ... 1 to mu-law codes 0 ... levels - 1, the nearest one each.

    What lies outside -1 ... 1 is clipped.
    """
    x: Samples = np.floor((_companded(wav, levels) + 1) / 2 * (levels - 1) + 0.5).astype(np.int64)
    return x


def decode(x: Array, levels: int) -> Wav:
    """Mu-law codes back to audio in exactly -1 ... 1; `encode(decode(x)) == x`."""
    return _expanded(2 * np.asarray(x, np.float64) / (levels - 1) - 1, levels).astype(np.float32)


def edges(levels: int) -> Array:
    """Where one mu-law code ends and the next begins: levels - 1 values of audio, ascending.

    Code c spans edges[c - 1] ... edges[c].
    """
    return _expanded((2 * np.arange(1, levels) - 1) / (levels - 1) - 1, levels)


def with_noise(wav: Wav, noise: Array) -> Wav:
    """Audio with noise of as many samples, in levels of 256-level mu-law, so as loud as itself."""
    y = np.clip(_companded(wav, 256) + 2 * noise / 255, -1, 1)
    return _expanded(y, 256).astype(np.float32)


def _companded(wav: Array, levels: int) -> Array:
    """Audio by mu-law's companding, in -1 ... 1."""
    mu = levels - 1
    y = np.clip(np.asarray(wav, np.float64), -1, 1)
    companded: Array = np.sign(y) * np.log1p(mu * np.abs(y)) / np.log1p(mu)
    return companded


def _expanded(y: Array, levels: int) -> Array:
    """The inverse of mu-law's companding, of y in -1 ... 1."""
    mu = levels - 1
    wav: Array = np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu
    return wav


@cache
def bits_to_16bit(levels: int) -> Array:
    """log2 of the number of 16-bit samples that share each mu-law code, by counting: (levels,).

    It is 0 for a code that spans less than one 16-bit step. The array is read-only.
    """
    codes = encode(decode_16bit(np.arange(LEVELS_16BIT)), levels)
    counts = np.bincount(codes, minlength=levels)
    bits: Array = np.log2(np.maximum(counts, 1))
    # The cache hands the same array to everybody.
    bits.flags.writeable = False
    return bits


def encode_16bit(wav: Array) -> Samples:
    """Audio in -1 ... 1 to codes 0 ... 65535: the nearest 16-bit sample, counted from the lowest.

    What lies outside the 16-bit range is clipped.
    """
    return to_pcm16(np.asarray(wav, np.float64)).astype(np.int64) + FULL_SCALE


def decode_16bit(x: Array) -> Wav:
    """16-bit codes back to audio, exactly."""
    return from_pcm16(np.asarray(x) - FULL_SCALE)


def edges_16bit() -> Array:
    """As `edges`: the 65,535 values of audio half way between neighbouring 16-bit codes."""
    boundaries: Array = (np.arange(1, LEVELS_16BIT) - 0.5 - FULL_SCALE) / FULL_SCALE
    return boundaries


def to_pcm16(wav: Array, gain: float = 1.0) -> Pcm:
    """Audio, played at a gain, to 16-bit samples -32768 ... 32767: rounded, and clipped to them."""
    scaled = np.rint(wav * (gain * FULL_SCALE))
    pcm: Pcm = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm


def from_pcm16(pcm: Pcm) -> Wav:
    """16-bit samples to audio in -1 ... 1."""
    return pcm.astype(np.float32) / np.float32(FULL_SCALE)
