"""What streams follow: a value for each front end of a model that has frames along a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np

from wavenet.audio import levels, mel_files
from wavenet.audio.quantization import from_pcm16
from wavenet.audio.reading import open_audio
from wavenet.config import Config
from wavenet.data import given_features, given_segments
from wavenet.errors import AudioError, EngineError
from wavenet.glossary import Array, AudioInput, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.frames import FramesFrontEnd
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.scores import segments


@dataclass(frozen=True, eq=False)
class Conditions:
    """Frames to follow for `samples` samples, by the name of the front end that takes them.

    `gain` is what took a recording to the model's level.
    """

    values: Mapping[str, Array] = field(repr=False)
    samples: int
    gain: float = 1.0
    # What was other than it should be with the recording, and what was done about it.
    notes: tuple[str, ...] = ()

    @classmethod
    def from_audio(
        cls, source: AudioInput, model: Model, name: str, tier: str | None = None
    ) -> "Conditions":
        """To follow a recording: wav (time,) in -1 ... 1 at the model's sample rate.

        Or a file, or (wav, rate). It is brought to the model's level. Features and segments lie in
        files beside it, as in training; `tier` is that of a TextGrid, where it is not the one that
        was trained on. `name` is what errors call it. Raises AudioError, ScoreError, EngineError.
        """
        config, tier = model.config, tier or model.config.train.segments_tier or None
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
        path = Path(source) if isinstance(source, str | PurePath) else None
        values = {
            f.name: _of_recording(f, wav, config, path, tier)
            for f in frame_front_ends(config.model)
        }
        return cls(values, len(wav), gain, tuple(recording.notes))

    @classmethod
    def from_cached(cls, wav: Wav, config: Config) -> "Conditions":
        """For part of a recording that the cache holds, at the model's level already."""
        rate = config.audio.sample_rate
        values = {f.name: f.frames_of(wav, rate) for f in frame_front_ends(config.model)}
        return cls(values, len(wav))

    @classmethod
    def from_source(cls, source: Source, begin: int, samples: int, config: Config) -> "Conditions":
        """For samples `begin` to `begin + samples` of a recording that is trained on or scored.

        Frames that are not computed from those begin with the one nearest to `begin`.
        """
        rate, hop = config.audio.sample_rate, config.model.frame_hop
        first = round(begin / hop)
        wav = from_pcm16(source.pcm[begin : begin + samples])
        values = {
            f.name: source.tracks[f.name](first, first + 1 + samples // hop)
            if f.name in source.tracks
            else f.frames_of(wav, rate)
            for f in frame_front_ends(config.model)
        }
        return cls(values, samples)


def _of_recording(
    front_end: FramesFrontEnd, wav: Wav, config: Config, path: Path | None, tier: str | None
) -> Array:
    """The frames of a recording, from its audio or from a file beside it.

    Raises AudioError, ScoreError or EngineError.
    """
    model, rate = config.model, config.audio.sample_rate
    if front_end.name not in ("features", "segments"):
        return front_end.frames_of(wav, rate)
    if path is None:
        raise EngineError("", front_end.missing())
    if front_end.name == "features":
        file = path.with_suffix(mel_files.SUFFIX)
        if not file.exists():
            raise AudioError(path, "has no features beside it", front_end.missing())
        return given_features.of_recording(file, model, len(wav))
    file_of_segments = segments.beside(path)
    if file_of_segments is None:
        raise AudioError(path, "has no segments beside it", front_end.missing())
    given = given_segments.of_recording(file_of_segments, rate, len(wav), tier)
    return given_segments.frames_of(given, model, rate, len(wav), str(file_of_segments))
