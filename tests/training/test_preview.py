"""The samples that a run renders: they say what they are, and none ends the training."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from tests.helpers import SMALL, VOCODER, train_run
from wavenet.audio import writing
from wavenet.config import Config, ModelConfig


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (SMALL, "Synthetic audio after 0.50 s of a recording"),
        (VOCODER, "Synthetic audio (resynthesis from mel frames)"),
    ],
    ids=["a continuation", "a vocoder"],
)
def test_rendered_samples_say_that_they_are_synthetic(
    training_folder: Path, small_config: Config, tmp_path: Path, model: ModelConfig, what: str
) -> None:
    train = replace(small_config.train, steps=2, evaluate_every=2, sample_seconds=0.1)
    config = replace(small_config, model=model, train=train)
    path = tmp_path / "preview.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    run, _ = train_run(training_folder, tmp_path / "my-run", config=str(path))
    tags = sf.SoundFile(run.samples / "step-00000002.wav").copy_metadata()
    assert tags["comment"].startswith(f"{what}, made by wavenet ")
    assert tags["comment"].endswith(": model my-run, step 2, seed 3")


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def unknown_backend(patch: pytest.MonkeyPatch) -> None:
    error = ValueError("Key backend: not valid\nsupported are")
    patch.setattr("wavenet.plotting.style.blank", raising(error))


def no_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("wavenet.plotting.style.blank", raising(MemoryError()))


def without_librosa(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "librosa", None)


def full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writing, "writer", raising(OSError(28, "No space left on device")))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (unknown_backend, "STEM.png: cannot be drawn (Key backend: not valid)"),
        (no_memory, "MemoryError"),
        (without_librosa, "STEM.png: cannot be drawn (import of librosa halted; None in"),
        (full_disk, "No space left on device"),
    ],
)
def test_a_sample_that_fails_in_any_way_is_one_line(
    spoil: Callable[[pytest.MonkeyPatch], None],
    why: str,
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(monkeypatch)
    run, notes = train_run(
        training_folder,
        tmp_path / "run",
        *("train.sample_seconds=0.05", "train.steps=2", "train.evaluate_every=2"),
        config=str(config_file),
    )
    why = why.replace("STEM", str(run.samples / "step-00000002"))
    lines = [line for line in notes.splitlines() if "rendered" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"no sample rendered: {why}")
    latest = run.latest()
    assert latest is not None
    assert latest.training.step == 2
