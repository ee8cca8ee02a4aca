"""Recordings that a model was trained on are told when it is scored on them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import tone, train_run, wavenet, write_recordings
from wavenet.model import locate
from wavenet.training.run_folder import Run

HELD_OUT = 2


@pytest.fixture
def run(training_folder: Path, config_file: Path, tmp_path: Path) -> Run:
    """A run on six recordings, of which two are held out."""
    run, _ = train_run(training_folder, tmp_path / "run", config=str(config_file), stop_at=1)
    assert len(run.corpus()["held_out"]) == HELD_OUT
    return run


def lines(model: object, folder: Path) -> list[str]:
    return wavenet("evaluate", model, folder).stdout.splitlines()


def told(model: object, folder: Path) -> str:
    """What the second line says, which the figure's line repeats."""
    printed = lines(model, folder)
    (figure,) = [line for line in printed if "every sample" in line]
    assert ("trained on" in figure) == printed[1].startswith("note: ")
    return printed[1] if printed[1].startswith("note: ") else ""


def test_they_are_counted_by_content_whatever_they_are_called(run: Run, tmp_path: Path) -> None:
    printed = lines(run.folder, tmp_path / "recordings")
    assert printed[1] == "note: the model was trained on 4 of these recordings"
    assert any("every sample; 4 of the 6 recordings were trained on" in line for line in printed)
    # Another folder, with copies under other names of one that was trained on, one that was held
    # out, and one that it never saw.
    other = write_recordings(tmp_path / "other", {"new.wav": tone(0.5, hertz=777)})
    recordings, held_out = run.corpus()["recordings"], run.corpus()["held_out"]
    trained = next(name for name in recordings if name not in held_out)
    shutil.copy(tmp_path / "recordings" / trained, other / "renamed.wav")
    shutil.copy(tmp_path / "recordings" / held_out[0], other / "held.wav")
    for model in (run.folder, run.checkpoints, locate.find(run.folder)):
        assert told(model, other) == "note: the model was trained on 1 of these recordings"
    (other / "renamed.wav").unlink()
    assert told(run.folder, other) == ""


def test_a_checkpoint_away_from_its_run_tells_what_is_known(
    run: Run, training_folder: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.safetensors"
    shutil.copy(locate.find(run.folder), alone)
    moved = tmp_path / "moved"
    shutil.copytree(training_folder, moved)
    (moved / "0.wav").rename(moved / "renamed.wav")
    # All of its recordings, wherever they are now: which were held out follows.
    for folder in (training_folder, moved):
        assert told(alone, folder) == "note: the model was trained on 4 of these recordings"
    # Some of them: all are in its folder, as long as that is there.
    about = run.corpus()
    trained = sorted(about["recordings"].keys() - {*about["held_out"], "0.wav"})
    (moved / trained[0]).unlink()
    assert told(alone, moved) == "note: the model was trained on 3 of these recordings"
    shutil.rmtree(training_folder)
    assert told(alone, moved) == ""


def test_a_checkpoint_away_from_a_run_on_some_files_tells_what_is_known(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    chosen = [training_folder / f"{i}.wav" for i in range(5)]
    run, _ = train_run(chosen, tmp_path / "run", config=str(config_file), stop_at=1)
    alone = shutil.copy(locate.find(run.folder), tmp_path / "alone.safetensors")
    held_out = run.corpus()["held_out"]
    assert told(alone, training_folder) == (
        f"note: the model was trained on {5 - len(held_out)} of these recordings"
    )
    trained = next(path for path in chosen if path.name not in held_out)
    assert told(alone, trained) == "note: the model was trained on this recording"
    assert told(alone, training_folder / held_out[0]) == ""
    figure = next(line for line in lines(alone, trained) if "every sample" in line)
    assert figure.endswith("every sample; it was trained on")


def test_a_models_name_is_not_looked_for_in_the_working_directory(
    run: Run, training_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.folder)
    assert told("demo-voice", training_folder) == ""
    monkeypatch.chdir(run.checkpoints)
    assert "4 of these" in told("step-00000001.safetensors", training_folder)


def test_json_stays_json(run: Run, training_folder: Path) -> None:
    result = wavenet("evaluate", run.folder, training_folder, "--json")
    assert json.loads(result.stdout)["samples"]
    assert "note: the model was trained on 4 of these recordings" in result.stderr
