"""How close one recording is to another of the same length, and Griffin-Lim, which sets the scale.

STOI and PESQ come from the packages of `pip install 'wavenet-audio[metrics]'`.
"""

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch

from wavenet.audio import mel
from wavenet.config import ModelConfig
from wavenet.glossary import Array, Wav

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # window and hop, in samples
# Of a spectrum: just above the rounding of 16-bit audio under these windows.
LEAST_MAGNITUDE = math.sqrt(1e-7)
DB_PER_NAT = 20 / math.log(10)  # of a magnitude's logarithm
PESQ_RATE = 16_000  # Hz, of its wide-band mode
# Its C code overruns a buffer, and dies, at the 51st utterance. Those begin at least 0.4 s apart.
PESQ_SECONDS = 15.0
# How the packages refuse audio. PesqError is a RuntimeError; STOI only warns.
REFUSALS = (RuntimeWarning, RuntimeError, ValueError)


@dataclass(frozen=True)
class CopyMetrics:
    """Distances from a reference, 0 for a copy, and two estimates of what a listener perceives.

    The first two are the terms of the multi-resolution STFT loss (Yamamoto et al. 2020, Parallel
    WaveGAN), averaged over RESOLUTIONS. The estimates are None where they cannot be computed.
    """

    # Frobenius norm of the difference of magnitudes, over that of the reference's magnitudes.
    spectral_convergence: float
    # Mean absolute difference of log-magnitudes.
    log_stft_db: float
    # Mean absolute difference of log-mel frames of the kind that the model is conditioned on.
    mel_db: float
    # Intelligibility, at most 1 (Taal et al. 2011).
    stoi: float | None
    # Wide-band quality, 1 to 4.64 (ITU-T P.862.2).
    pesq: float | None


def compare(reference: Wav, candidate: Wav, sample_rate: int, model: ModelConfig) -> CopyMetrics:
    """How close `candidate` comes to `reference`, both (samples,)."""
    assert reference.shape == candidate.shape, f"{reference.shape} against {candidate.shape}"
    distances = [_stft_distance(reference, candidate, window, hop) for window, hop in RESOLUTIONS]
    reference_frames = mel.frames_of(reference, sample_rate, model)
    candidate_frames = mel.frames_of(candidate, sample_rate, model)
    mel_nats = np.abs(reference_frames - candidate_frames).mean(dtype=np.float64)
    return CopyMetrics(
        spectral_convergence=float(np.mean([convergence for convergence, _ in distances])),
        log_stft_db=float(np.mean([db for _, db in distances])),
        mel_db=DB_PER_NAT * float(mel_nats),
        stoi=_stoi(reference, candidate, sample_rate),
        pesq=_pesq(reference, candidate, sample_rate),
    )


def _stft_distance(reference: Wav, candidate: Wav, window: int, hop: int) -> tuple[float, float]:
    """(spectral convergence, mean absolute log-magnitude difference in dB) at one resolution.

    Computed in blocks of frames.
    """
    error = energy = nats = 0.0
    values = 0
    reference_blocks = mel.padded_blocks(reference, window, hop)
    candidate_blocks = mel.padded_blocks(candidate, window, hop)
    for pair in zip(reference_blocks, candidate_blocks, strict=True):
        wavs = torch.from_numpy(np.stack(pair))
        r, c = mel.magnitudes(wavs, window, hop).double()  # (window // 2 + 1, frames) each
        error += float((r - c).square().sum())
        energy += float(r.square().sum())
        log_r, log_c = (m.clamp(min=LEAST_MAGNITUDE).log() for m in (r, c))
        nats += float((log_r - log_c).abs().sum())
        values += r.numel()
    convergence = math.sqrt(error / max(energy, LEAST_MAGNITUDE**2))
    return convergence, DB_PER_NAT * nats / values


def _stoi(reference: Wav, candidate: Wav, sample_rate: int) -> float | None:
    package = _optional("pystoi")
    if package is None or not reference.any():
        return None
    return _score(package.stoi, reference, candidate, sample_rate)


def _pesq(reference: Wav, candidate: Wav, sample_rate: int) -> float | None:
    """The mean over parts of equal length, PESQ_SECONDS at most, without those it refuses."""
    package = _optional("pesq")
    if package is None:
        return None
    wavs = [soxr.resample(wav, sample_rate, PESQ_RATE) for wav in (reference, candidate)]
    pair = np.stack(wavs)  # (2, samples)
    n_parts = math.ceil(pair.shape[1] / (PESQ_SECONDS * PESQ_RATE)) or 1
    parts = np.array_split(pair, n_parts, axis=1)
    scores = [_score(package.pesq, PESQ_RATE, r, c, "wb") for r, c in parts]
    valid = [score for score in scores if score is not None]
    return float(np.mean(valid)) if valid else None


def _optional(package: str) -> Any:
    """The package, or None where it is missing or was built against something else."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(package)
    except (ImportError, ValueError):
        return None


def missing(package: str) -> bool:
    """Whether the package of an optional metric cannot be imported."""
    return _optional(package) is None


def _score(measure: Callable[..., float], *arguments: Any) -> float | None:
    """A score, or None where the measure refuses: short audio, silence, nothing like speech."""
    try:
        with warnings.catch_warnings(action="error"):
            score = float(measure(*arguments))
    except REFUSALS:
        return None
    return score if math.isfinite(score) else None


def griffin_lim(frames: Array, samples: int, sample_rate: int, model: ModelConfig) -> Wav:
    """Audio (samples,) from mel frames (frames, bands) without a network: the baseline.

    Magnitudes by non-negative least squares, phases by the fast Griffin-Lim algorithm (Perraudin
    et al. 2013).
    """
    import librosa

    window, hop = model.mel_window, model.mel_hop
    assert len(frames) == mel.count(samples, hop), f"{len(frames)} frames for {samples} samples"
    # librosa warns about less than a window.
    length = max(samples, window)
    missing_frames = mel.count(length, hop) - len(frames)
    padded = np.pad(frames, ((0, missing_frames), (0, 0)), constant_values=mel.FLOOR)
    spectrum = librosa.feature.inverse.mel_to_stft(
        np.exp(padded.T),
        sr=sample_rate,
        n_fft=window,
        power=1,
        fmin=model.mel_low_hz,
        fmax=model.mel_high_hz,
    )
    # Of an odd window librosa would otherwise count a frame less.
    length += window % 2
    wav: Wav = librosa.griffinlim(
        spectrum,
        n_iter=60,
        hop_length=hop,
        win_length=window,
        n_fft=window,
        momentum=0.99,
        length=length,
        random_state=0,
    )
    return wav[:samples]
