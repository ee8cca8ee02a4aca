"""What sounds when in recordings: a file of labelled segments beside each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavenet.config import ModelConfig
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.errors import CorpusError, EngineError, ScoreError, WavenetError
from wavenet.glossary import Array
from wavenet.model.known_labels import known_line
from wavenet.scores import segments
from wavenet.scores.segments import Segment
from wavenet.system.text import counted

MOST_LABELS = 1024


@dataclass(frozen=True)
class SegmentTrack:
    """The segments of one recording: see `model.conditioning.segments` for their frames."""

    sha256: str
    starts: NDArray[np.float64]  # in samples
    ends: NDArray[np.float64]
    labels: NDArray[np.int64]  # numbers from 1 on
    sample_rate: int
    frame_hop: int
    frames: int

    def rows(self, low: int, high: int) -> Array:
        """Frames `low` to `high` - 1, float32 (frames, 3); beyond the ends the outer ones."""
        at = np.clip(np.arange(low, high), 0, self.frames - 1) * self.frame_hop
        rows = np.zeros((high - low, 3), np.float32)
        if not len(self.starts):
            return rows
        which = np.maximum(np.searchsorted(self.starts, at, side="right") - 1, 0)
        start, end = self.starts[which], self.ends[which]
        inside = (start <= at) & (at < end)
        rows[:, 0] = np.where(inside, self.labels[which], 0)
        rows[:, 1] = np.where(inside, (at - start) / np.maximum(end - start, 1), 0)
        rows[:, 2] = np.where(inside, (end - start) / self.sample_rate, 0)
        return rows


def track_of(
    given: Sequence[Segment],
    known: Sequence[str],
    sample_rate: int,
    frame_hop: int,
    samples: int,
    sha256: str = "",
) -> SegmentTrack:
    """Segments on the frames of `samples` samples; their labels must be among the known ones."""
    number = {label: i + 1 for i, label in enumerate(known)}
    return SegmentTrack(
        sha256,
        np.rint(np.array([segment.start for segment in given]) * sample_rate),
        np.rint(np.array([segment.end for segment in given]) * sample_rate),
        np.array([number[segment.label] for segment in given], np.int64),
        sample_rate,
        frame_hop,
        1 + samples // frame_hop,
    )


def frames_of(
    given: Sequence[Segment], model: ModelConfig, sample_rate: int, samples: int, name: str
) -> Array:
    """The frames of segments for so many samples, float32 (frames, 3).

    `name` is what an error calls them: an EngineError for a label that the model does not know.
    """
    known = model.segment_labels
    for segment in given:
        if segment.label not in known:
            reason = f"{segment.label} is unknown"
            raise EngineError(name, reason, f"the model knows {known_line(segment.label, known)}")
    track = track_of(given, known, sample_rate, model.frame_hop, samples)
    return track.rows(0, track.frames)


def of_recording(
    path: Path, sample_rate: int, samples: int, tier: str | None = None
) -> list[Segment]:
    """The segments in a file beside a recording of so many samples.

    Raises ScoreError and UsageError as `segments.read` does, and where they are of a longer one.
    """
    given, seconds = segments.read(path, tier), samples / sample_rate
    late = next((segment for segment in given if segment.start > seconds), None)
    if late is not None:
        reason = f"has {late.label} at {late.start:g} s, and its recording ends at {seconds:g} s"
        raise ScoreError(path, reason, "is it of another recording?")
    return given


def attach(
    index: Index, model: ModelConfig, tier: str = ""
) -> tuple[Index, tuple[str, ...], dict[str, SegmentTrack]]:
    """The recordings that have segments beside them, all labels, and the segments by recording.

    `tier` is that of TextGrids with several. The labels are those that the network knows, or else
    those that the segments have. Recordings without segments are skipped. Raises CorpusError for
    files that hold none, for a label that the network does not know, and when there are none at
    all.
    """
    found: dict[str, tuple[Path, list[Segment]]] = {}
    skipped: list[Skipped] = []
    for recording in index.recordings:
        try:
            path = segments.beside(index.folder / recording.name)
            if path is None:
                skipped.append(Skipped(recording.name, "has no segments beside it"))
                continue
            size = index.sample_rate, recording.samples
            found[recording.name] = path, of_recording(path, *size, tier or None)
        except WavenetError as e:
            advice = e.advice and e.advice.replace("`tier`", "`set` train.segments_tier")
            raise CorpusError(e.subject, e.reason, advice) from None
    if not found:
        reason = f"has segments beside none of {counted(len(skipped), 'recording')}"
        kinds = ", ".join(segments.SUFFIXES)
        raise CorpusError(index.selection.subject, reason, f"they are in files of {kinds}")
    every = sorted({segment.label for _, given in found.values() for segment in given})
    known = model.segment_labels or tuple(every)
    if len(known) > MOST_LABELS:
        reason = f"its segments have {len(known)} different labels, at most {MOST_LABELS} can be"
        raise CorpusError(index.selection.subject, reason, "give them labels that come again")
    if strange := sorted({*every} - {*known}):
        path = next(p for p, given in found.values() if strange[0] in {s.label for s in given})
        reason = f"has a segment {strange[0]}, which this network does not know"
        raise CorpusError(path, f"{reason} ({known_line(strange[0], known)})")
    rate, hop = index.sample_rate, model.frame_hop
    kept = tuple(r for r in index.recordings if r.name in found)
    tracks = {}
    for r in kept:
        path, given = found[r.name]
        sha256 = hashlib.sha256(repr(given).encode()).hexdigest()
        tracks[r.name] = track_of(given, known, rate, hop, r.samples, sha256)
    return replace(index, recordings=kept, skipped=(*index.skipped, *skipped)), known, tracks
