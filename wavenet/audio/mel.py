"""Log-mel frames: of segments of audio on any device, or of a whole recording at flat memory.

A frame is the magnitude spectrum of `model.frame_window` samples under a Hann window, in
`model.mel_bands` Slaney mel bands, as natural logarithms (Shen et al. 2018, section 2.2).
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from wavenet.audio.framing import count as count
from wavenet.audio.framing import padded
from wavenet.audio.mel_filters import filters as filters
from wavenet.audio.mel_scales import FLOOR as FLOOR
from wavenet.audio.mel_scales import MIN_MAGNITUDE as MIN_MAGNITUDE
from wavenet.config import ModelConfig
from wavenet.glossary import Array, Wav

# Frames of a whole recording that are computed at once.
BLOCK_FRAMES = 1024


@lru_cache(maxsize=8)
def _hann(window: int, device: torch.device) -> Tensor:
    # A tensor that is made in inference mode could not be used in training afterwards.
    with torch.inference_mode(False):
        return torch.hann_window(window, device=device)


@lru_cache(maxsize=8)
def _filters_on(device: torch.device, sample_rate: int, model: ModelConfig) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(filters(sample_rate, model), device=device)


def magnitudes(wav: Tensor, window: int, hop: int) -> Tensor:
    """Spectra under a Hann window, (batch, samples) -> (batch, window // 2 + 1, frames).

    Nothing is padded: frame j is of wav[:, j * hop : j * hop + window].
    """
    assert wav.shape[-1] >= window, f"{wav.shape[-1]} samples make no frame of {window}"
    return torch.stft(
        wav, window, hop, window=_hann(window, wav.device), center=False, return_complex=True
    ).abs()


def log_mel(wav: Tensor, sample_rate: int, model: ModelConfig) -> Tensor:
    """Log-mel frames, (batch, samples) -> (batch, bands, frames).

    Nothing is padded: frame j is of wav[:, j * hop : j * hop + window].
    """
    with torch.autocast(wav.device.type, enabled=False):
        spectrum = magnitudes(wav, model.frame_window, model.frame_hop)
        bands = _filters_on(wav.device, sample_rate, model) @ spectrum  # (batch, bands, frames)
    return bands.clamp(min=MIN_MAGNITUDE).log()


def padded_blocks(wav: Wav, window: int, hop: int) -> Iterator[Wav]:
    """A whole recording as overlapping blocks that make up to BLOCK_FRAMES frames each.

    Silence pads both ends, so that frame j of the recording is centred on sample j * hop.
    """
    frames = count(len(wav), hop)
    for first in range(0, frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, frames) - 1
        yield padded(wav, first, last, window, hop)


@torch.no_grad()
def frames_of(wav: Wav, sample_rate: int, model: ModelConfig) -> Array:
    """The log-mel frames of a whole recording, float32 (frames, bands); `count` says how many."""
    frames = np.empty((count(len(wav), model.frame_hop), model.mel_bands), np.float32)
    for i, block in enumerate(padded_blocks(wav, model.frame_window, model.frame_hop)):
        bands = log_mel(torch.from_numpy(block)[None], sample_rate, model)[0]  # (bands, frames)
        frames[i * BLOCK_FRAMES :][: bands.shape[1]] = bands.T.numpy()
    return frames
