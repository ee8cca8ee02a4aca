"""kill -9 at any moment loses nothing that was finished.

Nothing half-written counts, and a resumed run equals an uninterrupted one.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import wave
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.numpy import load_file

from tests.helpers import (
    SMALL,
    as_checkpoint,
    network,
    noisy,
    tone,
    training_recordings,
    wavenet,
    write_recordings,
)
from wavenet.cli.main import app
from wavenet.config import AudioConfig, Config
from wavenet.data import decoding, pcm_cache
from wavenet.data.cache_folders import entries
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError
from wavenet.model import checkpoint, locate
from wavenet.system.files import PARTIAL
from wavenet.training.run_folder import Run
from wavenet.training.session import train

EVERY = 3  # steps between checkpoints
processes = multiprocessing.get_context("forkserver")
# What every process needs is imported once.
processes.set_forkserver_preload(
    [
        "wavenet.training.session",
        "wavenet.cli.main",
        "torch._dynamo",
        "pydantic",
        "safetensors.numpy",
    ]
)


def started(target: Callable[..., None], *args: object) -> BaseProcess:
    process = processes.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def train_until(until: int, common: Path, out: Path) -> None:
    """Start or resume a run and train up to its step `until`."""
    # As the tests themselves have it: with as many threads, the same numbers come out.
    torch.set_num_threads(1)
    overrides = {
        "train.evaluate_every": EVERY,
        "train.steps": 100_000,
        "train.schedule": "constant",
        "train.keep_checkpoints": 2,
    }
    train(
        common / "recordings",
        config=str(common / "test.toml"),
        overrides=overrides,
        out=out,
        stop_at=until,
        cache=common / "cache",
    )


def train_slowly(*args: Any) -> None:
    """Without end; half of its time passes between a checkpoint's last byte and its final name."""
    fsync = os.fsync

    def slow(number: int) -> None:
        time.sleep(0.05)
        fsync(number)

    os.fsync = slow
    train_until(100_000, *args)


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory, small_config: Config) -> Path:
    """Recordings, a config and a cache; a run that has begun, and what it would have become."""
    folder = tmp_path_factory.mktemp("common")
    write_recordings(folder / "recordings", training_recordings(), 8000)
    (folder / "test.toml").write_text(small_config.to_toml(), encoding="utf-8")
    train_until(2 * EVERY, folder, folder / "begun")
    train_until(5 * EVERY, folder, folder / "whole")
    return folder


def files_of(run: Path) -> set[str]:
    return {p.name for p in (run / "checkpoints").glob("*")}


def assert_equal_runs(a: Path, b: Path, step: int) -> None:
    one, other = (load_file(locate.step_path(run / "checkpoints", step)) for run in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name] == other[name]).all(), name


def wait_for(condition: Callable[[], bool], process: BaseProcess) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.is_alive(), process.exitcode
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    "kills",
    [4, pytest.param(8, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.long)],
)
def test_training_survives_kills_at_random_moments(
    kills: int, common: Path, tmp_path: Path
) -> None:
    """Some while it starts, some while it writes a checkpoint, some after it has written one."""
    rng = random.Random(0)
    out, latest = tmp_path / "killed", 0

    def stepped() -> int:
        return max([0, *locate.steps(out / "checkpoints")])

    for kill in range(kills):
        process = started(train_slowly, common, out)
        if kill % 4 == 1:
            wait_for(lambda: any(name.endswith(PARTIAL) for name in files_of(out)), process)
        elif kill % 4:
            wait_for(lambda before=latest: stepped() > before, process)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert stepped() >= latest
        latest = stepped()
        for step in locate.steps(out / "checkpoints"):
            checkpoint.load(locate.step_path(out / "checkpoints", step), resume=True)
        logged = [m["step"] for m in Run(out).metrics()]
        assert max([0, *logged]) - latest <= EVERY, "more than the last steps was lost"
    train_until(latest + EVERY, common, out)
    assert not list(out.rglob(f"*{PARTIAL}"))
    steps_logged = [m["step"] for m in Run(out).metrics() if "validation_bits" in m]
    assert steps_logged == sorted(set(steps_logged))
    train_until(latest + EVERY, common, tmp_path / "uninterrupted")
    assert_equal_runs(out, tmp_path / "uninterrupted", latest + EVERY)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(stage: str, *args: Any) -> None:
    """Killed at one exact moment of writing the next checkpoint."""
    import safetensors.numpy

    replace, fsync = os.replace, os.fsync

    def a_checkpoint(number: int) -> bool:
        return os.readlink(f"/proc/self/fd/{number}").endswith(checkpoint.SUFFIX + PARTIAL)

    def half(number: int) -> None:
        if a_checkpoint(number):
            os.truncate(number, os.fstat(number).st_size // 2)
            die()
        fsync(number)

    def renaming(source: Path, target: Path) -> None:
        if Path(target).suffix != checkpoint.SUFFIX:
            return replace(source, target)
        if stage == "renamed":
            replace(source, target)
        die()

    def synced(number: int) -> None:
        fsync(number)
        if a_checkpoint(number):
            die()

    if stage == "nothing written":
        safetensors.numpy.save = die
    elif stage == "half written":
        os.fsync = half
    elif stage == "written":
        os.fsync = synced
    elif stage in ("about to be renamed", "renamed"):
        os.replace = renaming
    elif stage == "old ones not yet deleted":
        Path.unlink = die  # type: ignore[assignment]
    train_until(5 * EVERY, *args)


STAGES = ("nothing written", "half written", "written", "about to be renamed", "renamed")


@pytest.mark.parametrize("stage", [*STAGES, "old ones not yet deleted"])
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file is being synced")
def test_a_kill_inside_a_checkpoints_writing_loses_nothing_finished(
    stage: str, common: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(common / "begun", out)
    process = started(train_and_die, stage, common, out)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    steps = locate.steps(out / "checkpoints")
    assert steps[-1] == (3 * EVERY if stage == "renamed" or stage.startswith("old") else 2 * EVERY)
    for step in steps:
        checkpoint.load(locate.step_path(out / "checkpoints", step), resume=True)
    train_until(5 * EVERY, common, out)
    assert_equal_runs(out, common / "whole", 5 * EVERY)
    assert files_of(out) == files_of(common / "whole")


def test_a_run_killed_before_its_config_was_written_can_start_again(
    common: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "samples").mkdir()
    (out / ".lock").touch()
    (out / "config.toml.partial").write_text("[mod")
    train_until(EVERY, common, out)
    assert locate.steps(out / "checkpoints") == [EVERY]


def index_slowly(folder: Path, cache: Path) -> None:
    decode = decoding.Decoder.decode

    def slow(*args: Any) -> Any:
        for entry in decode(*args):
            time.sleep(0.01)
            yield entry

    pcm_cache.COMMIT_SECONDS, decoding.Decoder.decode = 0.01, slow  # type: ignore[method-assign]
    index_folder(folder, AudioConfig(sample_rate=8000), trim=True, cache=cache)


def test_an_index_killed_half_way_goes_on(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder({f"{i:02}.wav": tone(0.3, hertz=100 + i) for i in range(60)})
    settings, cache = AudioConfig(sample_rate=8000), tmp_path / "cache"

    def indexed() -> int:
        return sum(file.read_bytes().count(b"\n") for file in cache.glob("*/index.jsonl"))

    for enough in (5, 20, 40):
        process = started(index_slowly, folder, cache)
        wait_for(lambda enough=enough: indexed() >= enough, process)  # type: ignore[misc]
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        (entry,) = entries(cache)
        assert (entry.folder, entry.sample_rate) == (str(folder), 8000)
        assert entry.recordings >= enough
    healed = index_folder(folder, settings, trim=True, cache=cache)
    # Each went on from what those before it had finished.
    assert healed.decoded <= 60 - 40
    uninterrupted = index_folder(folder, settings, trim=True, cache=tmp_path / "other")
    for a, b in zip(healed.recordings, uninterrupted.recordings, strict=True):
        assert a.name == b.name
        assert (healed.pcm(a) == uninterrupted.pcm(b)).all()


def test_replaced_samples_stay_while_a_run_may_read_them(make_folder: Callable[..., Path]) -> None:
    """The end of pcm.bin is never cut below what any entry pointed at.

    A mapped file that shrinks kills its readers.
    """
    folder = make_folder({"a.wav": tone(0.5), "z.wav": noisy(0.5)})
    settings = AudioConfig(sample_rate=8000)
    before = index_folder(folder, settings, trim=False)
    mapped, size = before.pcm(before.recordings[-1]), (before.cache / "pcm.bin").stat().st_size
    # It is silent now, so its entry points nowhere.
    sf.write(folder / "z.wav", np.zeros(8000), 8000)
    after = index_folder(folder, settings, trim=False)
    assert [s.name for s in after.skipped] == ["z.wav"]
    assert index_folder(folder, settings, trim=False).decoded == 0
    assert (before.cache / "pcm.bin").stat().st_size >= size
    np.testing.assert_allclose(mapped / 32768, noisy(0.5), atol=2e-5)


def command(log: Path, *args: object) -> None:
    """Run `wavenet`, with what it prints in a file."""
    with log.open("w") as file, redirect_stdout(file):
        app([str(a) for a in args])


def test_generated_audio_survives_a_kill(tmp_path: Path) -> None:
    model, path = tmp_path / "model.safetensors", tmp_path / "a.wav"
    checkpoint.save(model, as_checkpoint(network(SMALL)))
    endless = ("generate", model, "--seconds", 80_000, "--seed", 1, "-o", path)
    process = started(command, tmp_path / "log", *endless)
    wait_for(lambda: path.exists() and path.stat().st_size > 50_000, process)
    process.kill()
    process.join()
    # The reader is strict: the header must have the true length.
    with wave.open(str(path)) as file:
        assert file.getnframes() >= 20_000
        kept = np.frombuffer(file.readframes(20_000), "<i2")
    path = tmp_path / "b.wav"
    again = wavenet("generate", model, "--seconds", 2.5, "--seed", 1, "-o", path)
    assert again.exit_code == 0, again.output
    assert (sf.read(path, dtype="int16")[0] == kept).all()


def test_sigterm_saves_as_ctrl_c_does(common: Path, tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("-c", common / "test.toml", "-o", run, "--cache", common / "cache")
    endless = ("train", common / "recordings", *options, "--steps", 1_000_000)
    process = started(command, log, *endless)
    wait_for(lambda: bool(files_of(run)), process)
    process.terminate()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    step = int(log.read_text().split("stopped at step ")[1].split(",")[0])
    assert locate.steps(run / "checkpoints")[-1] == step


def test_a_folder_that_cannot_take_the_cache_is_named(common: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CorpusError, match="Not a directory"):
        train(common / "recordings", out=tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()
