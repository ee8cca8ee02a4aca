"""How close one recording is to another of the same length, and Griffin-Lim, which sets the scale.

STOI and PESQ come from the packages of `pip install 'wavenet-audio[metrics]'`.
"""

import importlib
import math
import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import soxr
import torch

from wavenet.audio import mel, pitch
from wavenet.config import ModelConfig
from wavenet.evaluation.pitch_accuracy import raw_pitch_accuracy
from wavenet.glossary import Array, Wav

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # window and hop, in samples
# Of a spectrum: just above the rounding of 16-bit audio under these windows.
LEAST_MAGNITUDE = math.sqrt(1e-7)
DB_PER_NAT = 20 / math.log(10)  # of a magnitude's logarithm
# Where the pitch of a voice is looked for.
PITCH_LOW_HZ, PITCH_HIGH_HZ = 65.0, 600.0
PITCH_HOP_SECONDS = 0.01
PESQ_RATE = 16_000  # Hz, of its wide-band mode
# Its C code overruns a buffer, and dies, at the 51st utterance. Those begin at least 0.4 s apart.
PESQ_SECONDS = 15.0
# How the packages refuse audio. PesqError is a RuntimeError; STOI only warns.
REFUSALS = (RuntimeWarning, RuntimeError, ValueError)


@dataclass(frozen=True)
class CopyMetrics:
    """Distances from a reference, 0 for a copy, estimates of what a listener perceives, and pitch.

    The first two are the terms of the multi-resolution STFT loss (Yamamoto et al. 2020, Parallel
    WaveGAN), averaged over RESOLUTIONS. What cannot be computed is None.
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
    # The part of the reference's voiced frames whose pitch is within 50 cents of the copy's.
    pitch_accuracy: float | None
    # The part of all frames that are voiced in one and not in the other (Nakatani et al. 2008).
    voicing_error: float | None


def compare(reference: Wav, candidate: Wav, sample_rate: int, model: ModelConfig) -> CopyMetrics:
    """How close `candidate` comes to `reference`, both (samples,)."""
    assert reference.shape == candidate.shape, f"{reference.shape} against {candidate.shape}"
    # STOI gives silence a score, too.
    stoi = _score("pystoi", "stoi", reference, candidate, sample_rate) if reference.any() else None
    distances = [_stft_distance(reference, candidate, window, hop) for window, hop in RESOLUTIONS]
    convergence, stft_db = map(np.mean, zip(*distances, strict=True))
    frames, copied = (mel.frames_of(wav, sample_rate, model) for wav in (reference, candidate))
    pitch_accuracy, voicing_error = _pitch_errors(reference, candidate, sample_rate)
    return CopyMetrics(
        spectral_convergence=float(convergence),
        log_stft_db=float(stft_db),
        mel_db=DB_PER_NAT * float(np.abs(frames - copied).mean(dtype=np.float64)),
        stoi=stoi,
        pesq=_pesq(reference, candidate, sample_rate),
        pitch_accuracy=pitch_accuracy,
        voicing_error=voicing_error,
    )


def _pitch_errors(
    reference: Wav, candidate: Wav, sample_rate: int
) -> tuple[float | None, float | None]:
    """(pitch accuracy, voicing error) of `candidate`."""
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return None, None
    hop, high_hz = (
        max(1, round(PITCH_HOP_SECONDS * sample_rate)),
        min(PITCH_HIGH_HZ, sample_rate / 4),
    )
    ours, theirs = (
        pitch.track(wav, sample_rate, hop, PITCH_LOW_HZ, high_hz) for wav in (candidate, reference)
    )
    accuracy = raw_pitch_accuracy(theirs, ours)
    error = float(np.mean((theirs[:, 1] > 0) != (ours[:, 1] > 0)))
    return accuracy if math.isfinite(accuracy) else None, error


def _stft_distance(reference: Wav, candidate: Wav, window: int, hop: int) -> tuple[float, float]:
    """(spectral convergence, mean absolute log-magnitude difference in dB) at one resolution.

    Computed in blocks of frames.
    """
    error = energy = nats = 0.0
    values = 0
    blocks = (mel.padded_blocks(wav, window, hop) for wav in (reference, candidate))
    for pair in zip(*blocks, strict=True):
        # (2, window // 2 + 1, frames)
        spectra = mel.magnitudes(torch.from_numpy(np.stack(pair)), window, hop).double()
        error += float((spectra[0] - spectra[1]).square().sum())
        energy += float(spectra[0].square().sum())
        logarithms = spectra.clamp(min=LEAST_MAGNITUDE).log()
        nats += float((logarithms[0] - logarithms[1]).abs().sum())
        values += spectra[0].numel()
    convergence = math.sqrt(error / max(energy, LEAST_MAGNITUDE**2))
    return convergence, DB_PER_NAT * nats / values


def _pesq(reference: Wav, candidate: Wav, sample_rate: int) -> float | None:
    """The mean over parts of equal length, PESQ_SECONDS at most, without those it refuses."""
    wavs = [soxr.resample(wav, sample_rate, PESQ_RATE) for wav in (reference, candidate)]
    n_parts = math.ceil(len(wavs[0]) / (PESQ_SECONDS * PESQ_RATE)) or 1
    parts = np.array_split(np.stack(wavs), n_parts, axis=1)  # (2, samples) each
    scores = [_score("pesq", "pesq", PESQ_RATE, r, c, "wb") for r, c in parts]
    valid = [score for score in scores if score is not None]
    return float(np.mean(valid)) if valid else None


def optional(package: str) -> Any:
    """The package, or None where it is missing or was built against something else."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(package)
    except (ImportError, ValueError):
        return None


def _score(package: str, measure: str, *arguments: Any) -> float | None:
    """A score; None without the package, and where its measure refuses.

    What is refused is short, silent, or nothing like speech.
    """
    module = optional(package)
    if module is None:
        return None
    try:
        with warnings.catch_warnings(action="error"):
            score = float(getattr(module, measure)(*arguments))
    except REFUSALS:
        return None
    return score if math.isfinite(score) else None


def griffin_lim(frames: Array, samples: int, sample_rate: int, model: ModelConfig) -> Wav:
    """Audio (samples,) from mel frames (frames, bands) without a network: the baseline.

    Magnitudes by non-negative least squares, phases by the fast Griffin-Lim algorithm (Perraudin
    et al. 2013).
    """
    import librosa

    window, hop = model.frame_window, model.frame_hop
    assert len(frames) == mel.count(samples, hop), f"{len(frames)} frames for {samples} samples"
    # librosa warns about less than a window.
    length = max(samples, window)
    missing = mel.count(length, hop) - len(frames)
    mels = np.exp(np.pad(frames, ((0, missing), (0, 0)), constant_values=mel.FLOOR).T)
    low, high = model.mel_low_hz, model.mel_high_hz
    spectrum = librosa.feature.inverse.mel_to_stft(
        mels, sr=sample_rate, n_fft=window, power=1, fmin=low, fmax=high
    )
    # Of an odd window librosa would otherwise count a frame less.
    length += window % 2
    # librosa 1.0 renamed the seed.
    seed = "rng" if "rng" in signature(librosa.griffinlim).parameters else "random_state"
    options: dict[str, Any] = {"hop_length": hop, "n_fft": window, "length": length, seed: 0}
    wav: Wav = librosa.griffinlim(spectrum, n_iter=60, **options)
    return wav[:samples]
