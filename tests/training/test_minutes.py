"""Runs whose length is given in minutes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import fails, last, train_run
from wavenet.config import Config, loading
from wavenet.errors import ChangedRunError, RunError, UsageError
from wavenet.training.run_folder import Run, read_metrics
from wavenet.training.trainer import Trainer


@pytest.fixture
def steps_take(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Sets the seconds of a step, by its number, and at first sight.

    Returns a list that gets what `train.steps` is at each.
    """
    step = Trainer.train_step

    def take(seconds: Callable[[int], float], at_first: float) -> list[int]:
        estimates: list[int] = []

        def train_step(trainer: Trainer) -> float:
            before = trainer.seconds
            estimates.append(trainer.config.train.steps)
            bits = step(trainer)
            trainer.seconds = before + seconds(trainer.step)
            return bits

        monkeypatch.setattr(Trainer, "time_step", lambda _: at_first)
        monkeypatch.setattr(Trainer, "train_step", train_step)
        return estimates

    return take


def test_a_resume_keeps_the_steps_that_minutes_became(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
) -> None:
    steps_take(lambda _: 0.5, 0.5)
    run, notes = train_run(
        training_folder, tmp_path / "run", "train.minutes=0.1", config=str(config_file), stop_at=5
    )
    assert "steps 1 to 5 of about 12 " in notes
    assert run.config().train.steps == last(run).config.train.steps == 12
    # On a machine of any speed.
    steps_take(lambda _: 0.01, 0.01)
    whole, notes = train_run(
        training_folder, tmp_path / "run", "train.minutes=0.1", config=str(config_file)
    )
    assert "steps 6 to 12 of 12 " in notes
    straight, _ = train_run(
        training_folder, tmp_path / "straight", "train.steps=12", config=str(config_file)
    )
    for name, array in last(straight).arrays.items():
        np.testing.assert_array_equal(array, last(whole).arrays[name], err_msg=name)
    with pytest.raises(ChangedRunError, match=r"train\.minutes: 0\.1 -> 0\.2"):
        train_run(None, tmp_path / "run", "train.minutes=0.2")


def test_steps_are_estimated_again_when_the_machine_changes_its_speed(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
) -> None:
    # At first a step takes one second, not half of one, and from step 30 on two.
    estimates = steps_take(lambda step: 1 if step <= 30 else 2, 0.5)
    out = tmp_path / "run"
    run, notes = train_run(training_folder, out, "train.minutes=1", config=str(config_file))
    assert "steps 1 to about 120 " in notes
    assert (estimates[9], estimates[10], estimates[30]) == (120, 60, 60)
    training = last(run).training
    # The first number would have taken 210 seconds.
    assert (training.step, training.seconds) == (46, 62)
    # The learning rate fell to the end, and the run is whole.
    rows = read_metrics(run.metrics_file)
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    assert rates[-1] < 0.02 * max(rates)
    assert run.config().train.steps == last(run).config.train.steps == training.step
    _, notes = train_run(training_folder, out, "train.minutes=1", config=str(config_file))
    assert f"is at step {training.step} already" in notes


def test_few_long_steps_keep_their_minutes_too(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
) -> None:
    for seconds, at_first, steps in ((30, 10, 2), (10, 30, 6)):
        steps_take(lambda _, seconds=seconds: seconds, at_first)
        out = tmp_path / str(at_first)
        run, _ = train_run(training_folder, out, "train.minutes=1", config=str(config_file))
        assert last(run).training.step == steps


def test_settings_say_how_many_steps_there_will_be_while_they_are_trained(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
) -> None:
    out, said = tmp_path / "run", []

    def seconds(step: int) -> float:
        said.append(loading.load(out / "config.toml").train.steps)
        return 1

    steps_take(seconds, 0.5)
    # Nothing is validated or saved before the end.
    settings = ("train.minutes=1", "train.evaluate_every=1000")
    train_run(training_folder, out, *settings, config=str(config_file))
    assert (said[0], said[-2]) == (120, 60)


def test_settings_that_cannot_be_written_meanwhile_end_no_training(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def write(run: Run, config: Config) -> None:
        tried.append(config.train.steps)
        if len(tried) > 2:
            raise RunError(run.config_file, "cannot be written (No space left on device)")

    monkeypatch.setattr(Run, "write_config", write)
    steps_take(lambda _: 1, 2)
    out, config = tmp_path / "run", str(config_file)
    run, _ = train_run(training_folder, out, "train.minutes=1", config=config)
    assert tried[2:]
    assert last(run).training.step == 60


def test_more_minutes_lengthen_the_schedule(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    steps_take: Callable[..., list[int]],
) -> None:
    steps_take(lambda _: 50, 50)
    out = tmp_path / "run"
    train_run(training_folder, out, "train.minutes=5", config=str(config_file))
    run, _ = train_run(None, out, "train.minutes=10", accept_changes=True)
    assert last(run).training.step == 6 + 6
    # Steps take the place of minutes.
    run, _ = train_run(None, out, "train.steps=20", accept_changes=True)
    assert (run.config().train.minutes, last(run).training.step) == (0, 20)
    # Fewer minutes than it has had leave nothing to do.
    run, notes = train_run(None, out, "train.minutes=0.1", accept_changes=True)
    assert "is at step 20 already" in notes


def test_steps_and_minutes_exclude_each_other(training_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`steps` both give"):
        train_run(training_folder, tmp_path / "run", "train.steps=3", "train.minutes=1")
    assert "--minutes 0.0: must be above 0" in fails("train", training_folder, "--minutes", 0)
    assert "minutes = nan: must be a finite number" in fails(
        "train", training_folder, "--minutes", "nan"
    )


def test_a_dry_run_says_how_many_steps_are_in_the_minutes(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    settings = "train.minutes=2"
    _, notes = train_run(
        training_folder, tmp_path / "run", settings, config=str(config_file), dry_run=True
    )
    assert "2 minutes are about " in notes
