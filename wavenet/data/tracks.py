"""What a network follows that lies beside recordings, or is extracted from them once.

Mel frames that another program made, the user's features, labelled segments, and pitch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import spread
from wavenet.audio.mel_scales import MelStatistics
from wavenet.audio.quantization import from_pcm16
from wavenet.audio.spread import Spread
from wavenet.config import Config
from wavenet.data import given_features, given_frames, given_segments, pitch_tracks
from wavenet.data.pcm_cache import Index
from wavenet.data.split import Span
from wavenet.data.track import Track
from wavenet.glossary import Array
from wavenet.model.conditioning.front_end import Source

# Of the notes of recordings, what lies between is a model's range.
PITCH_PERCENTILES = 1, 99
# Of what windows glide by: so far beyond them a flute was still in tune.
PITCH_BEYOND = 1 / 3
# What is so far below the loudest moment of a recording does not sound.
SOUNDING_DB = 45.0
# Loudness is measured of up to this many recordings.
LOUDNESS_SPANS = 256


class Statistics(NamedTuple):
    """What the frames that a network is trained on are like; None of kinds that it does not follow.

    `pitch` is the range of notes, as MIDI note numbers.
    """

    mel: MelStatistics | None = None
    pitch: tuple[float, float] | None = None
    loudness: Spread | None = None


# By the name of the front end that reads them, then by recording.
Tracks = Mapping[str, Mapping[str, Track]]


def attach(
    index: Index,
    config: Config,
    frames_from: str = "",
    on_pitch: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[Index, Config, dict[str, Mapping[str, Track]]]:
    """The recordings that have all that the network follows, and what that is.

    The others are skipped. The config comes back with what is found in the recordings. Mel frames
    are read from `frames_from`, a folder, or computed. `on_pitch(done, total)` reports progress.
    Raises CorpusError for what does not fit the recordings, or is beside none.
    """
    tracks: dict[str, Mapping[str, Track]] = {}
    model = config.model
    if frames_from:
        index, tracks["mel"] = given_frames.attach(index, config, Path(frames_from))
    if "features" in model.conditioning:
        index, width, tracks["features"] = given_features.attach(index, model)
        model = replace(model, features_width=width)
    if "segments" in model.conditioning:
        index, labels, tracks["segments"] = given_segments.attach(
            index, model, config.train.segments_tier
        )
        model = replace(model, segment_labels=labels)
    if "pitch" in model.conditioning:
        tracks["pitch"] = pitch_tracks.attach(index, model, on_pitch)
    return index, replace(config, model=model), tracks


# What run folders call what lies in files.
BESIDE = {"mel": "frames", "features": "features", "segments": "segments"}


def contents_of(tracks: Tracks) -> dict[str, dict[str, str]]:
    """SHA-256 of what lies in files, by `BESIDE` and by recording."""
    return {
        noun: {name: track.sha256 for name, track in tracks[kind].items()}
        for kind, noun in BESIDE.items()
        if kind in tracks
    }


def source_of(index: Index, span: Span, tracks: Tracks) -> Source:
    """What front ends read of a span's recording."""
    name = span.recording.name
    rows = {kind: of_kind[name].rows for kind, of_kind in tracks.items()}
    return Source(index.pcm(span.recording), span.label, rows)


def statistics(index: Index, config: Config, spans: Sequence[Span], tracks: Tracks) -> Statistics:
    """What the frames of spans, those to train on, are like."""
    conditioning, model = config.model.conditioning, config.model
    mel = pitch = loudness = None
    if "mel" in conditioning:
        mel = given_frames.mel_statistics(index, config, spans, tracks.get("mel", {}))
    if "pitch" in conditioning:
        parts = [_within(tracks["pitch"], span, model.frame_hop) for span in spans]
        notes = np.concatenate([part[part[:, 1] > 0, 0] for part in parts])
        if len(notes):
            low, high = np.percentile(notes, PITCH_PERCENTILES)
            beyond = PITCH_BEYOND * config.train.augment_pitch
            low, high = low - beyond, high + beyond
            pitch = round(float(low), 2), round(float(high), 2)
    if "loudness" in conditioning:
        loudness = _loudness(index, config, spans, tracks.get("pitch"))
    return Statistics(mel, pitch, loudness)


def _within(tracks: Mapping[str, Track], span: Span, hop: int) -> Array:
    """The frames that lie in a span."""
    first = ceil_div(span.start, hop)
    return tracks[span.recording.name].rows(first, (span.stop - 1) // hop + 1)


def _loudness(
    index: Index, config: Config, spans: Sequence[Span], pitch: Mapping[str, Track] | None
) -> Spread | None:
    """The loudness of spans: of what is voiced, or of what is not far below the loudest."""
    from wavenet.audio import loudness

    window, hop = config.model.frame_window, config.model.frame_hop
    levels, sounding = [], []
    for span in spans[:: ceil_div(len(spans), LOUDNESS_SPANS)]:
        pcm = index.pcm(span.recording)[ceil_div(span.start, hop) * hop : span.stop]
        level = loudness.frames_of(from_pcm16(pcm), index.sample_rate, window, hop)[:, 0]
        sounds = level > level.max() - SOUNDING_DB
        if pitch is not None:
            voiced = _within(pitch, span, hop)[: len(level), 1] > 0
            sounds[: len(voiced)] &= voiced
        levels.append(level)
        sounding.append(sounds)
    if not any(sounds.any() for sounds in sounding):
        return None
    return spread.measured(levels, sounding, hop / index.sample_rate).rounded()
