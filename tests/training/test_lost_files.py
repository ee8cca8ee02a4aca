"""A run that came from another machine in part, that was edited, or has moved, goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.helpers import fails, noisy, train_run, wavenet, write_recordings
from wavenet.config import loading
from wavenet.errors import ChangedRunError, RunError
from wavenet.model import locate
from wavenet.training.run_folder import Run


@pytest.fixture
def run(training_folder: Path, config_file: Path, tmp_path: Path) -> Run:
    """A run that has come to step 5 of 10."""
    return train_run(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)[0]


@pytest.fixture
def rest(run: Run, tmp_path: Path) -> Run:
    """Of that run, its checkpoints alone."""
    shutil.copytree(run.checkpoints, tmp_path / "rest" / "checkpoints")
    return Run(tmp_path / "rest")


def test_checkpoints_alone_go_on_as_the_whole_run_does(
    run: Run, rest: Run, training_folder: Path
) -> None:
    assert rest.exists
    config = run.config_file.read_text(encoding="utf-8")
    _, notes = train_run(training_folder, rest.folder)
    lost = f"note: {rest.config_file} is gone: going on with the settings of the newest checkpoint"
    assert notes.splitlines()[:2] == [lost, f"resuming {rest.folder} at step 5"]
    train_run(None, run.folder)
    assert rest.config_file.read_text(encoding="utf-8") == config
    assert rest.corpus() == run.corpus()
    whole, part = (load_file(locate.step_path(r.checkpoints, 10)) for r in (run, rest))
    assert all((whole[name] == part[name]).all() for name in whole)
    # It is a whole run again.
    assert "gone" not in train_run(None, rest.folder)[1]


def test_checkpoints_alone_know_their_recordings(rest: Run, training_folder: Path) -> None:
    assert "resuming" in train_run(None, rest.folder)[1]
    assert rest.corpus()["folder"] == str(training_folder)


def test_checkpoints_alone_refuse_other_settings_and_recordings(
    rest: Run, training_folder: Path, config_file: Path, make_folder: Callable[..., Path]
) -> None:
    with pytest.raises(ChangedRunError) as e:
        train_run(training_folder, rest.folder, "train.batch=2", config=str(config_file))
    assert e.value.changes == {"train.batch": (3, 2)}
    others = make_folder({f"{i}.wav": noisy(1.0, seed=i) for i in range(5)}, name="others")
    with pytest.raises(ChangedRunError) as e:
        train_run(others, rest.folder)
    assert e.value.changes == {"recordings": "others than it was trained on"}
    assert locate.steps(rest.checkpoints) == [5]


def test_checkpoints_alone_are_a_run_to_every_command(rest: Run, training_folder: Path) -> None:
    assert locate.is_run(rest.folder)
    assert locate.config_of(str(rest.folder), {})[1].name == "test"
    assert locate.config_of(str(rest.folder), {"train.batch": 7})[1].train.batch == 7
    for command, more in (("receptive-field", ()), ("evaluate", (training_folder,))):
        assert wavenet(command, rest.folder, *more).exit_code == 0
    assert "has logged nothing yet" in fails("plot", rest.folder)
    # What it renders is no recording.
    (rest.folder / "samples").mkdir()
    write_recordings(rest.folder, {"samples/a.wav": noisy(1.0)})
    assert "a run of this program" in fails("train", rest.folder)


def test_a_folder_of_checkpoints_that_holds_none_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-1.safetensors.partial").write_text("")
    assert not locate.is_run(tmp_path)
    assert not Run(tmp_path).exists


def test_an_empty_config_is_a_lost_one(run: Run, training_folder: Path) -> None:
    config = run.config()
    run.config_file.write_text(" \n")
    assert run.config() == locate.config_of(str(run.folder), {})[1] == config
    _, notes = train_run(training_folder, run.folder, stop_at=6)
    assert notes.startswith(f"note: {run.config_file} is empty: going on with the settings of")
    assert run.config() == loading.load(run.config_file) == config


def test_a_checkpoint_that_was_renamed_is_one(run: Run) -> None:
    file = locate.step_path(run.checkpoints, 5)
    renamed = file.rename(run.checkpoints / "step-5.safetensors")
    assert locate.find(run.folder) == locate.step_path(run.checkpoints, 5) == renamed
    # No number, and no step either.
    (run.checkpoints / "step-²³.safetensors").write_text("")
    train_run(None, run.folder)
    assert locate.steps(run.checkpoints) == [5, 10]


def test_a_run_whose_recordings_moved_asks_for_them_and_goes_on(
    run: Run, training_folder: Path, tmp_path: Path
) -> None:
    moved = training_folder.rename(tmp_path / "moved")
    with pytest.raises(RunError, match="no longer in") as e:
        train_run(None, run.folder, cache=tmp_path / "my cache")
    assert e.value.advice == (
        "name the folder they are in now: wavenet train FOLDER `out` "
        f"{run.folder} `cache` '{tmp_path / 'my cache'}'"
    )
    assert "resuming" in train_run(moved, run.folder)[1]
    # From now on it knows where they are.
    assert "is at step 10 already" in train_run(None, run.folder)[1]


def test_the_settings_of_config_toml_go_before_those_of_the_checkpoint(run: Run) -> None:
    text = run.config_file.read_text(encoding="utf-8").replace("batch = 3", "batch = 2")
    run.config_file.write_text(text, encoding="utf-8")
    assert run.config().train.batch == 2
    assert run.config() == loading.load(run.config_file)


def test_a_run_goes_on_whose_text_files_an_editor_gave_a_byte_order_mark(
    run: Run,
) -> None:
    for name in ("config.toml", "corpus.json", "metrics.jsonl"):
        text = (run.folder / name).read_text(encoding="utf-8")
        (run.folder / name).write_text(text, encoding="utf-8-sig")
    logged = run.metrics()
    assert [m["step"] for m in logged] == [5, 5]
    train_run(None, run.folder, stop_at=6)
    assert run.metrics()[:2] == logged


@pytest.mark.parametrize("text", ["[]", '{"folder": null}', '{"recordings": ["a"]}', "{", ""])
def test_what_an_editor_made_of_corpus_json_is_not_relied_on(
    run: Run, training_folder: Path, text: str
) -> None:
    (run.folder / "corpus.json").write_text(text, encoding="utf-8")
    assert run.corpus() == {}
    result = wavenet("evaluate", run.folder, training_folder)
    assert result.exit_code == 0, result.output
    # Its checkpoint says where the recordings are.
    train_run(None, run.folder, stop_at=6)
    assert run.corpus()["folder"] == str(training_folder)


def test_a_run_with_a_moved_folder_resumes_without_being_asked(
    run: Run, training_folder: Path, tmp_path: Path
) -> None:
    moved = training_folder.rename(tmp_path / "moved")
    train_run(moved, run.folder)
    assert locate.steps(run.checkpoints)[-1] == 10
    assert run.corpus()["folder"] == str(moved)
