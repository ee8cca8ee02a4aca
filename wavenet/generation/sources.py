"""What a model is played with: a recording, notes, segments, features; as `Conditions`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wavenet.audio import mel_files
from wavenet.audio.spread import Spread
from wavenet.data import given_features, given_segments
from wavenet.errors import EngineError, ScoreError, UsageError
from wavenet.generation.conditions import Conditions
from wavenet.generation.matching import matched_loudness, matched_pitch
from wavenet.glossary import Array, AudioInput
from wavenet.model.arguments import require_integer, require_number, require_type
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed
from wavenet.scores import contours, midi, notes, segments
from wavenet.scores.limits import LONGEST_SECONDS
from wavenet.scores.notes import Note
from wavenet.scores.segments import Segment

# In samples a second the slowest and the fastest that anything is played.
SLOWEST, FASTEST = 0.01, 100.0
MOST_SEMITONES = 120
# What is so far below the loudest moment does not sound, in dB.
SOUNDING_DB = 40.0
# What is so little above silence has faded, in dB.
FADED_DB = 6.0
# What follows the last segment, in seconds.
TAIL_SECONDS = 0.1
SCORE_SUFFIXES = {suffix.lower() for suffix in segments.SUFFIXES}


@dataclass(frozen=True)
class How:
    """How a source is read and changed on its way to the model. Raises UsageError.

    `transpose` is in semitones, `tempo` a factor: 2 is twice as fast. `channel` is of MIDI, `tier`
    of a TextGrid.
    """

    transpose: float = 0.0
    tempo: float = 1.0
    channel: int | None = None
    tier: str | None = None

    def __post_init__(self) -> None:
        require_number("transpose", self.transpose)
        require_number("tempo", self.tempo)
        if self.tier is not None:
            require_type("tier", self.tier, str)
        if self.channel is not None:
            require_integer("channel", self.channel, 1, midi.LAST, f"must be 1 to {midi.LAST}")
        if not abs(self.transpose) <= MOST_SEMITONES:
            rule = f"must be -{MOST_SEMITONES} to {MOST_SEMITONES} semitones"
            raise UsageError("transpose", f"{self.transpose:g}", rule)
        if not SLOWEST <= self.tempo <= FASTEST:
            rule = f"must be a factor from {SLOWEST:g} to {FASTEST:g}"
            raise UsageError("tempo", f"{self.tempo:g}", rule, "2 is twice as fast")


def require_playable(model: Model) -> None:
    """Raise EngineError for a model that follows nothing along a recording."""
    if not model.config.model.follows_frames:
        reason = "this model was trained without pitch, notes or features to follow"
        raise EngineError("", reason, "`generate` makes new audio with it")


def require_of_use(how: How, given: Sequence[Any]) -> None:
    """Raise UsageError for an option of files such as none of the sources is."""
    paths = [Path(each) for each in given if isinstance(each, str | Path)]
    beside = [segments.beside(path) for path in paths if os.path.isfile(path)]
    suffixes = {path.suffix.lower() for path in (*paths, *filter(None, beside))}
    if how.channel is not None and suffixes.isdisjoint(midi.SUFFIXES):
        raise UsageError("channel", how.channel, "is of MIDI files, and there is none")
    if how.tier is not None and ".textgrid" not in suffixes:
        raise UsageError("tier", how.tier, "is of TextGrids, and there is none")


def is_score(path: Path) -> bool:
    """Whether a path names notes or segments by its suffix, rather than a recording."""
    return path.suffix.lower() in SCORE_SUFFIXES


def is_typed(source: str) -> bool:
    """Whether a text is notes or segments themselves, rather than a path."""
    # What ends like a file's name is one; "C4:0.5 D4" has a point in it too, and "C/E:0.5" a slash.
    is_timed = re.search(r":[0-9]", source)
    is_named = ("/" in source and not is_timed) or re.search(r"\.[A-Za-z]\w*$", source)
    return not is_named and not os.path.exists(source)


def from_file(path: Path, model: Model, how: How) -> Conditions:
    """What a model follows of a file: a recording, or by its suffix notes, segments or features.

    Raises AudioError, ScoreError, UsageError, and EngineError for what the model cannot follow.
    """
    name = str(path)
    if path.suffix.lower() == mel_files.SUFFIX:
        return from_features(path, model, how)
    if not is_score(path):
        return from_recording(path, model, how, name)
    has_pitch, has_segments = (k in model.config.model.conditioning for k in ("pitch", "segments"))
    if path.suffix.lower() in midi.SUFFIXES and (has_pitch or not has_segments):
        return from_notes(midi.read(path, how.channel), model, how, name)
    tier = how.tier or model.config.train.segments_tier or None
    return from_segments(segments.read(path, tier, how.channel), model, how, name)


def from_text(text: str, model: Model, how: How, parameter: str = "source") -> Conditions:
    """What a model follows of typed notes, or typed segments where it knows some.

    Raises UsageError, which names the word, and EngineError for what the model cannot follow.
    """
    is_of_segments = "segments" in model.config.model.conditioning
    try:
        given: Any = segments.parse(text) if is_of_segments else notes.parse(text)
    except UsageError as e:
        raise UsageError(parameter, e.value, e.reason, e.advice) from None
    play_these = from_segments if is_of_segments else from_notes
    return play_these(given, model, how, "")


def from_recording(source: AudioInput, model: Model, how: How, name: str) -> Conditions:
    """What a model follows of a recording, within the range that the model was trained on.

    `name` is what errors call it. Raises AudioError, ScoreError and EngineError.
    """
    require_playable(model)
    conditions = Conditions.from_audio(source, model, name, how.tier)
    values = dict(conditions.values)
    if how.transpose and "pitch" not in values:
        raise _only("transpose", "pitch", model)
    if "pitch" in values:
        values["pitch"] = values["pitch"] + np.array([how.transpose, 0], np.float32)
    samples = max(1, round(conditions.samples / how.tempo))
    _require_day(samples, model, how)
    values = {kind: _stretched(kind, value, how.tempo) for kind, value in values.items()}
    return _matched(replace(conditions, values=values, samples=samples), model)


def from_notes(given: Sequence[Note], model: Model, how: How, name: str) -> Conditions:
    """What a model follows of notes, one after the other. `name` is what errors call them.

    Raises ScoreError and EngineError.
    """
    require_playable(model)
    conditioning, rate = model.config.model.conditioning, model.config.audio.sample_rate
    kinds = {"pitch", "loudness"}
    if "pitch" not in conditioning:
        reason = f"this model follows {followed(model.config.model)}, and no notes"
        raise EngineError(name, reason, _what_it_takes(model))
    if not kinds >= {*conditioning} - {"label"}:
        raise _cannot_follow("notes", name, model)
    # Where loudness is not followed, any will do.
    trained = model.training.loudness or Spread(-40, -30, -20, -90)
    _require_day(_samples_at(how, given, rate), model, how)
    given = notes.at_tempo(notes.transposed(given, how.transpose), how.tempo)
    hop = model.config.model.frame_hop
    window_seconds = model.config.model.frame_window / rate
    pitch, loudness = contours.contours(given, hop, rate, trained, window_seconds)
    if model.training.loudness:
        # A note is still voiced while it fades.
        fades = loudness[:, 0] > max(trained.silence + FADED_DB, trained.low - SOUNDING_DB)
        pitch[:, 1] = np.maximum(pitch[:, 1], fades)
    values = {"pitch": pitch, "loudness": loudness}
    followed_values = {kind: values[kind] for kind in conditioning if kind in values}
    conditions = Conditions(followed_values, contours.samples_of(given, rate))
    conditions = _in_range(conditions, model)
    # A note is where it is, however it is bent, and a bend that leaves the range does not leap.
    bent = np.stack([contours.bends(given, hop, rate), np.zeros(len(pitch), np.float32)], axis=1)
    values = {**conditions.values, "pitch": conditions.values["pitch"] + bent}
    return replace(conditions, values=values)


def from_segments(given: Sequence[Segment], model: Model, how: How, name: str) -> Conditions:
    """What a model follows of segments. `name` is what errors call them.

    Raises ScoreError where they overlap, and EngineError, also for a label that the model does not
    know.
    """
    require_playable(model)
    config, rate = model.config.model, model.config.audio.sample_rate
    if {*config.conditioning} - {"label"} != {"segments"}:
        raise _cannot_follow("segments", name, model)
    if how.transpose:
        raise _only("transpose", "pitch", model)
    given = sorted(given, key=lambda segment: segment.start)
    for before, after in pairwise(given):
        if before.end > after.start:
            reason = f"{after.label} begins at {after.start:g} s, before {before.label} ends"
            raise ScoreError(name, reason, "segments must follow each other")
    _require_day(_samples_at(how, given, rate), model, how)
    given = [replace(s, start=s.start / how.tempo, end=s.end / how.tempo) for s in given]
    samples = round((max(s.end for s in given) + TAIL_SECONDS) * rate)
    return Conditions(
        {"segments": given_segments.frames_of(given, config, rate, samples, name)}, samples
    )


def from_features(path: Path, model: Model, how: How) -> Conditions:
    """What a model follows of a file of features. Raises AudioError and EngineError."""
    require_playable(model)
    config = model.config.model
    if {*config.conditioning} - {"label"} != {"features"}:
        raise _cannot_follow("features", str(path), model)
    if how.transpose:
        raise _only("transpose", "pitch", model)
    frames = given_features.all_frames(path, config)
    _require_day(round(len(frames) * config.frame_hop / how.tempo), model, how)
    frames = _stretched("features", frames, how.tempo)
    return Conditions({"features": frames}, len(frames) * config.frame_hop)


def _samples_at(how: How, given: Sequence[Note] | Sequence[Segment], rate: int) -> int:
    """The sample at which the last of them ends."""
    return round(max((each.end for each in given), default=0) / how.tempo * rate)


def _require_day(samples: int, model: Model, how: How) -> None:
    """Raise UsageError for more than a day of audio."""
    if samples > LONGEST_SECONDS * model.config.audio.sample_rate:
        raise UsageError("tempo", f"{how.tempo:g}", "makes more than a day of it", "be faster")


def _matched(conditions: Conditions, model: Model) -> Conditions:
    """Conditions as loud as what the model was trained on and in its range of notes.

    What was changed is noted.
    """
    conditions, trained = _in_range(conditions, model), model.training.loudness
    values = dict(conditions.values)
    if "loudness" not in values or trained is None:
        return conditions
    matched = matched_loudness(values["loudness"], _sounds(values), trained)
    values["loudness"], change = matched
    return replace(conditions, values=values, notes=(*conditions.notes, *filter(None, [change])))


def _in_range(conditions: Conditions, model: Model) -> Conditions:
    """Conditions whose pitch is in the model's range of notes; what was moved is noted."""
    trained = model.training.pitch
    if "pitch" not in conditions.values or trained is None:
        return conditions
    pitch, change = matched_pitch(conditions.values["pitch"], trained)
    if not change:
        return conditions
    low, high = (notes.name_of(note) for note in trained)
    note = f"{change}: this model plays {low} to {high}"
    values = {**conditions.values, "pitch": pitch}
    return replace(conditions, values=values, notes=(*conditions.notes, note))


def _sounds(values: Mapping[str, Array]) -> Array:
    """Where something sounds: what is voiced, or else not far below the loudest, (frames,)."""
    level = values["loudness"][:, 0]
    loud: Array = level > level.max() - SOUNDING_DB
    if "pitch" not in values:
        return loud
    both: Array = loud & (values["pitch"][:, 1] > 0)
    return both if both.any() else loud


def _stretched(kind: str, frames: Array, tempo: float) -> Array:
    """Frames (frames, columns) of a kind as they lie when all goes `tempo` times as fast."""
    if tempo == 1:
        return frames
    places = np.arange(max(1, round(len(frames) / tempo))) * tempo
    between: Array = given_features.at_places(frames, places)
    nearest: Array = frames[np.minimum(np.rint(places).astype(np.int64), len(frames) - 1)]
    if kind == "segments":
        # Between the numbers of two labels lies another label; their seconds are the last column.
        return nearest * np.array([1, 1, 1 / tempo], np.float32)
    if kind == "pitch":
        # Half voiced is nothing, and what is not voiced has no pitch.
        return np.where(between[:, 1:] == 1, between, nearest)
    return between


def _cannot_follow(what: str, name: str, model: Model) -> EngineError:
    reason = f"this model follows {followed(model.config.model)}, which {what} alone do not say"
    return EngineError(name, reason, _what_it_takes(model))


def _what_it_takes(model: Model) -> str:
    """What to play a model with, as the advice of an error."""
    kinds = {*model.config.model.conditioning} - {"label"}
    besides = {"features": "a .npy of features", "segments": "a file of segments"}
    files = " and ".join(words for kind, words in besides.items() if kind in kinds)
    if len(kinds) == 1 and files:
        return f"give it {files}, or a recording with one beside it"
    return f"give it a recording{files and f' with {files} beside it'}"


def _only(option: str, kind: str, model: Model) -> UsageError:
    reason = f"is of {kind}, and this model follows {followed(model.config.model)}"
    return UsageError(option, None, reason, "leave it out")
