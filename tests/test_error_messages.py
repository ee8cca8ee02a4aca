"""Errors that seldom occur: each message is raised once and read."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL, arrays, network, noisy, tone
from tests.test_cli import fails, with_files_up_to
from tests.test_session import train_run
from wavenet import engines, plotting
from wavenet.audio import levels, writing
from wavenet.cli.cache import list_or_clear
from wavenet.config import AudioConfig
from wavenet.config.loading import load
from wavenet.data import decoding
from wavenet.data.cache_folders import entries
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import AudioError, ConfigError, CorpusError, EngineError, OutputError, RunError
from wavenet.training.run_folder import Run


def refuse(error: OSError) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


def test_a_format_that_has_no_such_rate(tmp_path: Path) -> None:
    with (
        pytest.raises(AudioError, match=r"a.mp3: cannot be written at 9000 Hz \(\w+"),
        writing.writer(tmp_path / "a.mp3", 9000),
    ):
        pass


def test_a_setting_inside_a_section_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("audio = 3")
    with pytest.raises(ConfigError, match="audio: must be a table of settings"):
        load(str(tmp_path / "a.toml"), ["audio.sample_rate=8000"])


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wavenet.engines.cpu.numba_engine", None)
    weights = arrays(network(SMALL))
    message = r"--engine numba: cannot be loaded \(.*numba_engine.*\); install it, or use another"
    with pytest.raises(EngineError, match=message):
        engines.create_engine("numba", SMALL, weights)
    assert engines.create_engine("auto", SMALL, weights).name == "reference"


def test_a_cache_with_something_else_in_it(make_folder: Callable[..., Path]) -> None:
    index_folder(make_folder({"a.wav": tone(1.0)}), AudioConfig(), trim=False)
    cache = entries()[0].path
    (cache / "thesis.doc").write_text("precious")
    with pytest.raises(CorpusError, match=r"cannot be deleted \(Directory not empty\)"):
        list(list_or_clear(None, True, None))
    assert (cache / "thesis.doc").read_text() == "precious"
    # What is no cache any more is not listed.
    assert entries() == []


def test_a_folder_inside_that_cannot_be_read(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a.wav": tone(1.0), "unreadable/b.wav": tone(1.0)})
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "unreadable":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    index = index_folder(folder, AudioConfig(), trim=False)
    assert [r.name for r in index.recordings] == ["a.wav"]
    assert [(s.name, s.reason) for s in index.skipped] == [
        ("unreadable", "folder cannot be read (Permission denied)")
    ]


def test_a_recording_deleted_while_it_is_read(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a.wav": tone(1.0), "b.wav": noisy(1.0), "c.wav": noisy(1.0, seed=1)})
    measure = levels.measure

    def measure_and_delete(blocks: Iterator[Any], *args: Any) -> Any:
        level = measure(blocks, *args)
        # This happens before the second reading of b.wav.
        (folder / "b.wav").unlink(missing_ok=True)
        return level

    monkeypatch.setattr(levels, "measure", measure_and_delete)
    # So that each file is read twice.
    monkeypatch.setattr(decoding, "SHORT_SAMPLES", 0)
    index = index_folder(folder, AudioConfig(), trim=False)
    assert [r.name for r in index.recordings] == ["a.wav", "c.wav"]
    assert [s.name for s in index.skipped] == ["b.wav"]


def test_a_run_folder_that_cannot_be_written(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda *_: False)
        message = r"run: cannot be written \(no permission for .*\); choose another --out"
        with pytest.raises(RunError, match=message):
            train_run(training_folder, tmp_path / "run", config=str(config_file))
    monkeypatch.setattr(
        "wavenet.training.run_folder.Path.mkdir", refuse(OSError(30, "Read-only file system"))
    )
    message = r"run: cannot be written \(Read-only file system\); choose another --out"
    with pytest.raises(RunError, match=message):
        Run(tmp_path / "run").create()


def test_a_cache_on_a_full_disk(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    command = ("train", training_folder, "-c", config_file, "-o", tmp_path / "run", *cache)
    result = with_files_up_to(8, *command)
    line = result.stderr.splitlines()[-1]
    assert "the cache cannot be written (File too large); choose another place with --cache" in line


def test_a_picture_that_cannot_be_written_does_not_stop_the_training(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotting, "write_whole", refuse(OutputError("a.png: cannot be written")))  # type: ignore[arg-type]
    run, notes = train_run(
        training_folder, tmp_path / "run", "train.sample_seconds=0.05", config=str(config_file)
    )
    # There are two evaluations.
    assert notes.count("no sample rendered: a.png: cannot be written") == 2
    assert run.metrics()[-1]["step"] == 10


def test_a_run_that_resumes_with_another_number_of_threads_says_so(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    import torch

    train_run(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    torch.set_num_threads(2)
    try:
        _, notes = train_run(None, tmp_path / "run")
    finally:
        torch.set_num_threads(1)
    assert "on 1 threads, now torch" in notes
    assert "results may differ in the last bits" in notes


def test_what_no_other_handler_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "wavenet.cli.presets.preset_table",
        refuse(OSError(5, "Input/output error", str(tmp_path / "x"))),
    )
    message = f"wavenet: {tmp_path / 'x'}: Input/output error; what was finished is kept"
    assert fails("presets") == message


def test_commands_and_options_that_do_not_exist() -> None:
    message = fails("train", "--sped", 3)
    assert re.search("No such option: --sped.*; see wavenet train --help$", message)
    assert re.search("No such command 'tarin'.*; see wavenet --help$", fails("tarin"))
