"""What a vocoder follows: the log-mel frames of a recording, or a file of frames made elsewhere."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from wavenet.audio import levels, reading
from wavenet.config import Config
from wavenet.errors import AudioError, EngineError
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Checkpoint

SUFFIX = ".npy"
# Of natural logarithms of mel magnitudes: silence is at -11.5.
PLAUSIBLE = (-12.0, 9.0)


@dataclass(frozen=True)
class MelInput:
    """Log-mel frames (n, bands) to follow, for `samples` samples.

    `gain` is what took a recording to the model's level.
    """

    frames: Array = field(repr=False)
    samples: int
    gain: float = 1.0

    @property
    def values(self) -> dict[str, Array]:
        """What the model's front ends take of it."""
        return {"mel": self.frames}

    @classmethod
    def read(cls, path: Path, model: Checkpoint) -> "MelInput":
        """The frames of a recording, or those in a .npy file. Raises AudioError or EngineError."""
        if path.suffix.lower() != SUFFIX:
            centred = model.training.decoding > 1
            blocks = reading.read_blocks(path, model.config.audio.sample_rate, centred=centred)
            wav = np.concatenate([np.zeros(0, np.float32), *blocks])
            return cls.from_audio(wav, model, str(path))
        try:
            with open(path, "rb") as file:
                frames = np.lib.format.read_array(file, allow_pickle=False)
        except FileNotFoundError:
            raise AudioError(path, "no such file") from None
        except (OSError, ValueError, EOFError, MemoryError) as e:
            reason = str(e).splitlines()[0] if str(e) else type(e).__name__
            raise AudioError(path, f"not a .npy file of numbers ({reason})") from None
        return cls.from_frames(frames, model, str(path))

    @classmethod
    def from_audio(cls, wav: Array, model: Checkpoint, name: str) -> "MelInput":
        """To resynthesise a recording: wav (time,) in -1 ... 1 at the model's sample rate.

        It is brought to the model's level. `name` is what errors call it. Raises AudioError.
        """
        config = model.config
        require_frames(config)
        if not len(wav):
            raise AudioError(name, "holds no samples")
        if wav.dtype.kind != "f":
            raise AudioError(name, f"holds {wav.dtype} numbers", "give floats in -1 ... 1")
        if not np.isfinite(wav).all():
            raise AudioError(name, "holds NaN or infinite samples", "repair it first")
        peak = float(np.abs(wav).max())
        gain = levels.gain_for(peak, config.audio.level, config.audio.peak_db)
        return replace(cls.from_cached((wav * gain).astype(np.float32), config), gain=gain)

    @classmethod
    def from_cached(cls, wav: Wav, config: Config) -> "MelInput":
        """For part of a recording that the cache holds, at the model's level already."""
        from wavenet.audio import mel

        return cls(mel.frames_of(wav, config.audio.sample_rate, config.model), len(wav))

    @classmethod
    def from_frames(cls, frames: Array, model: Checkpoint, name: str) -> "MelInput":
        """To follow frames (n, bands), or (bands, n) as librosa has them; a square is (n, bands).

        Each stands for `model.mel_hop` samples. Raises EngineError for what cannot be log-mels.
        """
        require_frames(model.config)
        m = model.config.model
        like = (
            f"natural logarithms of {m.mel_bands} mel magnitudes every {m.mel_hop} samples "
            f"at {model.config.audio.sample_rate} Hz"
        )
        if frames.ndim != 2 or m.mel_bands not in frames.shape or not frames.size:
            advice = f"this model follows (frames, {m.mel_bands}) {like}"
            raise EngineError(name, f"is of shape {frames.shape}", advice)
        if frames.dtype.kind not in "fiu" or not np.isfinite(frames).all():
            reason = "holds something other than finite numbers"
            raise EngineError(name, reason, f"this model follows {like}")
        low, high = float(frames.min()), float(frames.max())
        if not PLAUSIBLE[0] <= low <= high <= PLAUSIBLE[1]:
            values = f"values from {low:.4g} to {high:.4g}, silence being {PLAUSIBLE[0] + 0.5}"
            raise EngineError(name, f"holds {values}: not {like} (decibels?)")
        by_time = frames if frames.shape[1] == m.mel_bands else frames.T
        return cls(np.ascontiguousarray(by_time, np.float32), len(by_time) * m.mel_hop)


def require_frames(config: Config) -> None:
    """Raise EngineError for a model that follows no frames."""
    if not config.model.follows_frames:
        reason = "this model was trained without mel frames, so it cannot follow any"
        raise EngineError("", reason, "`wavenet generate` makes new audio with it")
