"""Loudness at frame rate: of segments of audio on any device, or of a whole recording.

Loudness is the level of a frame in dB of full scale, with every frequency A-weighted (IEC 61672-1),
which is roughly how much of it people hear. A sine of 1 kHz at full scale has -3.01 dB. Only
`weights` needs librosa.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from wavenet.audio import mel
from wavenet.glossary import Array, Wav

# The loudness of silence, in dB: 16-bit samples have nothing below it.
FLOOR_DB = -100.0


@lru_cache(maxsize=8)
def weights(sample_rate: int, window: int) -> Array:
    """What each frequency's squared magnitude adds to a frame's mean square, read-only.

    Float32 (window // 2 + 1,), for magnitudes under a Hann window of `window` samples.
    """
    import librosa

    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=window)
    # A frequency of 0 Hz has the lowest weight that librosa gives, by way of a logarithm of 0.
    with np.errstate(divide="ignore"):
        a_weights = 10 ** (librosa.A_weighting(frequencies) / 10)
    # A half spectrum has all frequencies but 0 and half the rate once instead of twice.
    sides = np.full(len(frequencies), 2.0)
    sides[0] = 1
    if window % 2 == 0:
        sides[-1] = 1
    hann = librosa.filters.get_window("hann", window)
    weighted: Array = (a_weights * sides / (window * np.square(hann).sum())).astype(np.float32)
    # The cache hands the same array to everybody.
    weighted.flags.writeable = False
    return weighted


@lru_cache(maxsize=8)
def _weights_on(device: torch.device, sample_rate: int, window: int) -> Tensor:
    # A tensor that is made in inference mode could not be used in training afterwards.
    with torch.inference_mode(False):
        return torch.tensor(weights(sample_rate, window), device=device)


def loudness(wav: Tensor, sample_rate: int, window: int, hop: int) -> Tensor:
    """A-weighted loudness in dB, at least FLOOR_DB: (batch, samples) -> (batch, frames, 1).

    Nothing is padded: frame j is of wav[:, j * hop : j * hop + window].
    """
    with torch.autocast(wav.device.type, enabled=False):
        power = mel.magnitudes(wav.float(), window, hop).square()  # (batch, frequencies, frames)
        means = power.mT @ _weights_on(wav.device, sample_rate, window)[:, None]
        return 10 * means.clamp(min=10 ** (FLOOR_DB / 10)).log10()


@torch.no_grad()
def frames_of(wav: Wav, sample_rate: int, window: int, hop: int) -> Array:
    """The loudness of a whole recording in dB, float32 (frames, 1); `mel.count` says how many.

    Silence pads both ends: frame j is centred on sample j * hop.
    """
    blocks = mel.padded_blocks(wav, window, hop)
    # (frames, 1) of each block
    parts = [loudness(torch.from_numpy(b)[None], sample_rate, window, hop)[0] for b in blocks]
    frames: Array = torch.cat(parts).numpy()
    return frames
