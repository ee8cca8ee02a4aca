"""Mel frames of recordings that another program made, as an acoustic model's for a vocoder.

Each recording has a .npy of its name in a folder like that of the recordings, or in that one.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import mel_files, mel_scales
from wavenet.audio.mel_files import FrameFormat
from wavenet.audio.mel_scales import MelStatistics
from wavenet.audio.quantization import from_pcm16
from wavenet.config import Config
from wavenet.data.decoding import Recording
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.data.split import Span
from wavenet.data.track import Track
from wavenet.errors import AudioError, CorpusError
from wavenet.glossary import Array

# Programs differ in what they make of a recording's last samples.
FRAMES_OFF = 2
# Statistics are of the middles of up to this many recordings, so long of each.
MEL_SPANS = 64
MEL_SECONDS = 4


@dataclass(frozen=True)
class FramesFile:
    """The frames of one recording: natural logarithms of mel magnitudes, on the disk."""

    path: Path
    sha256: str
    bands: int
    # What took the recording to its level in the cache, as a natural logarithm.
    log_gain: float = 0.0

    def rows(self, low: int, high: int) -> Array:
        """Frames `low` to `high` - 1, float32 (frames, bands); beyond the ends the outer ones.

        The file is open meanwhile. Raises AudioError when it is no longer what it was.
        """
        frames = mel_files.arranged(mel_files.read(self.path), self.bands)
        if frames is None:
            raise AudioError(self.path, "changed while it was read", "train again")
        rows = frames[np.clip(np.arange(low, high), 0, len(frames) - 1)]
        return mel_scales.louder(rows, self.log_gain)


def attach(index: Index, config: Config, folder: Path) -> tuple[Index, dict[str, FramesFile]]:
    """The recordings that have frames in `folder`, and those frames by the recording's name.

    The others are skipped. Raises CorpusError for frames that do not fit their recording, and when
    there are none at all.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise CorpusError(folder, "no such folder of frames", "choose another `frames_from`")
    whole = [Span(r, 0, r.samples) for r in index.recordings]
    computed = mel_statistics(index, config, whole, {})
    format = FrameFormat(config.model, index.sample_rate, trained=computed)
    files: dict[str, FramesFile] = {}
    skipped: list[Skipped] = []
    wrong: list[tuple[Path, str]] = []
    for recording in index.recordings:
        path = folder / PurePosixPath(recording.name).with_suffix(mel_files.SUFFIX)
        if not path.is_file():
            skipped.append(Skipped(recording.name, f"has no frames: no {path}"))
        elif reason := _problem(path, recording, format):
            wrong.append((path, reason))
        else:
            files[recording.name] = _opened(path, recording, config.model.mel_bands)
    if wrong:
        path, reason = wrong[0]
        more = f"; {len(wrong) - 1} more files are wrong" if len(wrong) > 1 else ""
        raise CorpusError(path, reason + more, "convert them first, see docs/conditioning.md")
    if not files:
        reason = f"has frames of none of {len(skipped)} recordings"
        raise CorpusError(folder, reason, f"{skipped[0].name} {skipped[0].reason}")
    kept = tuple(r for r in index.recordings if r.name in files)
    return replace(index, recordings=kept, skipped=(*index.skipped, *skipped)), files


def mel_statistics(
    index: Index, config: Config, spans: Sequence[Span], frames: Mapping[str, Track]
) -> MelStatistics | None:
    """Of mel frames, `frames` or computed: medians over recordings. None for silence alone."""
    from wavenet.audio import mel

    hop, found = config.model.frame_hop, list[MelStatistics]()
    each = MEL_SECONDS * index.sample_rate
    for span in spans[:: ceil_div(len(spans), MEL_SPANS)]:
        start = span.start + max(0, len(span) - each) // 2
        stop = min(start + each, span.stop)
        if frames:
            some = frames[span.recording.name].rows(start // hop, 1 + stop // hop)
        else:
            wav = from_pcm16(index.pcm(span.recording)[start:stop])
            some = mel.frames_of(wav, index.sample_rate, config.model)
        if (statistics := mel_scales.statistics(some)) is not None:
            found.append(statistics)
    if not found:
        return None
    medians = np.median([astuple(statistics) for statistics in found], axis=0)
    return MelStatistics(*(round(float(value), 3) for value in medians))


def _problem(path: Path, recording: Recording, format: FrameFormat) -> str:
    """Why the frames cannot be those of the recording; "" when they can."""
    try:
        frames = mel_files.read(path)
    except AudioError as e:
        return e.reason
    if problem := format.problem(frames):
        return problem.reason
    by_time = mel_files.arranged(frames, format.model.mel_bands)
    assert by_time is not None
    expected = 1 + recording.samples // format.model.frame_hop
    if abs(len(by_time) - expected) > FRAMES_OFF:
        samples = f"{recording.name}, {recording.samples} samples at {format.sample_rate} Hz"
        return f"holds {len(by_time)} frames, and {samples}, has {expected}"
    return ""


def _opened(path: Path, recording: Recording, bands: int) -> FramesFile:
    with open(path, "rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return FramesFile(path, sha256, bands, recording.gain_db * math.log(10) / 20)
