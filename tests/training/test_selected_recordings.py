"""A run on files and several folders is as one on a folder, and remembers what it is of."""

import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.helpers import train_run, training_recordings, write_recordings
from wavenet.errors import ChangedRunError, RunError
from wavenet.model import checkpoint, locate
from wavenet.training.run_folder import Run

LABELLED = ("model.label_channels=2", "train.validation=tails")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with recordings of two voices and a third one's."""
    names = ("ada/0.wav", "ada/1.wav", "bob/2.wav", "bob/3.wav", "cy/4.wav", "cy/short.wav")
    write_recordings(tmp_path, dict(zip(names, training_recordings().values(), strict=True)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(config_file: Path, *paths: str, out: str = "run", settings: tuple[str, ...] = ()) -> Run:
    recordings = [Path(path) for path in paths]
    return train_run(recordings, Path(out), *settings, config=str(config_file), stop_at=5)[0]


def test_a_run_goes_on_from_anywhere_and_equals_one_on_the_folder(
    work: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = begin(config_file, ".", out="whole")
    run = begin(config_file, "cy", "ada/0.wav", "bob", "ada/1.wav", "bob/2.wav")
    assert "paths" not in whole.corpus()
    assert run.corpus()["folder"] == str(work)
    assert run.corpus()["paths"] == ["ada/0.wav", "ada/1.wav", "bob", "cy"]
    (work / "elsewhere").mkdir()
    monkeypatch.chdir(work / "elsewhere")
    _, notes = train_run(None, work / "run")
    assert f"recordings ada/0.wav, ada/1.wav, bob and 1 more in {work}: 6 recordings" in notes
    train_run(None, work / "whole")
    a, b = (load_file(locate.step_path(work / r / "checkpoints", 10)) for r in ("run", "whole"))
    assert all((a[name] == b[name]).all() for name in a)


def test_a_checkpoint_alone_knows_what_was_chosen(work: Path, config_file: Path) -> None:
    run = begin(config_file, "ada", "bob")
    training = checkpoint.load(locate.find(run.folder)).training
    assert (training.folder, training.paths) == (str(work), ("ada", "bob"))
    (run.folder / "corpus.json").unlink()
    train_run(None, run.folder)
    assert run.corpus()["recordings"].keys() == {
        f"{f}.wav" for f in ("ada/0", "ada/1", "bob/2")
    } | {"bob/3.wav"}


def test_another_choice_is_refused_as_changed_recordings_are(work: Path, config_file: Path) -> None:
    run = begin(config_file, "ada", "bob")
    for paths, change in {
        ("ada",): "2 added (0.wav, ...), 4 removed (ada/0.wav, ...)",
        ("ada", "bob", "cy"): "2 added (cy/4.wav, ...)",
        ("ada", "bob/2.wav"): "1 removed (bob/3.wav)",
    }.items():
        with pytest.raises(ChangedRunError) as e:
            train_run([Path(path) for path in paths], run.folder)
        assert e.value.changes == {"recordings": change}
    # The same ones in other words, and in another place.
    assert (
        "resuming" in train_run([Path("bob/3.wav"), Path("bob/2.wav"), Path("ada")], run.folder)[1]
    )
    shutil.move("ada", "moved/ada")
    shutil.move("bob", "moved/bob")
    with pytest.raises(RunError, match=f"its recordings are no longer in {work}/ada") as e:
        train_run(None, run.folder)
    assert e.value.advice == "name the folder they are in now: wavenet train FOLDER `out` run"
    assert "is at step 10 already" in train_run(Path("moved"), run.folder)[1]


def test_folders_that_are_named_are_the_labels(work: Path, config_file: Path) -> None:
    run = begin(config_file, "ada", "bob", settings=LABELLED)
    assert run.config().model.labels == ("ada", "bob")
    assert run.corpus()["labels"]["bob/2.wav"] == "bob"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_files_are_validated_on_their_ends(count: int, work: Path, config_file: Path) -> None:
    paths = ("cy/4.wav", "ada/0.wav", "bob/2.wav")[:count]
    run = begin(config_file, *paths, settings=("train.steps=5",))
    assert run.corpus()["held_out"] == []
    assert run.metrics()[-1]["validation_bits"] > 0
