"""The log-mel frames that a network follows: of a stretch of audio on any device, or of a whole recording at flat memory.

A frame is the magnitude spectrum of `model.mel_window` samples under a Hann window, in `model.mel_bands` Slaney mel bands, as
natural logarithms (Shen et al. 2018, section 2.2). Only `filters` needs librosa.
"""

import math
import warnings
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from wavenet.arrays import Array, Wav
from wavenet.config import ModelConfig
from wavenet.errors import ConfigError

LEAST = 1e-5  # nothing quieter is told apart
FLOOR = math.log(LEAST)  # what silence gives in every band
BLOCK_FRAMES = 1024  # of a whole recording, computed at once


def count(samples: int, hop: int) -> int:
    """Frames of a whole recording: frame j is centred on sample j * hop."""
    return 1 + samples // hop


@lru_cache(maxsize=8)
def filters(sample_rate: int, model: ModelConfig) -> Array:
    """Weights of every frequency in every band, (bands, window // 2 + 1), read-only. Raises ConfigError if one is deaf."""
    import librosa

    bands, window = model.mel_bands, model.mel_window
    with warnings.catch_warnings(
        action="ignore"
    ):  # librosa's about deaf bands, which are refused here
        weights: Array = librosa.filters.mel(
            sr=sample_rate,
            n_fft=window,
            n_mels=bands,
            fmin=model.mel_low_hz,
            fmax=model.mel_high_hz,
            htk=False,
            norm="slaney",
        )
    deaf = int((weights.max(axis=1) == 0).sum())
    if deaf:
        raise ConfigError(
            f"model.mel_bands = {bands}: {deaf} of them would hear nothing: model.mel_window = {window} tells frequencies "
            f"{sample_rate / window:.3g} Hz apart; use fewer bands or a longer window"
        )
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=8)
def _hann(window: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is made inside that mode could not be used outside it
        return torch.hann_window(window, device=device)


@lru_cache(maxsize=8)
def _filters_on(device: torch.device, sample_rate: int, model: ModelConfig) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(filters(sample_rate, model), device=device)


def magnitudes(wav: Tensor, window: int, hop: int) -> Tensor:
    """Of each stretch (batch, samples) the spectra under a Hann window, (batch, window // 2 + 1, frames), nothing padded."""
    assert wav.shape[-1] >= window, f"{wav.shape[-1]} samples make no frame of {window}"
    return torch.stft(
        wav, window, hop, window=_hann(window, wav.device), center=False, return_complex=True
    ).abs()


def log_mel(wav: Tensor, sample_rate: int, model: ModelConfig) -> Tensor:
    """Frames of stretches of audio, (batch, samples) -> (batch, bands, frames): frame j is of wav[:, j * hop : j * hop + window]."""
    with torch.autocast(wav.device.type, enabled=False):
        spectrum = magnitudes(wav, model.mel_window, model.mel_hop)
        bands = _filters_on(wav.device, sample_rate, model) @ spectrum  # (batch, bands, frames)
    return bands.clamp(min=LEAST).log()


def stretches(wav: Wav, window: int, hop: int) -> Iterator[Wav]:
    """A whole recording in stretches of up to BLOCK_FRAMES frames, silence around it: frame j is centred on sample j * hop."""
    frames = count(len(wav), hop)
    for first in range(0, frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, frames) - 1
        start = first * hop - window // 2
        stretch = np.zeros((last - first) * hop + window, np.float32)
        inside = wav[max(0, start) : start + len(stretch)]
        stretch[max(0, -start) :][: len(inside)] = inside
        yield stretch


@torch.no_grad()
def frames_of(wav: Wav, sample_rate: int, model: ModelConfig) -> Array:
    """The frames of a whole recording, float32 (frames, bands), as many as `count` says."""
    frames = np.empty((count(len(wav), model.mel_hop), model.mel_bands), np.float32)
    for i, stretch in enumerate(stretches(wav, model.mel_window, model.mel_hop)):
        block = log_mel(torch.from_numpy(stretch)[None], sample_rate, model)[0]  # (bands, frames)
        frames[i * BLOCK_FRAMES :][: block.shape[1]] = block.T.numpy()
    return frames
