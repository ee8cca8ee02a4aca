"""What a vocoder follows: the log-mel frames of a recording, or a file of frames made elsewhere."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from wavenet.audio import levels, mel_files
from wavenet.audio.mel_files import FrameFormat
from wavenet.audio.quantization import from_pcm16
from wavenet.audio.reading import open_audio
from wavenet.config import Config
from wavenet.errors import AudioError, EngineError
from wavenet.glossary import Array, AudioInput, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.front_end import Source


@dataclass(frozen=True, eq=False)
class MelInput:
    """Log-mel frames (n, bands) to follow, for `samples` samples.

    `gain` is what took a recording to the model's level.
    """

    frames: Array = field(repr=False)
    samples: int
    gain: float = 1.0
    # What was other than it should be with the recording, and what was done about it.
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Array]:
        """What the model's front ends take of it."""
        return {"mel": self.frames}

    @classmethod
    def read(
        cls, path: Path, model: Model, mel_scale: str = "ln", mel_offset: int = 0
    ) -> "MelInput":
        """The frames of a recording, or those in a .npy file. Raises AudioError or EngineError.

        `mel_scale` and `mel_offset` are of a file of frames: see `from_frames`.
        """
        if is_file_of_frames(path):
            frames = mel_files.read(path)
            return cls.from_frames(frames, model, str(path), mel_scale, mel_offset)
        return cls.from_audio(path, model, str(path))

    @classmethod
    def from_audio(cls, source: AudioInput, model: Model, name: str) -> "MelInput":
        """To resynthesise a recording: wav (time,) in -1 ... 1 at the model's sample rate.

        Or a file, or (wav, rate). It is brought to the model's level. `name` is what errors call
        it. Raises AudioError.
        """
        config = model.config
        require_frames(config)
        audio, rate = config.audio, config.audio.sample_rate
        # Models that were trained on recordings with their offsets expect those.
        centred = model.training.decoding > 1
        is_peak = audio.level == "peak"
        recording = open_audio(source, rate, name, to_peak=is_peak, centred=centred)
        level = recording.measure(audio.trim_db)
        if not level.finite:
            raise AudioError(name, "holds NaN or infinite samples", "repair it first")
        if not level.samples:
            raise AudioError(name, "holds no samples")
        gain = levels.gain_for(level.peak, audio.level, audio.peak_db)
        wav = np.concatenate(list(recording.blocks())) * np.float32(gain)
        return replace(cls.from_cached(wav, config), gain=gain, notes=tuple(recording.notes))

    @classmethod
    def from_cached(cls, wav: Wav, config: Config) -> "MelInput":
        """For part of a recording that the cache holds, at the model's level already."""
        from wavenet.audio import mel

        return cls(mel.frames_of(wav, config.audio.sample_rate, config.model), len(wav))

    @classmethod
    def from_source(cls, source: Source, begin: int, samples: int, config: Config) -> "MelInput":
        """For samples `begin` to `begin + samples` of a recording that is trained on or scored.

        Frames that another program made begin with the one nearest to `begin`.
        """
        if source.frames is None:
            return cls.from_cached(from_pcm16(source.pcm[begin : begin + samples]), config)
        hop = config.model.mel_hop
        first = round(begin / hop)
        return cls(source.frames(first, first + 1 + samples // hop), samples)

    @classmethod
    def from_frames(
        cls,
        frames: Array,
        model: Model,
        name: str,
        mel_scale: str = "ln",
        mel_offset: int = 0,
    ) -> "MelInput":
        """To follow frames (n, bands), or (bands, n) as librosa has them, or a batch of one.

        A square is (n, bands). Each stands for `model.mel_hop` samples, and the first is centred on
        sample `mel_offset`. Their numbers are of `mel_scale`, one of `audio.mel_scales.SCALES`.
        Raises UsageError, and EngineError for what cannot be frames of that scale.
        """
        format = frame_format(model, mel_scale, mel_offset)
        if problem := format.problem(frames):
            raise EngineError(name, *problem)
        ours = np.ascontiguousarray(format.ours(frames))
        return cls(ours, len(ours) * model.config.model.mel_hop)


def frame_format(model: Model, mel_scale: str, mel_offset: int) -> FrameFormat:
    """What a model takes frames to be; see `MelInput.from_frames`.

    Raises UsageError for a scale or an offset that there is not, EngineError for a model that
    follows no frames.
    """
    config = model.config
    require_frames(config)
    rate, trained = config.audio.sample_rate, model.training.mel
    format = FrameFormat(config.model, rate, mel_scale, mel_offset, trained)
    format.check()
    return format


def is_file_of_frames(path: Path) -> bool:
    """Whether a path names frames rather than a recording."""
    return path.suffix.lower() == mel_files.SUFFIX


def require_frames(config: Config) -> None:
    """Raise EngineError for a model that follows no frames."""
    if not config.model.follows_frames:
        reason = "this model was trained without mel frames, so it cannot follow any"
        raise EngineError("", reason, "`generate` makes new audio with it")
