"""Runs that begin from a trained model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import VOCODER, VOICES, fails, last, noisy, tone, train_run, wavenet
from wavenet.config import Config, loading
from wavenet.errors import CheckpointError, ConfigError, RunError
from wavenet.generation.provenance import synthetic_tags
from wavenet.model import locate
from wavenet.training.fine_tuning import RECIPE, config_from
from wavenet.training.run_folder import Run

QUICK = ("train.steps=4", "train.evaluate_every=2")


@pytest.fixture
def base(training_folder: Path, config_file: Path, tmp_path: Path) -> Run:
    """A run of ten steps."""
    return train_run(training_folder, tmp_path / "base", config=str(config_file))[0]


@pytest.fixture
def others(make_folder: Callable[..., Path]) -> Path:
    """Recordings of two voices that the base never heard."""
    recordings = {}
    for who, hertz in (("ada", 310), ("bob", 520)):
        for i in range(3):
            recordings[f"{who}/{i}.wav"] = tone(0.6, hertz=hertz + i) + noisy(0.6, amplitude=0.02)
    return make_folder(recordings, name="others")


def fine_tuned(folder: Path, base: Run, out: str, *settings: str, **more: Any) -> tuple[Run, str]:
    init_from = f"train.init_from={base.folder}"
    return train_run(folder, base.folder.parent / out, init_from, *QUICK, *settings, **more)


def test_it_begins_as_good_as_the_base_and_with_the_base_s_network(
    base: Run, training_folder: Path
) -> None:
    settings = ("train.validation_seconds=1", "train.sample_seconds=0.1")
    run, notes = fine_tuned(training_folder, base, "again", *settings)
    # On the recordings that the base was scored on.
    first = run.metrics()[0]
    assert (first["step"], first["seconds"]) == (0, 0)
    score = last(base).training.validation_bits
    assert first["validation_bits"] == pytest.approx(score, abs=1e-5)
    assert (run.samples / "step-00000000.wav").is_file()
    assert "weights    begun from base (train.init_from)" in notes
    assert run.config().model == base.config().model
    train = run.config().train
    assert train.learning_rate == RECIPE["learning_rate"]
    # The windows are the base's; the seed, as what else is no recipe, is the usual one.
    assert (train.batch, train.segment_seconds, train.seed) == (3, 0.05, 0)
    assert run.config().name == "base"


def test_adam_and_the_schedule_are_new(base: Run, others: Path) -> None:
    run, _ = fine_tuned(others, base, "new", "train.warmup_steps=2", stop_at=1)
    # Adam's first step is of the whole rate, whatever the gradient, and decay adds 1 % of a weight.
    rate = RECIPE["learning_rate"] / 3
    assert run.metrics()[1]["learning_rate"] == pytest.approx(rate)
    before, after = last(base).part("average"), last(run).part("model")
    moved = after["embedding.weight"] - before["embedding.weight"] * (1 - 0.01 * rate)
    assert np.median(np.abs(moved)) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("command", ["short", "same", "renamed", "file", "config", "gone", "first"])
def test_it_resumes_bit_for_bit(base: Run, others: Path, config_file: Path, command: str) -> None:
    how = {"config": str(config_file)} if command == "config" else {}
    whole, _ = fine_tuned(others, base, "whole", **how)
    half, _ = fine_tuned(others, base, "half", stop_at=2, **how)
    renamed = base.folder.with_name("voice-1.5")
    if command == "short":
        train_run(None, half.folder)
    elif command == "renamed":
        base.folder.rename(renamed)
        train_run(others, half.folder, f"train.init_from={renamed}", *QUICK)
    elif command == "file":
        best = locate.find(base.folder)
        train_run(others, half.folder, f"train.init_from={best}", *QUICK)
    else:
        if command == "gone":
            base.folder.rename(renamed)
        if command == "first":
            # Killed during the first steps, after the base was scored.
            locate.step_path(half.checkpoints, 2).unlink()
        fine_tuned(others, base, "half", **how)
    a, b = last(whole), last(half)
    assert a.training.ancestry == b.training.ancestry
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name], err_msg=name)


def test_a_checkpoint_knows_where_it_comes_from(base: Run, others: Path) -> None:
    child, _ = fine_tuned(others, base, "child")
    grandchild, _ = fine_tuned(others, child, "grandchild")
    first, second = last(grandchild).training.ancestry
    assert (first.name, first.step) == ("base", 10)
    assert (second.name, second.step) == ("child", 4)
    assert first == last(child).training.ancestry[0]
    assert first.sha256 != second.sha256
    comment = synthetic_tags("grandchild", last(grandchild), 7)["comment"]
    assert "step 4 (begun from child, before that base), seed 7" in comment


def test_other_recordings_are_scored_anew_before_the_first_step(base: Run, others: Path) -> None:
    run, _ = fine_tuned(others, base, "run", stop_at=1)
    locate.step_path(run.checkpoints, 1).unlink()
    held_out = ("train.validation_fraction=0.5", *QUICK)
    train_run(None, run.folder, *held_out, stop_at=2, accept_changes=True)
    straight, _ = fine_tuned(others, base, "straight", *held_out, stop_at=2)
    first, *rest = run.metrics()
    assert (first["step"], first["validation_bits"]) == (
        0,
        straight.metrics()[0]["validation_bits"],
    )
    assert all(m["step"] for m in rest)


def test_a_crash_before_the_first_checkpoint_begins_from_the_base_again(
    base: Run, others: Path
) -> None:
    run, _ = fine_tuned(others, base, "run", stop_at=1)
    expected = last(run)
    for step in locate.steps(run.checkpoints):
        locate.step_path(run.checkpoints, step).unlink()
    train_run(None, run.folder, stop_at=1)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(array, last(run).arrays[name], err_msg=name)


def test_a_base_learns_labels_and_frames(base: Run, others: Path) -> None:
    labels, _ = fine_tuned(others, base, "labels", "model.label_channels=3")
    assert labels.config().model.labels == ("ada", "bob")
    # A model that knows labels learns others.
    again, _ = fine_tuned(others, labels, "numbers", "train.label_from=(?P<label>[012])")
    assert again.config().model.labels == ("0", "1", "2")
    mel = {f"model.{k}={v}" for k, v in vars(VOCODER).items() if k.startswith("mel_")}
    both, _ = fine_tuned(others, labels, "both", *mel)
    assert both.config().model.follows_frames
    assert both.config().model.label_channels == 3
    wav = others.parent / "copy.wav"
    command = ("vocode", both.folder, others / "ada" / "0.wav", "--label", "ada", "-o", wav)
    assert wavenet(*command).exit_code == 0
    assert wav.is_file()


def test_a_file_goes_before_the_recipe_and_a_preset_does_not(base: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[train]\nlearning_rate = 0.5\n")
    was = base.config()
    own = config_from(was, str(base.folder), str(path), {})
    # What the file does not say is the base's, or the recipe's.
    assert own.model == was.model
    assert own.audio == was.audio
    assert (own.train.learning_rate, own.train.steps) == (0.5, RECIPE["steps"])
    assert own.train.batch == was.train.batch
    tiny = loading.load("tiny")
    preset = config_from(tiny, "base", "tiny", {"train.batch": 7})
    assert preset.name == "tiny"
    assert preset.train.learning_rate == RECIPE["learning_rate"]
    assert (preset.train.batch, preset.train.segment_seconds) == (7, 0.25)
    # Of the network a preset says what is followed, and its sizes give way to the base's.
    followed = ("model.conditioning", "model.frame_")
    instrument = config_from(was, str(base.folder), "instrument", {})
    assert instrument.model.conditioning == ("pitch", "loudness")
    assert instrument.train.input_noise == loading.load("instrument").train.input_noise
    assert instrument.audio == was.audio
    # 10 ms and 64 ms, at 8 kHz.
    assert (instrument.model.frame_hop, instrument.model.frame_window) == (80, 512)
    changed = loading.differences(was, instrument)
    assert all(k.startswith(followed) for k in changed if k.startswith("model."))


def test_what_is_asked_for_goes_first(base: Run, others: Path, tmp_path: Path) -> None:
    overrides = {"model.label_channels": 2, "model.labels": ["x", "y"], "train.seed": 5}
    config = config_from(base.config(), "my base!", None, overrides)
    assert config.model.labels == ("x", "y")
    assert config.train.seed == 5
    assert config.name == "my-base-"


def test_a_killed_run_cannot_take_another_network(base: Run, others: Path, tmp_path: Path) -> None:
    """It has a config and no checkpoint."""
    run, _ = fine_tuned(others, base, "run", stop_at=1)
    for step in locate.steps(run.checkpoints):
        locate.step_path(run.checkpoints, step).unlink()
    with pytest.raises(ConfigError, match=r"model\.dilation_cycle: 4 -> 8"):
        train_run(None, run.folder, "model.dilation_cycle=8")
    # Another base brings its own.
    settings = ("model.dilation_cycle=8", "train.steps=2", "train.evaluate_every=2")
    path = tmp_path / "other.toml"
    path.write_text(run.config_file.read_text().replace("init_from", "# init_from"))
    other, _ = train_run(others, tmp_path / "other", *settings, config=str(path))
    again, _ = train_run(None, run.folder, f"train.init_from={other.folder}", *QUICK)
    assert again.config().model.dilation_cycle == 8


def test_a_config_file_may_name_the_base(
    base: Run, others: Path, config_file: Path, small_config: Config, tmp_path: Path
) -> None:
    train = replace(small_config.train, init_from=str(base.folder), steps=3)
    config_file.write_text(replace(small_config, train=train).to_toml())
    run, _ = train_run(others, tmp_path / "run", config=str(config_file))
    assert last(run).training.ancestry[0].name == "base"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.layers=6", "model.layers: 5 -> 6"),
        ("model.output=logistic", "model.output: mulaw -> logistic"),
        ("audio.sample_rate=16000", "audio.sample_rate: 8000 -> 16000"),
    ],
)
def test_another_network_is_refused_by_name(
    base: Run, others: Path, setting: str, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        fine_tuned(others, base, "run", setting)


def test_the_sizes_of_conditioning_that_the_base_has_are_fixed(
    training_folder: Path, others: Path, tmp_path: Path, small_config: Config
) -> None:
    path = tmp_path / "voices.toml"
    model = replace(VOICES, labels=())
    path.write_text(replace(small_config, model=model).to_toml())
    run, _ = train_run(others, tmp_path / "base", "train.steps=2", config=str(path))
    for channels in (4, 0):
        with pytest.raises(ConfigError, match=f"model.label_channels: 3 -> {channels}"):
            fine_tuned(others, run, "run", f"model.label_channels={channels}")


def test_a_run_cannot_change_where_it_began(
    base: Run, others: Path, training_folder: Path, config_file: Path, small_config: Config
) -> None:
    run, _ = fine_tuned(others, base, "run")
    with pytest.raises(RunError, match=r"train\.init_from: .*base -> .*run"):
        train_run(None, run.folder, f"train.init_from={run.folder}")
    with pytest.raises(RunError, match=r"train\.init_from: .*base -> unset\)"):
        train_run(None, run.folder, "train.init_from=")
    # A config that names no base begins from none.
    with pytest.raises(RunError, match=r"train\.init_from: .*base -> unset\)"):
        train_run(others, run.folder, config=str(config_file))
    # Another model of the same name, by an option and by a file.
    namesake = base.folder.parent / "elsewhere" / "base"
    train_run(training_folder, namesake, "train.steps=3", config=str(config_file))
    other = f"train.init_from={namesake}"
    with pytest.raises(RunError, match=r"train\.init_from: .*base -> .*elsewhere/base\)"):
        train_run(others, run.folder, other)
    train = replace(small_config.train, init_from=str(namesake))
    config_file.write_text(replace(small_config, train=train).to_toml())
    with pytest.raises(RunError, match=r"train\.init_from: .*base -> .*elsewhere/base\)"):
        train_run(others, run.folder, config=str(config_file))
    with pytest.raises(RunError, match=r"leave out `init_from` and `config` to go on"):
        train_run(others, run.folder, f"train.init_from={namesake}-gone")
    # An earlier checkpoint is another model too.
    earliest = locate.step_path(base.checkpoints, locate.steps(base.checkpoints)[0])
    with pytest.raises(RunError, match=r"train\.init_from: "):
        train_run(others, run.folder, f"train.init_from={earliest}")


def test_labels_for_a_base_that_takes_none_need_its_channels_and_no_preset(
    base: Run, others: Path
) -> None:
    with pytest.raises(ConfigError, match=r"takes no labels; `set` model\.label_channels=16$"):
        fine_tuned(others, base, "run", "train.label_from=folder")


def test_no_such_model(others: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run or checkpoint"):
        train_run(others, tmp_path / "run", "train.init_from=nothing")
    line = fails("train", others, "--init-from", "demo-vioce")
    assert "did you mean demo-voice?" in line
    assert "no such run or checkpoint" in fails("train", others, "--init-from", "~nobody/x")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_from_a_base_keeps_nothing(base: Run, others: Path) -> None:
    run, notes = fine_tuned(others, base, "run", dry_run=True)
    assert not run.folder.exists()
    assert "begun from base" in notes
