"""The pitch of recordings, extracted once and kept beside their samples in the cache."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavenet.audio import mel_files, pitch
from wavenet.config import ModelConfig
from wavenet.data.pcm_cache import Index
from wavenet.errors import AudioError, CorpusError
from wavenet.glossary import Array
from wavenet.system.files import write_whole

# How the names of their folders in a cache begin.
FOLDER = "pitch-"
# The rules by which pitch is found. Whoever changes what they find raises it.
VERSION = 1


@dataclass(frozen=True)
class PitchTrack:
    """The pitch of one recording: see `audio.pitch.track`."""

    # Mapped from the disk, and there even when the cache is cleared meanwhile.
    frames: Array
    sha256: str = ""

    def rows(self, low: int, high: int) -> Array:
        """Frames `low` to `high` - 1, float32 (frames, 2); beyond the ends the outer ones."""
        rows: Array = self.frames[np.clip(np.arange(low, high), 0, len(self.frames) - 1)]
        return rows


def attach(
    index: Index,
    model: ModelConfig,
    on_file: Callable[[int, int], object] = lambda done, total: None,
    processes: int | None = None,
) -> dict[str, PitchTrack]:
    """The pitch of every recording, by name. What no earlier call has found is found now.

    `on_file(done, total)` reports progress. Raises CorpusError when the cache cannot be written.
    """
    rules = [VERSION, model.frame_hop, model.pitch_low_hz, model.pitch_high_hz]
    digest = hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:12]
    folder = index.cache / f"{FOLDER}{digest}"
    paths = {r.name: folder / f"{r.sha256[:32]}{mel_files.SUFFIX}" for r in index.recordings}
    tracks = {
        r.name: _kept(paths[r.name], 1 + r.samples // model.frame_hop) for r in index.recordings
    }
    missing = {paths[r.name]: r for r in index.recordings if tracks[r.name] is None}
    if missing:
        done = len(paths) - len(missing)
        on_file(done, len(paths))
        pcms = ((path.name, index.pcm(r)) for path, r in missing.items())
        settings = model.frame_hop, model.pitch_low_hz, model.pitch_high_hz
        try:
            folder.mkdir(exist_ok=True)
            for name, frames in pitch.tracks(pcms, index.sample_rate, *settings, processes):
                content = io.BytesIO()
                np.save(content, frames, allow_pickle=False)
                write_whole(folder / name, content.getvalue())
                done += 1
                on_file(done, len(paths))
        except OSError as e:
            reason = f"the cache cannot be written ({e.strerror or e})"
            raise CorpusError(folder, reason, "choose another place with `cache`") from None
        on_file(len(paths), len(paths))
    return {
        name: PitchTrack(mel_files.read(paths[name]) if frames is None else frames)
        for name, frames in tracks.items()
    }


def _kept(path: Path, count: int) -> Array | None:
    """The frames that an earlier call kept; None where there are none, or not `count` of them."""
    try:
        frames = mel_files.read(path)
    except AudioError:
        return None
    return frames if frames.shape == (count, 2) else None
