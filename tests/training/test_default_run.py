"""Which run a folder of recordings has where nobody names one."""

import shutil
from pathlib import Path

import pytest

from tests.helpers import train_run, training_recordings, write_recordings
from wavenet.training.default_run import default_run


@pytest.fixture
def ada(tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has a run, and two of the same name; the working directory is another."""
    recordings = training_recordings()
    ada = write_recordings(tmp_path / "ada" / "wavs", recordings)
    del recordings["0.wav"]
    write_recordings(tmp_path / "bob" / "wavs", recordings)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    train_run(ada, Path("runs/wavs-test"), config=str(config_file), stop_at=1)
    return ada


def name_of(folder: Path) -> str:
    return default_run(folder, "test")[0].folder.as_posix()


def test_folders_of_one_name_have_runs_of_their_own(
    ada: Path, tmp_path: Path, config_file: Path
) -> None:
    bob = tmp_path / "bob" / "wavs"
    for _ in range(2):
        assert name_of(ada) == "runs/wavs-test"
        assert name_of(bob) == "runs/bob-wavs-test"
        run, notes = train_run(bob, None, config=str(config_file), stop_at=1)
        assert run.folder == Path("runs/bob-wavs-test")
        assert notes.startswith(f"note: runs/wavs-test is a run of {ada}\n")
    assert "is at step 1 already" in notes
    third = shutil.copytree(bob, tmp_path / "cy" / "bob" / "wavs")
    (third / "1.wav").unlink()
    assert name_of(third) == "runs/cy-bob-wavs-test"


def test_a_folder_that_has_moved_goes_on_with_its_run(ada: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "wavs"
    shutil.copytree(ada, elsewhere)
    # The same recordings, under two paths.
    assert name_of(elsewhere) == "runs/wavs-test"
    shutil.rmtree(ada)
    assert name_of(elsewhere) == "runs/wavs-test"
    # It has changed since, which training says.
    (elsewhere / "0.wav").unlink()
    assert name_of(elsewhere) == "runs/wavs-test"


def test_a_copy_that_has_grown_is_another_folder_while_both_are_there(
    ada: Path, tmp_path: Path
) -> None:
    more = shutil.copytree(ada, tmp_path / "more" / "wavs")
    shutil.copy(more / "0.wav", more / "copy.wav")
    assert name_of(more) == "runs/more-wavs-test"


def test_a_run_that_does_not_say_what_it_was_of_goes_on(ada: Path, tmp_path: Path) -> None:
    bob = tmp_path / "bob" / "wavs"
    Path("runs/wavs-test/corpus.json").unlink()
    # Its checkpoint does.
    assert name_of(bob) == "runs/bob-wavs-test"
    shutil.rmtree(ada)
    assert name_of(bob) == "runs/wavs-test"


def test_a_run_is_found_again_when_a_shorter_name_is_free(
    ada: Path, tmp_path: Path, config_file: Path
) -> None:
    bob = tmp_path / "bob" / "wavs"
    train_run(bob, None, config=str(config_file), stop_at=1)
    shutil.rmtree("runs/wavs-test")
    assert name_of(bob) == "runs/bob-wavs-test"
    assert name_of(ada) == "runs/wavs-test"
