"""kill -9 at any moment loses nothing that was finished.

Nothing half-written counts, and a resumed run equals an uninterrupted one.
"""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from safetensors.numpy import load_file

from tests.conftest import SMALL, as_checkpoint, network, noisy, tone
from wavenet.config import AudioConfig
from wavenet.data import decoding, pcm_cache
from wavenet.data.pcm_cache import index_folder
from wavenet.model import checkpoint, locate
from wavenet.system.files import PARTIAL
from wavenet.training.events import TrainingListener
from wavenet.training.resume import TrainOptions
from wavenet.training.run_folder import Run
from wavenet.training.session import train

EVERY = 3  # steps between checkpoints
processes = multiprocessing.get_context("forkserver")
# What every process needs is imported once.
processes.set_forkserver_preload(
    ["wavenet.training.session", "torch._dynamo", "pydantic", "safetensors.numpy"]
)


def started(target: Callable[..., None], *args: object) -> BaseProcess:
    process = processes.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def train_until(folder: Path, config: str, out: Path, cache: Path, until: int) -> None:
    """Start or resume a run and train up to its step `until`."""
    settings = (
        f"train.evaluate_every={EVERY}",
        "train.steps=100000",
        "train.schedule=constant",
        "train.keep_checkpoints=2",
    )
    train(
        TrainOptions(folder, config, settings, out, stop_at=until, cache=cache), TrainingListener()
    )


def train_slowly(*args: Any) -> None:
    """The same, but half of its time passes between a checkpoint's last byte and its final name."""
    fsync = os.fsync

    def slow(number: int) -> None:
        time.sleep(0.05)
        fsync(number)

    os.fsync = slow
    train_until(*args)


def files_of(run: Path) -> set[str]:
    return {p.name for p in (run / "checkpoints").glob("*")}


def assert_equal_runs(a: Path, b: Path, step: int) -> None:
    one, other = (load_file(locate.step_path(run / "checkpoints", step)) for run in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name] == other[name]).all(), name


def check_random_kills(kills: int, folder: Path, config: str, tmp_path: Path) -> None:
    rng = random.Random(0)
    out, cache = tmp_path / "killed", tmp_path / "cache"
    common = (folder, config, out, cache)
    latest, while_writing, forward = 0, 0, 0
    for kill in range(kills):
        before = files_of(out)
        process = started(train_slowly, *common, 100_000)
        deadline = time.monotonic() + 120
        # Every fifth kill comes at a random moment of the start, before any new checkpoint.
        if kill % 5:
            while files_of(out) <= before and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        while_writing += any(name.endswith(".partial") for name in files_of(out))
        steps = locate.steps(out / "checkpoints")
        for step in steps:
            checkpoint.load(locate.step_path(out / "checkpoints", step), resume=True)
        assert not steps or steps[-1] >= latest
        forward += bool(steps) and steps[-1] > latest
        latest = steps[-1] if steps else latest
        logged = [m["step"] for m in Run(out).metrics()]
        assert not logged or max(logged) - latest <= EVERY, (
            "more than the steps since the last checkpoint was lost"
        )
    assert while_writing >= 1
    assert forward >= kills // 3
    train_until(*common, latest + EVERY)
    assert not list(out.rglob("*.partial"))
    steps_logged = [m["step"] for m in Run(out).metrics() if "validation_bits" in m]
    assert steps_logged == sorted(set(steps_logged))
    uninterrupted = tmp_path / "uninterrupted"
    train_until(folder, config, uninterrupted, cache, latest + EVERY)
    assert_equal_runs(out, uninterrupted, latest + EVERY)


def test_training_survives_kills_at_random_moments(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    check_random_kills(20, training_folder, str(config_file), tmp_path)


@pytest.mark.long
def test_training_survives_many_kills(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    check_random_kills(200, training_folder, str(config_file), tmp_path)


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
    train_until(*args)


@pytest.mark.parametrize(
    "stage",
    [
        "nothing written",
        "half written",
        "written",
        "about to be renamed",
        "renamed",
        "old ones not yet deleted",
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file is being synced")
def test_a_kill_inside_a_checkpoints_writing_loses_nothing_finished(
    stage: str, training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    common = (training_folder, str(config_file), out, tmp_path / "cache")
    train_until(*common, 2 * EVERY)
    process = started(train_and_die, stage, *common, 5 * EVERY)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    steps = locate.steps(out / "checkpoints")
    assert steps[-1] == (3 * EVERY if stage == "renamed" or stage.startswith("old") else 2 * EVERY)
    for step in steps:
        checkpoint.load(locate.step_path(out / "checkpoints", step), resume=True)
    train_until(*common, 5 * EVERY)
    uninterrupted = tmp_path / "uninterrupted"
    train_until(training_folder, str(config_file), uninterrupted, tmp_path / "cache", 5 * EVERY)
    assert_equal_runs(out, uninterrupted, 5 * EVERY)
    assert files_of(out) == files_of(uninterrupted)


def test_a_run_killed_before_its_config_was_written_can_start_again(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "samples").mkdir()
    (out / ".lock").touch()
    (out / "config.toml.partial").write_text("[mod")
    train_until(training_folder, str(config_file), out, tmp_path / "cache", EVERY)
    assert locate.steps(out / "checkpoints") == [EVERY]


def index_slowly(folder: Path, cache: Path) -> None:
    probe = decoding.Workers.probe

    def slow(*args: Any) -> Any:
        time.sleep(0.01)
        return probe(*args)

    pcm_cache.COMMIT_SECONDS, decoding.Workers.probe = 0.01, slow  # type: ignore[method-assign]
    index_folder(folder, AudioConfig(sample_rate=8000), trim=True, cache=cache)


def test_an_index_killed_half_way_goes_on(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    files = {
        f"{i:03}.wav": tone(1.0, hertz=100 + i) + noisy(1.0, seed=i, amplitude=0.01)
        for i in range(200)
    }
    folder = make_folder(files)
    settings, rng, killed = AudioConfig(sample_rate=8000), random.Random(0), 0

    def indexed() -> int:
        return sum(
            file.read_bytes().count(b"\n") for file in (tmp_path / "cache").glob("*/index.jsonl")
        )

    for _ in range(100):
        enough = indexed() + rng.randrange(5, 50)
        process = started(index_slowly, folder, tmp_path / "cache")
        while process.is_alive() and indexed() < enough:
            time.sleep(0.001)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            break
    assert killed >= 3
    healed = index_folder(folder, settings, trim=True, cache=tmp_path / "cache")
    # The last attempt kept what the killed ones had done and did the rest.
    assert healed.decoded == 0
    uninterrupted = index_folder(folder, settings, trim=True, cache=tmp_path / "other")
    for a, b in zip(healed.recordings, uninterrupted.recordings, strict=True):
        assert a.name == b.name
        samples = healed.pcm()[a.offset : a.offset + a.samples]
        expected = uninterrupted.pcm()[b.offset : b.offset + b.samples]
        assert (samples == expected).all()


def test_replaced_samples_stay_while_a_run_may_read_them(make_folder: Callable[..., Path]) -> None:
    """The end of pcm.bin is never cut below what any entry pointed at.

    A mapped file that shrinks kills its readers.
    """
    folder = make_folder({"a.wav": tone(0.5), "z.wav": noisy(0.5)})
    settings = AudioConfig(sample_rate=8000)
    before = index_folder(folder, settings, trim=False)
    mapped, size = before.pcm(), (before.cache / "pcm.bin").stat().st_size
    # It is silent now, so its entry points nowhere.
    sf.write(folder / "z.wav", np.zeros(8000), 8000)
    after = index_folder(folder, settings, trim=False)
    assert [s.name for s in after.skipped] == ["z.wav"]
    assert index_folder(folder, settings, trim=False).decoded == 0
    assert (before.cache / "pcm.bin").stat().st_size >= size
    last = before.recordings[-1]
    np.testing.assert_allclose(mapped[last.offset :] / 32768, noisy(0.5), atol=2e-5)


def command(*args: object, cache: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "wavenet", *map(str, args)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_generated_audio_survives_a_kill(tmp_path: Path) -> None:
    model, path = tmp_path / "model.safetensors", tmp_path / "a.wav"
    checkpoint.save(model, as_checkpoint(network(SMALL)))
    process = command(
        "generate", model, "--seconds", 80_000, "--seed", 1, "-o", path, cache=tmp_path
    )
    wait_for(lambda: path.exists() and path.stat().st_size > 50_000, process)
    process.kill()
    process.communicate()
    # The reader is strict: the header must have the true length.
    with wave.open(str(path)) as file:
        assert file.getnframes() >= 20_000
        kept = np.frombuffer(file.readframes(20_000), "<i2")
    path = tmp_path / "b.wav"
    again = command("generate", model, "--seconds", 2.5, "--seed", 1, "-o", path, cache=tmp_path)
    again.communicate(timeout=120)
    assert (sf.read(path, dtype="int16")[0] == kept).all()


def test_sigterm_saves_as_ctrl_c_does(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = command(
        "train", training_folder, "-c", config_file, "-o", run, "--steps", 1_000_000, cache=tmp_path
    )
    wait_for(lambda: bool(files_of(run)), process)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    step = int(out.split("stopped at step ")[1].split(",")[0])
    assert locate.steps(run / "checkpoints")[-1] == step


def test_a_folder_that_cannot_take_the_cache_is_named(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (tmp_path / "cache").write_text("a file")
    message = r"the cache cannot be written \(Not a directory\); choose another place with --cache"
    with pytest.raises(Exception, match=message):
        train_until(training_folder, str(config_file), tmp_path / "run", tmp_path / "cache", 1)
    assert not (tmp_path / "run").exists()
