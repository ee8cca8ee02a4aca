"""`wavenet.train`: a model from Python in one call, by the loop of the command."""

import logging
import math
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wavenet
from tests.helpers import SMALL, train_run, training_recordings, write_recordings
from wavenet.config import Config
from wavenet.errors import (
    ChangedRunError,
    CheckpointError,
    ConfigError,
    CorpusError,
    RunError,
    TrainingError,
    UsageError,
)
from wavenet.model import locate
from wavenet.model.checkpoint import Model
from wavenet.training import session


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def wavs() -> list[Any]:
    return [wav.astype(np.float32) for wav in training_recordings().values()]


def same(a: Model, b: Model) -> bool:
    return all((array == b.weights[name]).all() for name, array in a.weights.items())


def test_arrays_train_the_model_that_their_files_train(
    small_config: Config, tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "test.toml").write_text(small_config.to_toml())
    # The names that arrays are filed under, which decide on the order of windows.
    files = {f"{i:06d}.wav": wav for i, wav in enumerate(wavs())}
    folder = write_recordings(tmp_path / "folder", files)
    run = session.train(folder, config=str(tmp_path / "test.toml"), out=tmp_path / "run")
    expected = wavenet.load(run.folder)
    pairs = [(wav, 8000) for wav in wavs()]
    losses: dict[int, float] = {}
    for recordings in (folder, wavs(), pairs):
        model = wavenet.train(recordings, small_config, on_step=losses.__setitem__)
        assert same(model, expected)
        assert (model.training.step, model.name) == (expected.training.step, "test")
    assert list(losses) == list(range(1, 11))
    assert all(map(math.isfinite, losses.values()))
    assert not list(temporary.glob("wavenet-*"))
    assert wavenet.generate(model, 0.01, label=None).shape == (80,)


def test_settings_and_a_run_folder_are_those_that_are_given(
    small_config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    first = wavenet.train(wavs(), small_config, out=out, steps=4, seed=5, overrides=CHEAP)
    assert locate.is_run(out)
    assert (first.name, first.training.step) == ("mine", 4)
    assert (first.config.train.steps, first.config.train.seed, first.config.train.batch) == (
        4,
        5,
        1,
    )
    with pytest.raises(ChangedRunError, match="add `accept_changes`"):
        wavenet.train(wavs(), small_config, out=out, steps=6, seed=5, overrides=CHEAP)
    longer = wavenet.train(wavs(), out=out, steps=6, accept_changes=True)
    assert longer.training.step == 6
    assert same(wavenet.train(wavs(), out=out), longer)
    with pytest.raises(UsageError, match="`minutes`"):
        wavenet.train(wavs(), small_config, steps=1, minutes=1)
    with pytest.raises(ConfigError, match="no such preset"):
        wavenet.train(wavs(), "tinny")


CHEAP = {"train.batch": 1}


def test_it_begins_from_a_trained_model(small_config: Config, tmp_path: Path) -> None:
    base = wavenet.train(wavs(), small_config)
    base.save(tmp_path / "base.safetensors")
    model = wavenet.train(
        wavs(),
        init_from=tmp_path / "base.safetensors",
        steps=2,
        overrides={"train.sample_seconds": 0},
    )
    assert [ancestor.name for ancestor in model.training.ancestry] == ["base"]
    assert model.config.model == base.config.model
    again = wavenet.train(
        wavs(),
        init_from=replace(base, name="in memory"),
        steps=2,
        overrides={"train.sample_seconds": 0},
    )
    assert [ancestor.name for ancestor in again.training.ancestry] == ["in-memory"]
    assert same(again, model)
    with pytest.raises(CheckpointError, match="did you mean demo-voice"):
        wavenet.train(wavs(), init_from="demo-vioce")


def test_on_step_ends_it_and_the_model_is_scored(small_config: Config) -> None:
    model = wavenet.train(wavs(), small_config, on_step=lambda step, bits: step == 3)
    assert model.training.step == 3
    assert model.training.validation_bits is not None


def test_an_error_in_on_step_ends_it_at_once(small_config: Config, temporary: Path) -> None:
    def fail(step: int, bits: float) -> None:
        raise ValueError(f"at {step}")

    with pytest.raises(ValueError, match="at 1"):
        wavenet.train(wavs(), small_config, on_step=fail)
    assert not list(temporary.glob("wavenet-*"))


def test_ctrl_c_returns_the_model_so_far(
    small_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(step: int, bits: float) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    model = wavenet.train(wavs(), small_config, on_step=interrupt)
    # The best that was scored.
    assert model.training.step == 5
    said = "interrupted at step 7, and the model is that of step 5, the best until then"
    assert caplog.messages == [said]


def test_it_says_nothing_unless_asked(
    small_config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    short = replace(small_config, train=replace(small_config.train, steps=2))
    wavenet.train(wavs(), short)
    assert "".join(capfd.readouterr()) == ""
    wavenet.train(wavs(), short, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("100%, 2 of 2 steps, in 00:")
    assert len(err.splitlines()) == 1


def test_a_run_that_is_gone_is_not_gone_on_with(
    small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any) -> float:
        raise TrainingError("", "the loss is not finite at step 0")

    monkeypatch.setattr("wavenet.training.trainer.Trainer.train_step", diverge)
    with pytest.raises(TrainingError) as e:
        wavenet.train(wavs(), small_config)
    assert e.value.advice == (
        "lower train.learning_rate, or keep the run by `out` to go on from before"
    )


def test_notes_are_logged(
    small_config: Config, caplog: pytest.LogCaptureFixture, make_folder: Callable[..., Path]
) -> None:
    caplog.set_level(logging.INFO, "wavenet")
    monkey = replace(small_config, train=replace(small_config.train, sample_seconds=0.01, steps=1))
    folder = make_folder(training_recordings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavenet.training.preview.sample", lambda *_: 1 / 0)
        wavenet.train(folder, monkey)
    assert "no sample rendered: division by zero" in caplog.text


def test_what_became_of_recordings_and_warnings_are_told_as_warnings(
    small_config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wavenet.training.learning_check.nothing_learnt", lambda *_: "nothing has been learnt"
    )
    short = replace(small_config, train=replace(small_config.train, steps=1))
    wavenet.train([*wavs(), np.zeros(8000), 30000 * wavs()[1]], short)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "1 recording skipped: recordings[6].wav (silent: nothing but zeros)"),
        ("WARNING", caplog.messages[1]),
        ("WARNING", "nothing has been learnt"),
    ]
    assert caplog.messages[1].startswith(
        "1 recording not as they should be: recordings[7].wav (its floats count"
    )


def test_torch_is_as_usual_inside_and_as_it_was_outside(small_config: Config) -> None:
    expected = wavenet.train(wavs(), small_config)
    with torch.no_grad():
        assert same(wavenet.train(wavs(), small_config), expected)
    with torch.inference_mode():
        assert same(wavenet.train(wavs(), small_config), expected)
        assert torch.is_inference_mode_enabled()
    torch.set_default_dtype(torch.float64)
    try:
        assert same(wavenet.train(wavs(), small_config), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_run_on_arrays_has_them_and_goes_on_by_command(
    small_config: Config, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    wavenet.train(wavs(), small_config, out=ours, steps=4)
    longer = {"config": None, "accept_changes": True}
    run, notes = train_run(None, ours, "train.steps=8", **longer)
    assert "resuming" in notes
    wavenet.train(wavs(), small_config, out=theirs, steps=4)
    assert same(
        wavenet.load(run.folder), wavenet.train(wavs(), out=theirs, steps=8, accept_changes=True)
    )
    (kept,) = run.arrays.iterdir()
    assert len(list(kept.iterdir())) == len(wavs())
    with pytest.raises(ChangedRunError, match="recordings"):
        wavenet.train(wavs()[1:], out=ours)
    assert list(run.arrays.iterdir()) == [kept]


def test_what_cannot_be_a_run_holds_no_recordings_afterwards(
    small_config: Config, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="`recordings`"):
        wavenet.train(np.zeros(8000), small_config, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    foreign = write_recordings(tmp_path / "foreign", {"a.wav": wavs()[0]})
    with pytest.raises(RunError, match="is not a run"):
        wavenet.train(wavs(), small_config, out=foreign)
    assert [path.name for path in foreign.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        *(({"steps": steps}, "steps") for steps in (0, "3", 1.5, True)),
        *(({"minutes": minutes}, "minutes") for minutes in (0, -1, "1", math.nan)),
        ({"seed": -1}, "seed"),
        ({"overrides": [1]}, "overrides"),
        ({"on_step": 3}, "on_step"),
        ({"device": None}, "device"),
        ({"init_from": ""}, "init_from"),
        ({"out": ""}, "out"),
        ({"cache": ""}, "cache"),
        *(({"config": config}, "config") for config in (SMALL, {}, "", 3)),
        ({"recordings": ""}, "recordings"),
    ],
)
def test_arguments_are_refused_by_name(
    small_config: Config, arguments: dict[str, Any], parameter: str
) -> None:
    usual: dict[str, Any] = {"recordings": wavs()[:1], "config": small_config}
    with pytest.raises(UsageError) as e:
        wavenet.train(**(usual | arguments))
    assert e.value.parameter == parameter


def test_a_config_of_any_name_trains(small_config: Config) -> None:
    long = replace(small_config, name="a" * 300, train=replace(small_config.train, steps=1))
    assert wavenet.train(wavs(), long).name == "a" * 300


def test_several_processes_need_a_run_folder_and_files(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WORLD_SIZE", 2), ("RANK", 1), ("MASTER_ADDR", "a"), ("MASTER_PORT", 9)):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UsageError, match="`out`: several processes need one run folder"):
        wavenet.train(str(tmp_path), small_config)
    with pytest.raises(UsageError, match="`recordings`: several processes need files"):
        wavenet.train(wavs(), small_config, out=tmp_path / "run")
