"""What a vocoder follows: the log-mel frames of a recording, or a file of frames made elsewhere."""

from pathlib import Path

import numpy as np

from wavenet.audio import mel_files
from wavenet.audio.mel_files import OURS, FrameFormat, MelFormat
from wavenet.config import Config
from wavenet.errors import EngineError
from wavenet.generation.conditions import Conditions
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model


def read(path: Path, model: Model, made: MelFormat = OURS) -> Conditions:
    """The frames of a recording, or those in a .npy file. Raises AudioError or EngineError.

    `made` is how the frames in a file were: see `from_frames`.
    """
    require_mel(model.config)
    if is_file_of_frames(path):
        return from_frames(mel_files.read(path), model, str(path), made)
    return Conditions.from_audio(path, model, str(path))


def from_frames(frames: Array, model: Model, name: str, made: MelFormat = OURS) -> Conditions:
    """To follow frames (n, bands), or (bands, n) as librosa has them, or a batch of one.

    A square is (n, bands). Each stands for `model.frame_hop` samples. Raises UsageError, and
    EngineError for what cannot be frames `made` so.
    """
    format = frame_format(model, made)
    if problem := format.problem(frames):
        raise EngineError(name, *problem)
    ours = np.ascontiguousarray(format.ours(frames))
    return Conditions({"mel": ours}, len(ours) * model.config.model.frame_hop)


def frame_format(model: Model, made: MelFormat) -> FrameFormat:
    """What a model takes frames to be that were `made` so.

    Raises UsageError where none can be made so, EngineError for a model that follows no frames.
    """
    config = model.config
    require_mel(config)
    made.check(config.model, config.audio.sample_rate)
    return FrameFormat(config.model, config.audio.sample_rate, made, model.training.mel)


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
        raise EngineError("", reason, f"{instead}, and demo-vocoder follows frames")
