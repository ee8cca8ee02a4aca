"""Fixtures of what is played: models of every kind, and sources of every kind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import (
    BOTH,
    FOLLOWING,
    SMALL,
    VOCODER,
    VOICES,
    as_checkpoint,
    network,
    tone,
    write_beside,
    write_midi,
)
from wavenet.audio import pitch
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model
from wavenet.scores.notes import Note
from wavenet.scores.segments import Segment

RATE, HOP = 8000, 40


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    """A model that follows nothing, and one for each kind and some together; frames 40 apart."""
    configs = {"nothing": SMALL, "labels": VOICES, "mel": VOCODER, "labels and mel": BOTH}
    singer = replace(FOLLOWING["pitch"], label_channels=2, labels=("ada", "bob"))
    configs |= FOLLOWING | {"pitch and labels": singer}
    sized = {"frame_hop": HOP, "frame_window": 64}
    return {name: as_checkpoint(network(replace(c, **sized))) for name, c in configs.items()}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A source of every kind, of 0.1 s or so. The recording has features and segments beside it."""
    sf.write(tmp_path / "a.wav", tone(0.1, hertz=300), RATE)
    folder = write_beside(
        tmp_path, replace(FOLLOWING["everything"], frame_hop=HOP, frame_window=64)
    )
    np.save(tmp_path / "own.npy", np.load(folder / "a.npy"))
    (tmp_path / "own.csv").write_text("0,0.05,one\n0.05,0.1,two\n")
    # 96 ticks are 0.1 s.
    midi = write_midi(tmp_path / "own.mid", [(0, 1, 60, 80), (96, 1, 60, 0)])
    return {
        "wav": tone(0.1, hertz=300).astype(np.float32),
        "wav and rate": (tone(0.1, rate=16000, hertz=300).astype(np.float32), 16000),
        "recording": folder / "a.wav",
        "text of notes": "C4:0.05 D4@100",
        "notes": [Note(0, 0.05, 60), Note(0.05, 0.1, 62.5)],
        "MIDI": midi,
        "text of segments": "one:0.05 two",
        "segments": [Segment(0, 0.05, "one"), Segment(0.05, 0.1, "two")],
        "file of segments": folder / "own.csv",
        "features": folder / "own.npy",
    }


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Array:
    """A recording of 1600 samples, whose pitch is 60 and then 64, found at once."""

    def track(wav: Array, _rate: int, hop: int, *_: float) -> Array:
        at = np.arange(1 + len(wav) // hop) * hop
        return np.stack([np.where(at < 800, 60, 64), at < 1500], axis=1).astype(np.float32)

    monkeypatch.setattr(pitch, "track", track)
    return tone(0.2, hertz=300).astype(np.float32)
