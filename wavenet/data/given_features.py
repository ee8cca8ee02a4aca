"""Features that the user made: a .npy of the same name beside each recording."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import mel_files
from wavenet.config import ModelConfig
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.data.split import Span
from wavenet.data.track import Track
from wavenet.errors import AudioError, CorpusError
from wavenet.glossary import Array
from wavenet.system.text import counted

# Programs differ in what they make of a recording's last samples.
FRAMES_OFF = 2
# In parts of a column's mean. Smaller deviations are those of rounding.
LEAST_DEVIATION = 1e-6
# Larger numbers are no measurement, and their squares leave the range of float32.
LARGEST = np.float64(1e18)


@dataclass(frozen=True)
class FeaturesFile:
    """The features of one recording, on the disk."""

    path: Path
    sha256: str
    # How many frames it holds; the other axis is the width.
    frames: int
    # From one of its frames to the next, and from one that the network follows to the next.
    hop: int
    frame_hop: int

    def rows(self, low: int, high: int) -> Array:
        """Frames `low` to `high` - 1, float32 (frames, width); beyond the ends the outer ones.

        Raises AudioError when the file is no longer what it was.
        """
        by_time = arranged(mel_files.read(self.path), self.frames)
        if by_time is None:
            raise AudioError(self.path, "changed while it was read", "train again")
        return at_hop(by_time, self.hop, self.frame_hop, low, high)


def at_hop(by_time: Array, hop: int, frame_hop: int, low: int, high: int) -> Array:
    """Frames that lie `hop` samples apart, where those that are `frame_hop` apart would lie.

    Frames `low` to `high` - 1, float32, on straight lines; beyond the ends the outer ones.
    """
    return at_places(by_time, np.arange(low, high) * (frame_hop / hop))


def at_places(by_time: Array, places: Array) -> Array:
    """Frames (frames, width) at places between them, on straight lines: float32 (places, width)."""
    place = np.clip(places, 0, len(by_time) - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(by_time) - 1)
    share = (place - before)[:, None]
    rows: Array = ((1 - share) * by_time[before] + share * by_time[after]).astype(np.float32)
    return rows


def arranged(features: Array, frames: int, off: int = 0, width: int = 0) -> Array | None:
    """Features as (frames, width), of that shape or (width, frames), or in a batch of 1.

    None where no axis has `frames`, give or take `off`. Where both have, the other one has `width`,
    if that is known, or is further from `frames`. A row of numbers has a width of 1.
    """
    features = _two_axes(features)
    if features.ndim != 2 or not features.size:
        return None
    views = (features, features.T)
    near = [view for view in views if abs(len(view) - frames) <= off]
    return min(near, key=lambda v: (v.shape[1] != width, abs(len(v) - frames)), default=None)


def _two_axes(features: Array) -> Array:
    """Features without the axis of a batch of 1, and a row of numbers as one column."""
    if features.ndim == 3 and len(features) == 1:
        features = features[0]
    return features[:, None] if features.ndim == 1 else features


def attach(index: Index, model: ModelConfig) -> tuple[Index, int, dict[str, FeaturesFile]]:
    """The recordings that have features beside them, their width, and their files by name.

    The others are skipped. Raises CorpusError for features that do not fit their recording, or one
    another, and when there are none at all.
    """
    hop = model.features_hop or model.frame_hop
    files: dict[str, FeaturesFile] = {}
    skipped: list[Skipped] = []
    wrong: list[tuple[Path, str]] = []
    width = model.features_width
    for recording in index.recordings:
        path = index.folder / PurePosixPath(recording.name).with_suffix(mel_files.SUFFIX)
        if not path.is_file():
            skipped.append(Skipped(recording.name, f"has no features: no {path}"))
            continue
        try:
            by_time = fitting(path, recording.name, recording.samples, hop, width)
        except AudioError as e:
            wrong.append((path, e.reason))
            continue
        width = width or by_time.shape[1]
        if by_time.shape[1] != width:
            whose = "this network follows" if model.features_width else "others have"
            wrong.append((path, f"has {counted(by_time.shape[1], 'feature')}, and {whose} {width}"))
            continue
        with open(path, "rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        files[recording.name] = FeaturesFile(path, sha256, len(by_time), hop, model.frame_hop)
    if wrong:
        path, reason = wrong[0]
        more = f"; {counted(len(wrong) - 1, 'more file')} cannot be used" if len(wrong) > 1 else ""
        raise CorpusError(path, reason + more, "see docs/conditioning.md")
    if not files:
        reason = f"has features beside none of {counted(len(skipped), 'recording')}"
        raise CorpusError(index.selection.subject, reason, f"{skipped[0].name} {skipped[0].reason}")
    kept = tuple(r for r in index.recordings if r.name in files)
    return replace(index, recordings=kept, skipped=(*index.skipped, *skipped)), width, files


def of_recording(path: Path, model: ModelConfig, samples: int) -> Array:
    """The frames that a model follows of a file of features, for so many samples.

    float32 (frames, width). Raises AudioError when they cannot be that.
    """
    hop = model.features_hop or model.frame_hop
    by_time = fitting(path, "the recording", samples, hop, model.features_width)
    if by_time.shape[1] != model.features_width:
        reason = f"has {counted(by_time.shape[1], 'feature')}, and this model follows"
        raise AudioError(path, f"{reason} {model.features_width}")
    return at_hop(by_time, hop, model.frame_hop, 0, 1 + samples // model.frame_hop)


def all_frames(path: Path, model: ModelConfig) -> Array:
    """All frames that a model follows of a file of features, float32 (frames, width).

    Raises AudioError when they cannot be that.
    """
    features, width = _two_axes(finite(path)), model.features_width
    if features.ndim != 2 or width not in features.shape or not features.size:
        reason = f"is of shape {features.shape}, and this model follows (frames, {width})"
        raise AudioError(path, reason)
    by_time = features if features.shape[1] == width else features.T
    hop = model.features_hop or model.frame_hop
    count = ceil_div(len(by_time) * hop, model.frame_hop)
    return at_hop(by_time, hop, model.frame_hop, 0, count)


def finite(path: Path) -> Array:
    """The numbers in a .npy file. Raises AudioError for anything else."""
    features = mel_files.read(path)
    if features.dtype.kind not in "fiub" or not (np.abs(features) < LARGEST).all():
        reason = f"holds something other than finite numbers below {LARGEST:g}"
        raise AudioError(path, reason)
    return features


def statistics(
    spans: Sequence[Span], tracks: Mapping[str, Track], frame_hop: int
) -> tuple[Array, Array]:
    """Mean and standard deviation of every feature over spans, each float32 (width,)."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    # Sums of what is far from 0 and hardly changes would be all rounding.
    origin = tracks[spans[0].recording.name].rows(0, 1).astype(np.float64)[0]
    for span in spans:
        first, last = span.start // frame_hop, (span.stop - 1) // frame_hop
        rows = tracks[span.recording.name].rows(first, last + 1) - origin
        count += len(rows)
        total = total + rows.sum(axis=0)
        squares = squares + np.square(rows).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    mean = mean + origin
    # A column that never changes says nothing.
    deviation = np.where(deviation <= LEAST_DEVIATION * np.abs(mean), 1, deviation)
    return mean.astype(np.float32), deviation.astype(np.float32)


def fitting(path: Path, name: str, samples: int, hop: int, width: int = 0) -> Array:
    """Features (frames, width) of a recording. Raises AudioError when they cannot be its own."""
    features = finite(path)
    expected = 1 + samples // hop
    by_time = arranged(features, expected, FRAMES_OFF, width)
    if by_time is None:
        wanted = f"{name} has {expected} frames, one for each {hop} samples"
        # Of the two axes the longer one is mostly that of time.
        frames = max(features.shape, default=0)
        near = f" ({round(samples / (frames - 1))} would fit)" if frames > 1 else ""
        reason = f"is of shape {features.shape}, and {wanted} (model.features_hop){near}"
        raise AudioError(path, reason)
    return by_time
