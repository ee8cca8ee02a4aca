"""What a vocoder follows: the log-mel frames of a recording, or a file of frames made elsewhere."""

from pathlib import Path

import numpy as np

from wavenet.audio import mel_files
from wavenet.audio.mel_files import FrameFormat
from wavenet.config import Config
from wavenet.errors import EngineError
from wavenet.generation.conditions import Conditions
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model


def read(path: Path, model: Model, mel_scale: str = "ln", mel_offset: int = 0) -> Conditions:
    """The frames of a recording, or those in a .npy file. Raises AudioError or EngineError.

    `mel_scale` and `mel_offset` are of a file of frames: see `from_frames`.
    """
    require_mel(model.config)
    if is_file_of_frames(path):
        return from_frames(mel_files.read(path), model, str(path), mel_scale, mel_offset)
    return Conditions.from_audio(path, model, str(path))


def from_frames(
    frames: Array, model: Model, name: str, mel_scale: str = "ln", mel_offset: int = 0
) -> Conditions:
    """To follow frames (n, bands), or (bands, n) as librosa has them, or a batch of one.

    A square is (n, bands). Each stands for `model.frame_hop` samples, and the first is centred on
    sample `mel_offset`. Their numbers are of `mel_scale`, one of `audio.mel_scales.SCALES`. Raises
    UsageError, and EngineError for what cannot be frames of that scale.
    """
    format = frame_format(model, mel_scale, mel_offset)
    if problem := format.problem(frames):
        raise EngineError(name, *problem)
    ours = np.ascontiguousarray(format.ours(frames))
    return Conditions({"mel": ours}, len(ours) * model.config.model.frame_hop)


def frame_format(model: Model, mel_scale: str, mel_offset: int) -> FrameFormat:
    """What a model takes frames to be; see `from_frames`.

    Raises UsageError for a scale or an offset that there is not, EngineError for a model that
    follows no frames.
    """
    config = model.config
    require_mel(config)
    rate, trained = config.audio.sample_rate, model.training.mel
    format = FrameFormat(config.model, rate, mel_scale, mel_offset, trained)
    format.check()
    return format


def is_file_of_frames(path: Path) -> bool:
    """Whether a path names frames rather than a recording."""
    return path.suffix.lower() == mel_files.SUFFIX


def require_mel(config: Config) -> None:
    """Raise EngineError for a model that follows no mel frames."""
    model = config.model
    if not model.follows_mel:
        reason = "this model was trained without mel frames, so it cannot follow any"
        instead = (
            "`play` plays it" if model.follows_frames else "`generate` makes new audio with it"
        )
        raise EngineError("", reason, instead)
