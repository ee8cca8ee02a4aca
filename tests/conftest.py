"""Fixtures, and what must be set before anything else is imported."""

import os
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from filelock import FileLock
from numba.core.caching import IndexDataCacheFile

from tests.helpers import SMALL, training_recordings, write_recordings
from wavenet.config import AudioConfig, Config, TrainConfig

pytest.register_assert_rewrite("tests.training.two_processes")
if not torch.cuda.is_available():
    # Engines for GPUs then run on the CPU. Triton reads this once, when it is first imported.
    os.environ["TRITON_INTERPRET"] = "1"
# A shell has what it runs in the background ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Without it, lines are as long as they are. pytest loads readline, which sets it behind Python's
# back for the processes that tests start.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")
# On GitHub, typer takes a pipe for a terminal that shows colours, unless it is told otherwise.
os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
# Small models gain nothing from more threads, and with one a busy machine costs little.
torch.set_num_threads(1)
hypothesis.settings.register_profile(
    "default", max_examples=150, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile(
    "long", max_examples=5000, deadline=None, print_blob=True, database=None
)
hypothesis.settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def numba_saves_one_at_a_time() -> Iterator[None]:
    """Two workers that add kernels to numba's cache at once would mix up their files."""
    save = IndexDataCacheFile.save
    # Now, since tests may have another temporary folder.
    lock = Path(tempfile.gettempdir()) / "wavenet-tests-numba.lock"

    def locked(*args: Any) -> None:
        with FileLock(lock):
            save(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "save", locked)
        yield


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that stands in for the user's cache.

    Its patch is one of its own, so that a test which undoes its patches does not fall back on the
    user's cache.
    """
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda _name: folder)
        yield folder


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """make_folder({"a.wav": wav, ...}, rate) writes recordings and returns their folder."""

    def make(files: dict[str, Any], rate: int = 8000, name: str = "recordings") -> Path:
        return write_recordings(tmp_path / name, files, rate)

    return make


@pytest.fixture
def training_folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder(training_recordings())


@pytest.fixture(scope="session")
def small_config() -> Config:
    train = TrainConfig(
        steps=10,
        batch=3,
        segment_seconds=0.05,
        warmup_steps=2,
        learning_rate=2e-3,
        evaluate_every=5,
        validation_seconds=1.0,
        sample_seconds=0,
        seed=3,
    )
    return Config(name="test", audio=AudioConfig(sample_rate=8000), model=SMALL, train=train)


@pytest.fixture
def config_file(tmp_path: Path, small_config: Config) -> Path:
    path = tmp_path / "test.toml"
    path.write_text(small_config.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def torchaudio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """torchaudio's Python part.

    Its compiled extension needs CUDA libraries, so a stub stands in for the module that loads it.
    """
    pytest.importorskip("torch")
    import importlib.util

    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    stub = types.ModuleType("torchaudio._extension")
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        lazy_import_sox_ext=lambda: None,
        fail_if_no_align=lambda f: f,
    )
    monkeypatch.setitem(sys.modules, "torchaudio._extension", stub)
    import torchaudio
    import torchaudio.functional

    yield torchaudio
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
