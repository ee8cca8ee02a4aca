"""A new run with the settings of another: `--config` with a run, a checkpoint or a model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import SMALL, noisy, train_run
from wavenet.config import Config
from wavenet.model import locate
from wavenet.training.default_run import default_run


@pytest.fixture
def labelled(small_config: Config, tmp_path: Path) -> Path:
    """The file of a config that collects labels."""
    path = tmp_path / "labelled.toml"
    config = replace(small_config, model=replace(SMALL, label_channels=3))
    path.write_text(config.to_toml(), encoding="utf-8")
    return path


def voices(make_folder: Callable[..., Path], *names: str) -> Path:
    files = {f"{who}/{i}.wav": noisy(0.6, seed=i) for who in names for i in range(2)}
    return make_folder(files, name="-".join(names))


@pytest.mark.parametrize("source", ["run", "checkpoint"])
def test_a_run_lends_its_settings_and_not_its_labels(
    source: str, labelled: Path, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    first, _ = train_run(
        voices(make_folder, "ada", "bob"),
        tmp_path / "first",
        "train.learning_rate=1e-3",
        config=str(labelled),
        stop_at=5,
    )
    path = first.folder if source == "run" else locate.find(first.folder)
    others = voices(make_folder, "cy", "dot")
    second, notes = train_run(others, tmp_path / "second", config=str(path), stop_at=5)
    assert "resuming" not in notes
    was, now = first.config(), second.config()
    assert now.model.labels == ("cy", "dot")
    assert now == replace(was, model=replace(was.model, labels=("cy", "dot")))
    # Named again, it is no change.
    _, notes = train_run(others, second.folder, config=str(path), stop_at=6)
    assert "resuming" in notes


def test_settings_go_before_those_of_the_run(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, _ = train_run(training_folder, tmp_path / "first", config=str(config_file), stop_at=1)
    second, _ = train_run(
        training_folder, None, "train.batch=2", "name=other", config=str(first.folder), stop_at=1
    )
    assert second.folder == default_run(training_folder, "other")[0].folder
    assert second.config().train == replace(first.config().train, batch=2)
