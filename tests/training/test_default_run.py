"""Which run recordings have where nobody names one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.helpers import train_run, training_recordings, write_recordings
from wavenet.data.selection import Selection
from wavenet.errors import RunError
from wavenet.training import plan, session
from wavenet.training.default_run import default_run
from wavenet.training.run_folder import Run


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


def name_of(*recordings: Path) -> str:
    return default_run(Selection.of(recordings), "test")[0].folder.as_posix()


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


def test_files_and_several_folders_have_runs_of_their_own(
    ada: Path, tmp_path: Path, config_file: Path
) -> None:
    bob = tmp_path / "bob" / "wavs"
    some, others = ([ada / "1.wav", ada / f"{i}.wav", ada / "short.wav"] for i in (2, 3))
    assert name_of(ada / "1.wav") == "runs/1-test"
    assert name_of(ada / "1.wav", ada / "2.wav") == "runs/1-and-2-test"
    assert name_of(ada.parent, bob.parent) == name_of(bob.parent, ada.parent)
    assert name_of(bob.parent, ada.parent) == "runs/ada-and-bob-test"
    assert name_of(*some) == name_of(*others) == "runs/1-and-2-more-test"
    train_run(some, None, config=str(config_file), stop_at=1)
    assert name_of(*reversed(some)) == "runs/1-and-2-more-test"
    run, notes = train_run(others, None, config=str(config_file), stop_at=1)
    assert run.folder == Path("runs/wavs-1-and-2-more-test")
    assert f"is a run of 1.wav, 2.wav, short.wav in {ada}\n" in notes
    assert "is at step 1 already" in train_run(others, None, config=str(config_file), stop_at=1)[1]


def test_recordings_whose_names_are_all_taken_have_a_run_of_their_own(
    ada: Path, config_file: Path
) -> None:
    (ada / "1.wave").write_bytes((ada / "0.wav").read_bytes())
    train_run(ada / "1.wav", None, config=str(config_file), stop_at=1)
    for n in range(2, 1 + len(ada.parts)):
        shutil.copytree("runs/1-test", f"runs/{'-'.join([*ada.parts[-n + 1 :], '1'])}-test")
    assert name_of(ada / "1.wav") == "runs/1-test"
    own = name_of(ada / "1.wave")
    assert own.startswith("runs/1-")
    assert not Path(own).exists()


@pytest.mark.parametrize("is_running", [False, True])
def test_a_run_that_another_folder_took_meanwhile_is_left_to_it(
    is_running: bool, ada: Path, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Path("runs/wavs-test")
    shutil.move(taken, "ada's")
    lock = FileLock(taken / ".lock")
    index_folder: Callable[..., Any] = session.index_folder

    def slow(*args: Any, **more: Any) -> Any:
        shutil.move("ada's", taken)
        if is_running:
            lock.acquire()
        return index_folder(*args, **more)

    monkeypatch.setattr(plan, "START_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(session, "index_folder", slow)
        bob = tmp_path / "bob" / "wavs"
        run, notes = train_run(bob, None, config=str(config_file), stop_at=1)
    assert run.folder == Path("runs/bob-wavs-test")
    assert f"note: {taken} has become a run of other recordings" in notes
    assert run.corpus()["folder"] == str(bob)
    assert Run(taken).corpus()["folder"] == str(ada)
    if is_running:
        # One's own run that another process trains is refused as before.
        with pytest.raises(RunError, match="another process is training this run"):
            train_run(ada, None, config=str(config_file), stop_at=2)
