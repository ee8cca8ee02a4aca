"""Where caches lie, and where they lie when a home cannot be written."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wavenet.data.cache_folders import default_cache
from wavenet.system import user_folders
from wavenet.system.user_folders import can_write, private_folder, provide_caches

VARIABLES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")
VARIABLES += ("XDG_CONFIG_HOME", "TRITON_HOME")
# numba as where the installation cannot be written, and librosa, which is compiled by it.
VOCODER_LIBRARIES = """
import wavenet
from numba.core import caching
caching.CacheImpl._locator_classes = [
    x for x in caching.CacheImpl._locator_classes if "InTree" not in x.__name__
]
import librosa.filters
librosa.filters.mel(sr=16000, n_fft=1024)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, without a private one in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    private_folder.cache_clear()
    yield folder
    private_folder.cache_clear()


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that not even root can write."""
    (tmp_path / "file").touch()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))


def test_the_private_folder_is_the_same_at_every_start(temporary: Path) -> None:
    folder = private_folder()
    assert folder == temporary / f"wavenet-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "kept").touch()
    private_folder.cache_clear()
    assert private_folder() == folder
    assert (folder / "kept").exists()


def open_to_others(name: Path) -> None:
    name.mkdir()
    name.chmod(0o770)


def linked(name: Path) -> None:
    (name.parent / "elsewhere").mkdir(mode=0o700)
    name.symlink_to(name.parent / "elsewhere")


@pytest.mark.parametrize("make", [open_to_others, linked, Path.touch])
def test_a_folder_that_another_may_write_is_never_used(
    make: Callable[[Path], None], temporary: Path
) -> None:
    name = temporary / f"wavenet-{os.geteuid()}"
    make(name)
    folder = private_folder()
    assert folder is not None
    assert folder.resolve().parent == temporary
    assert folder.name not in (name.name, "elsewhere")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_another_user_has_made_is_never_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    (temporary / f"wavenet-{user}").mkdir(mode=0o700)
    assert private_folder() not in (None, temporary / f"wavenet-{user}")


def test_where_nothing_can_be_written_there_is_no_private_folder(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    assert private_folder() is None


def test_a_folder_can_be_written_when_the_nearest_that_is_there_can(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert can_write(tmp_path / "a" / "b")
    assert not can_write(tmp_path / "file" / "b")


@pytest.mark.usefixtures("homeless")
def test_libraries_get_a_private_folder_where_the_home_cannot_be_written(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    provide_caches()
    folder = temporary / f"wavenet-{os.geteuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"
    assert os.environ["MPLCONFIGDIR"] == str(folder / "matplotlib")
    assert os.environ["TRITON_CACHE_DIR"] == str(folder / ".triton")


def test_a_home_that_can_be_written_is_used_as_ever(
    homeless: None, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    provide_caches()
    assert not {*VARIABLES} & os.environ.keys()
    assert not list(temporary.iterdir())


@pytest.mark.usefixtures("temporary", "homeless")
def test_where_nobody_knows_a_home_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # What `os.path.expanduser` leaves of a user without an entry.
    monkeypatch.setenv("HOME", "~")
    provide_caches()
    assert os.environ["HOME"] == os.sep


def test_decoded_recordings_go_where_something_can_be_written(
    temporary: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_cache() == private_cache / "pcm"
    monkeypatch.setattr(user_folders.os, "access", lambda *_: False)
    assert default_cache() == temporary / f"wavenet-{os.geteuid()}" / "pcm"


@pytest.mark.usefixtures("homeless")
def test_pictures_and_mel_frames_are_made_without_a_remark_where_only_tmpdir_can_be_written(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    picture = ["-m", "wavenet", "receptive-field", "tiny", "--picture", "a.png"]
    for command in (picture, ["-c", VOCODER_LIBRARIES]):
        command = [sys.executable, *command]
        result = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "a.png").exists()
    made = {path.name for path in (tmp_path / f"wavenet-{os.geteuid()}").iterdir()}
    assert made == {"matplotlib", "numba"}
