"""Every message that a wrong call or a broken machine may get, word for word.

error_messages.txt is a transcript of calls in the folder that `place` makes; faults that need more
setting up follow it here. Other tests ask errors for their class and data only.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.helpers import (
    BOTH,
    SMALL,
    VOCODER,
    VOICES,
    as_checkpoint,
    fails,
    files_up_to,
    matches,
    network,
    noisy,
    tone,
    train_run,
    wavenet,
    write_recordings,
)
from wavenet.audio import levels
from wavenet.cli import demo
from wavenet.config import AudioConfig, Config, TrainConfig
from wavenet.data import decoding
from wavenet.data.cache_folders import entries
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import OutputError
from wavenet.model import checkpoint, locate

TRANSCRIPT = (Path(__file__).parent / "error_messages.txt").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ wavenet ?(.*)\n(wavenet: .*)$", TRANSCRIPT, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands in error_messages.txt name."""
    folder = tmp_path_factory.mktemp("place")
    models = {"model": SMALL, "voices": VOICES, "vocoder": VOCODER, "both": BOTH}
    for name, config in {**models, "mixture": replace(SMALL, output="logistic")}.items():
        checkpoint.save(folder / f"{name}.safetensors", as_checkpoint(network(config)))
    plain = as_checkpoint(network(SMALL), sample_rate=9000)
    checkpoint.save(folder / "9000-hertz.safetensors", plain)
    plain.arrays["average.hidden.bias"][0] = np.nan
    checkpoint.save(folder / "nan.safetensors", plain)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[:-10])
    save_file({"x": np.zeros(3)}, folder / "foreign.safetensors")
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        about = json.loads(file.metadata()["wavenet"])
    wider = {**about["config"], "model": {**about["config"]["model"], "skip_channels": 11}}
    for name, changes in {"newer": {"format": 2}, "shapes": {"config": wider}}.items():
        metadata = {"wavenet": json.dumps(about | changes)}
        save_file(plain.arrays, folder / f"{name}.safetensors", metadata)

    recordings = {f"speech/{i}.wav": noisy(1.2, seed=i) for i in range(5)}
    recordings |= {"voices/ada/0.wav": noisy(1.2), "voices/eve/1.wav": noisy(1.2, seed=1)}
    recordings |= {f"clips/{i}.wav": noisy(0.4, seed=i) for i in range(3)}
    recordings |= {"one.wav": tone(0.5), "brief.wav": tone(8 / 8000), "short.wav": tone(1 / 8000)}
    recordings |= {"zero.wav": np.zeros(0), "silent/s.wav": np.zeros(8000)}
    recordings["nan.wav"] = np.full(800, np.nan)
    write_recordings(folder, recordings)
    frames = {"wide": np.zeros((10, 7)), "nan": np.full((10, 6), np.nan)}
    frames["decibels"] = np.linspace(-80, 0, 60).reshape(10, 6)
    for name, array in frames.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "pickled.npy", np.array([{}]), allow_pickle=True)

    train = TrainConfig(steps=10, batch=3, segment_seconds=0.05, evaluate_every=5, sample_seconds=0)
    config = Config(name="test", audio=AudioConfig(sample_rate=8000), model=SMALL, train=train)
    texts = {
        "text.txt": "neither a model nor audio",
        "text.npy": "not numbers",
        "test.toml": config.to_toml(),
        "section.toml": "audio = 3",
        "unknown.toml": "[model]\nlayrs = 3",
        "misspelt.toml": "[modle]\nlayers = 3",
        "table.csv": "0.wav;ada\n",
        "short.csv": "0.wav,ada\nx.wav,bob\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "binary.toml").write_bytes(b"\xff\xfe\0")
    (folder / "empty").mkdir()
    run = ("-c", folder / "test.toml", "-o", folder / "runs" / "x", "--stop-at", 5)
    assert wavenet("train", folder / "speech", *run, "--cache", folder / "cache").exit_code == 0
    (folder / "new-run" / "checkpoints").mkdir(parents=True)
    (folder / "new-run" / "config.toml").write_text(config.to_toml())
    return folder


@pytest.mark.parametrize(("command", "line"), CALLS, ids=[command for command, _ in CALLS])
def test_a_wrong_call_gets_its_line_and_leaves_nothing(
    command: str, line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = set(place.rglob("*"))
    printed = fails(*shlex.split(command))
    assert matches(printed.replace(str(place), "PLACE"), line), printed
    assert set(place.rglob("*")) == before


def refuse(error: Exception) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


def test_an_engine_that_is_not_installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wavenet.engines.cpu.numba_engine", None)
    line = fails("generate", place / "model.safetensors", "--engine", "numba")
    expected = "wavenet: --engine numba: cannot be loaded (...); install it, or use another"
    assert matches(line, expected)


def test_a_cache_with_something_else_in_it(make_folder: Callable[..., Path]) -> None:
    index_folder(make_folder({"a.wav": tone(1.0)}), AudioConfig(), trim=False)
    cache = entries()[0].path
    (cache / "thesis.doc").write_text("precious")
    assert fails("cache", "--clear") == (
        f"wavenet: {cache}: cannot be deleted (Directory not empty)"
    )
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
    run = tmp_path / "run"
    command = ("train", training_folder, "-c", config_file, "-o", run)
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda _path, mode: mode != os.W_OK)
        assert fails(*command) == (
            f"wavenet: {run}: cannot be written (no permission for {tmp_path}); "
            "choose another --out"
        )
    mkdir = Path.mkdir

    def read_only(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.is_relative_to(run):
            raise OSError(30, "Read-only file system")
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert fails(*command) == (
        f"wavenet: {run}: cannot be written (Read-only file system); choose another --out"
    )


def test_a_cache_on_a_full_disk(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with files_up_to(8):
        line = fails(
            "train", training_folder, "-c", config_file, "-o", tmp_path / "run", "--cache", cache
        )
    assert matches(
        line,
        f"wavenet: {cache}/...: the cache cannot be written (File too large); "
        "choose another place with --cache",
    )


def test_checkpoints_on_a_full_disk(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    common = ("train", training_folder, "-o", run, "--cache", cache)
    assert wavenet(*common, "-c", config_file, "--stop-at", 5).exit_code == 0
    size = locate.step_path(run / "checkpoints", 5).stat().st_size
    with files_up_to(size // 1000 - 1):
        line = fails("train", "--out", run, "--cache", cache)
    assert line == (
        f"wavenet: {run}/checkpoints/step-00000010.safetensors: cannot be written (File too large);"
        " everything finished before is intact"
    )
    assert checkpoint.load(locate.find(run)).training.step == 5
    assert not list(run.rglob("*.partial"))


def test_audio_on_a_full_disk(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    with files_up_to(20):
        line = fails("generate", place / "model.safetensors", "--seconds", 60, "-o", out)
    assert matches(line, f"wavenet: {out}: cannot be written on (...); what fitted is kept")
    assert len(sf.read(out)[0]) > 4000


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to")])
def test_too_little_memory(
    error: Exception,
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wavenet.training.trainer.Trainer.time_step", refuse(error))
    assert fails("train", training_folder, "-c", config_file, "-o", tmp_path / "run") == (
        "wavenet: this needs more memory than there is; "
        "lower train.batch or train.segment_seconds, or raise train.accumulate"
    )


def test_a_picture_that_cannot_be_written_does_not_stop_the_training(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OutputError("a.png", "cannot be written")
    monkeypatch.setattr("wavenet.plotting.style.save", refuse(error))
    run, notes = train_run(
        training_folder, tmp_path / "run", "train.sample_seconds=0.05", config=str(config_file)
    )
    # There are two evaluations.
    assert notes.count("no sample rendered: a.png: cannot be written") == 2
    assert run.metrics()[-1]["step"] == 10


@pytest.mark.parametrize(
    "command", ["plot runs/x -o a.png", "receptive-field model.safetensors --picture a.png"]
)
def test_a_picture_that_cannot_be_drawn(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("wavenet.plotting.style.blank", refuse(RuntimeError("no fonts\nanywhere")))
    assert fails(*shlex.split(command)) == "wavenet: a.png: cannot be drawn (no fonts)"


def test_nowhere_to_keep_compiled_code(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
    monkeypatch.setattr("wavenet.audio.mel.frames_of", refuse(error))
    line = fails("vocode", place / "vocoder.safetensors", place / "one.wav", "-o", place / "v.wav")
    assert line == (
        "wavenet: no folder for compiled code can be written; set TMPDIR or NUMBA_CACHE_DIR to one"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [("metrics.jsonl", "plot"), ("corpus.json", "train --out"), ("config.toml", "train --out")],
)
def test_text_of_a_run_in_another_encoding(
    name: str, what: str, training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run, _ = train_run(training_folder, tmp_path / "run", config=str(config_file), stop_at=1)
    file = run.folder / name
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-16")
    assert fails(*what.split(), run.folder) == (
        f"wavenet: {file}: not text in UTF-8; save it as UTF-8"
    )


def test_a_run_that_resumes_with_another_number_of_threads_says_so(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_run(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    _, notes = train_run(None, tmp_path / "run", stop_at=6)
    assert "on 1 threads, now torch" in notes
    assert "results may differ in the last bits" in notes


def test_a_demo_without_the_bundled_recordings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tune = demo.DEMOS["tune"]._replace(bundled=tmp_path / "not here")
    monkeypatch.setitem(demo.DEMOS, "tune", tune)
    assert fails("demo", "-o", tmp_path / "demo") == (
        "wavenet: the bundled recordings come with the source, not with the wheel; "
        "name a folder: wavenet demo FOLDER"
    )


def test_what_no_other_handler_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(5, "Input/output error", str(tmp_path / "x"))
    monkeypatch.setattr("wavenet.config.loading.preset_names", refuse(error))
    message = f"wavenet: {tmp_path / 'x'}: Input/output error; what was finished is kept"
    assert fails("presets") == message
