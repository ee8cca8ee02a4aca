"""The pitch of recordings is found once and kept in the cache; and the statistics of frames."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import FOLLOWING, tone, wavenet
from wavenet.audio import pitch
from wavenet.config import Config, ModelConfig
from wavenet.data.cache_folders import entries
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError
from wavenet.glossary import Array
from wavenet.model.conditioning.pitch import note_of

HOP = 40
MODEL = replace(FOLLOWING["pitch and loudness"], frame_hop=HOP, frame_window=64)
HERTZ = (220, 247, 294, 330)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings, by the names of their files, whose pitch is looked for.

    It is found at once: 57 plus the number of the call, voiced but for every fourth frame.
    """
    names: list[str] = []

    def tracks(
        pcms: Iterator[tuple[str, Array]], rate: int, hop: int, *_: Any
    ) -> Iterator[tuple[str, Array]]:
        for name, pcm in pcms:
            names.append(name)
            frames = np.ones((1 + len(pcm) // hop, 2), np.float32)
            frames[:, 0] = 56 + len(names)
            frames[::4, 1] = 0
            yield name, frames

    monkeypatch.setattr(pitch, "tracks", tracks)
    return names


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    silence = np.zeros(1600)
    return make_folder(
        {
            f"{i}.wav": np.concatenate([silence, tone(0.3, hertz=hertz), silence])
            for i, hertz in enumerate(HERTZ)
        }
    )


def opened(folder: Path, config: Config, model: ModelConfig = MODEL, **how: Any) -> Corpus:
    audio = replace(config.audio, trim=False)
    config = replace(config, model=model, audio=audio)
    return Corpus.open(index_folder(folder, audio, trim=False), config, **how)


def test_it_is_found_once_and_again_after_the_cache_is_cleared(
    folder: Path, small_config: Config, found: list[str]
) -> None:
    progress: list[tuple[int, int]] = []
    corpus = opened(folder, small_config, on_pitch=lambda *at: progress.append(at))
    assert len(found) == 4
    assert progress == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
    rows = corpus.tracks["pitch"]["2.wav"].rows(-2, 300)
    assert rows.shape == (302, 2)
    assert (rows[:3] == rows[2]).all()
    assert (rows[-20:] == rows[-1]).all()
    progress.clear()
    again = opened(folder, small_config, on_pitch=lambda *at: progress.append(at))
    assert len(found) == 4
    assert progress == []
    assert (again.tracks["pitch"]["2.wav"].rows(-2, 300) == rows).all()
    # A new recording alone is searched, and a range of its own is found anew.
    (folder / "new.wav").write_bytes((folder / "0.wav").read_bytes()[:-100])
    opened(folder, small_config)
    assert len(found) == 5
    opened(folder, small_config, replace(MODEL, pitch_high_hz=700.0))
    assert len(found) == 10
    opened(folder, small_config, replace(MODEL, frame_hop=20))
    assert len(found) == 15
    # What has nothing to do with pitch is no reason.
    opened(folder, small_config, replace(MODEL, frame_context=2, layers=6))
    assert len(found) == 15


def test_the_cache_counts_its_bytes_and_clears_it(
    folder: Path, small_config: Config, found: list[str]
) -> None:
    config = replace(small_config, audio=replace(small_config.audio, trim=False))
    index_folder(folder, config.audio, trim=False)
    before = entries()[0].bytes
    opened(folder, small_config)
    (entry,) = entries()
    on_disk = sum(path.stat().st_size for path in entry.path.rglob("*.npy"))
    assert on_disk > 4 * 8 * (5600 // HOP)
    assert entry.bytes == before + on_disk
    assert "cleared: " in wavenet("cache", folder, "--clear").stdout
    assert not entry.path.exists()
    opened(folder, small_config)
    assert len(found) == 8


def test_a_cache_that_cannot_be_written_is_named(
    folder: Path, small_config: Config, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wavenet.data.pitch_tracks.write_whole", full)
    with pytest.raises(CorpusError, match="cannot be written \\(No space left on device\\)"):
        opened(folder, small_config)


def test_statistics_are_of_the_notes_and_levels_of_what_is_trained_on(
    folder: Path, small_config: Config
) -> None:
    """Found by pYIN, of tones between silence."""
    corpus = opened(folder, small_config)
    statistics = corpus.statistics()
    trained = [HERTZ[int(span.recording.name[0])] for span in corpus.training]
    assert statistics.pitch is not None
    assert statistics.pitch[0] == pytest.approx(note_of(min(trained)), abs=0.3)
    assert statistics.pitch[1] == pytest.approx(note_of(max(trained)), abs=0.3)
    assert statistics.mel is None
    assert statistics.loudness is not None
    # A tone of 0.4 is at -11 dB; A-weighting takes up to 11 from it at these pitches.
    assert -22 < statistics.loudness.middle < -14
    assert statistics.loudness.silence < -70


def test_recordings_without_any_pitch_have_no_range(
    folder: Path, small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    unvoiced = np.stack([np.full(141, 60), np.zeros(141)], axis=1).astype(np.float32)
    monkeypatch.setattr(pitch, "tracks", lambda pcms, *_: ((n, unvoiced) for n, _ in pcms))
    statistics = opened(folder, small_config).statistics()
    assert statistics.pitch is None
    assert statistics.loudness is None
