"""How close one recording is to another of the same length: the figures for copy-synthesis, and the yardstick beside them.

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

from wavenet.arrays import Array, Wav
from wavenet.audio import mel
from wavenet.config import ModelConfig

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # window and hop, in samples
LEAST_MAGNITUDE = math.sqrt(
    1e-7
)  # of a spectrum: just above the rounding of 16-bit audio under these windows
DB_PER_NAT = 20 / math.log(10)  # of a magnitude's logarithm
PESQ_RATE = 16_000  # Hz, of its wide-band mode
PESQ_SECONDS = 15.0  # its C code overruns a buffer, and dies, at the 51st utterance; those begin at least 0.4 s apart
REFUSALS = (
    RuntimeWarning,
    RuntimeError,
    ValueError,
)  # PesqError is a RuntimeError; STOI only warns


@dataclass(frozen=True)
class CopyMetrics:
    """Distances from a reference, 0 for a copy, and two estimates of what a listener hears, None where they cannot be had.

    The first two are the terms of the multi-resolution STFT loss (Yamamoto et al. 2020, Parallel WaveGAN), averaged over RESOLUTIONS.
    """

    spectral_convergence: (
        float  # |difference of magnitudes| / |magnitudes of the reference|, Frobenius norms
    )
    log_stft_db: float  # mean absolute difference of log-magnitudes
    mel_db: float  # mean absolute difference of the log-mel frames that the model itself follows
    stoi: float | None  # intelligibility, at most 1 (Taal et al. 2011)
    pesq: float | None  # wide-band quality, 1 to 4.64 (ITU-T P.862.2)


def compare(reference: Wav, made: Wav, sample_rate: int, model: ModelConfig) -> CopyMetrics:
    """How close `made` comes to `reference`, both (samples,)."""
    assert reference.shape == made.shape, f"{reference.shape} against {made.shape}"
    distances = [_stft_distance(reference, made, window, hop) for window, hop in RESOLUTIONS]
    frames, made_frames = (mel.frames_of(wav, sample_rate, model) for wav in (reference, made))
    return CopyMetrics(
        spectral_convergence=float(np.mean([convergence for convergence, _ in distances])),
        log_stft_db=float(np.mean([db for _, db in distances])),
        mel_db=DB_PER_NAT * float(np.abs(frames - made_frames).mean(dtype=np.float64)),
        stoi=_stoi(reference, made, sample_rate),
        pesq=_pesq(reference, made, sample_rate),
    )


def _stft_distance(reference: Wav, made: Wav, window: int, hop: int) -> tuple[float, float]:
    """(spectral convergence, mean absolute log-magnitude difference in dB) at one resolution, in blocks of frames."""
    error = energy = nats = 0.0
    values = 0
    for pair in zip(
        mel.stretches(reference, window, hop), mel.stretches(made, window, hop), strict=True
    ):
        r, m = mel.magnitudes(
            torch.from_numpy(np.stack(pair)), window, hop
        ).double()  # (window // 2 + 1, frames) each
        error += float((r - m).square().sum())
        energy += float(r.square().sum())
        nats += float(
            (r.clamp(min=LEAST_MAGNITUDE).log() - m.clamp(min=LEAST_MAGNITUDE).log()).abs().sum()
        )
        values += r.numel()
    return math.sqrt(error / max(energy, LEAST_MAGNITUDE**2)), DB_PER_NAT * nats / values


def _stoi(reference: Wav, made: Wav, sample_rate: int) -> float | None:
    package = _optional("pystoi")
    if package is None or not reference.any():
        return None
    return _score(package.stoi, reference, made, sample_rate)


def _pesq(reference: Wav, made: Wav, sample_rate: int) -> float | None:
    """The mean over stretches of equal length, PESQ_SECONDS at most, without those that it finds no speech in."""
    package = _optional("pesq")
    if package is None:
        return None
    pair = np.stack([soxr.resample(wav, sample_rate, PESQ_RATE) for wav in (reference, made)])
    parts = np.array_split(pair, math.ceil(pair.shape[1] / (PESQ_SECONDS * PESQ_RATE)) or 1, axis=1)
    scores = [_score(package.pesq, PESQ_RATE, r, m, "wb") for r, m in parts]
    heard = [score for score in scores if score is not None]
    return float(np.mean(heard)) if heard else None


def _optional(package: str) -> Any:
    """The package, or None where it is missing or was built against something else."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(package)
    except (ImportError, ValueError):
        return None


def missing(package: str) -> bool:
    return _optional(package) is None


def _score(measure: Callable[..., float], *arguments: Any) -> float | None:
    """A figure, or None where the measure refuses: too short a recording, silence, nothing like speech."""
    try:
        with warnings.catch_warnings(action="error"):
            figure = float(measure(*arguments))
    except REFUSALS:
        return None
    return figure if math.isfinite(figure) else None


def griffin_lim(frames: Array, samples: int, sample_rate: int, model: ModelConfig) -> Wav:
    """What the same frames (frames, bands) give without a network, `samples` long: the yardstick.

    Magnitudes by non-negative least squares, phases by the fast Griffin-Lim algorithm (Perraudin et al. 2013).
    """
    import librosa

    window, hop = model.mel_window, model.mel_hop
    assert len(frames) == mel.count(samples, hop), f"{len(frames)} frames for {samples} samples"
    length = max(samples, window)  # librosa warns about less
    padded = np.pad(
        frames, ((0, mel.count(length, hop) - len(frames)), (0, 0)), constant_values=mel.FLOOR
    )
    spectrum = librosa.feature.inverse.mel_to_stft(
        np.exp(padded.T),
        sr=sample_rate,
        n_fft=window,
        power=1,
        fmin=model.mel_low_hz,
        fmax=model.mel_high_hz,
    )
    length += window % 2  # of an odd window librosa would otherwise count a frame less
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
