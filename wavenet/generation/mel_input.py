"""What a vocoder follows: the log-mel frames of a recording, or a file of frames made elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wavenet.arrays import Array, Wav
from wavenet.audio import levels, reading
from wavenet.config import Config
from wavenet.errors import AudioError, EngineError
from wavenet.model.checkpoint import Checkpoint

SUFFIX = ".npy"
PLAUSIBLE = (-12.0, 9.0)  # natural logarithms of mel magnitudes: silence is at -11.5


@dataclass(frozen=True)
class MelInput:
    """Log-mel frames to follow, for so many samples; `gain` is what took a recording to the model's level."""

    frames: Array = field(repr=False)  # (n, bands)
    samples: int
    gain: float = 1.0


def read_mel_input(path: Path, model: Checkpoint) -> MelInput:
    """Of a recording, or of a .npy file. Raises AudioError or EngineError."""
    require_frames(model.config)
    if path.suffix.lower() != SUFFIX:
        return mel_input_from_audio(
            np.concatenate(
                [
                    np.zeros(0, np.float32),
                    *reading.read_blocks(path, model.config.audio.sample_rate),
                ]
            ),
            model,
            str(path),
        )
    try:
        with open(path, "rb") as file:
            frames = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, MemoryError) as e:
        raise AudioError(
            f"{path}: not a .npy file of numbers ({str(e).splitlines()[0] if str(e) else type(e).__name__})"
        ) from None
    return mel_input_from_frames(frames, model, str(path))


def mel_input_from_audio(wav: Array, model: Checkpoint, name: str) -> MelInput:
    """To say a recording again; wav (time,) in -1 ... 1 at the model's sample rate, brought to the model's level."""
    from wavenet.audio import mel

    config = model.config
    require_frames(config)
    if wav.dtype.kind != "f" or not len(wav):
        raise AudioError(
            f"{name}: {'holds no samples' if not len(wav) else f'holds {wav.dtype} numbers; give floats in -1 ... 1'}"
        )
    if not np.isfinite(wav).all():
        raise AudioError(f"{name}: holds NaN or infinite samples; repair it first")
    gain = levels.gain_for(float(np.abs(wav).max()), config.audio.level, config.audio.peak_db)
    return MelInput(
        mel.frames_of((wav * gain).astype(np.float32), config.audio.sample_rate, config.model),
        len(wav),
        gain,
    )


def mel_input_from_cache(wav: Wav, config: Config) -> MelInput:
    """For part of a recording that the cache holds at the model's level already."""
    from wavenet.audio import mel

    return MelInput(mel.frames_of(wav, config.audio.sample_rate, config.model), len(wav))


def mel_input_from_frames(frames: Array, model: Checkpoint, name: str) -> MelInput:
    """To follow frames (n, bands), or (bands, n) as librosa has them; each stands for `model.mel_hop` samples. A square is (n, bands)."""
    require_frames(model.config)
    m = model.config.model
    like = f"natural logarithms of {m.mel_bands} mel magnitudes every {m.mel_hop} samples at {model.config.audio.sample_rate} Hz"
    if frames.ndim != 2 or m.mel_bands not in frames.shape or not frames.size:
        raise EngineError(
            f"{name}: is of shape {frames.shape}; this model follows (frames, {m.mel_bands}) {like}"
        )
    if frames.dtype.kind not in "fiu" or not np.isfinite(frames).all():
        raise EngineError(
            f"{name}: holds something other than finite numbers; this model follows {like}"
        )
    low, high = float(frames.min()), float(frames.max())
    if not PLAUSIBLE[0] <= low <= high <= PLAUSIBLE[1]:
        raise EngineError(
            f"{name}: holds values from {low:.4g} to {high:.4g}, silence being {PLAUSIBLE[0] + 0.5}: not {like} (decibels?)"
        )
    by_time = frames if frames.shape[1] == m.mel_bands else frames.T
    return MelInput(np.ascontiguousarray(by_time, np.float32), len(by_time) * m.mel_hop)


def require_frames(config: Config) -> None:
    """Raise EngineError for a model that follows no frames."""
    if not config.model.mel_bands:
        raise EngineError(
            "this model was trained without mel frames, so it cannot follow any; `wavenet generate` makes new audio with it"
        )
