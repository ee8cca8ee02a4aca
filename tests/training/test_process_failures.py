"""Several processes that train one model end together when one of them ends."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import fails, matches
from tests.training.two_processes import (
    DYING,
    LOST,
    Pair,
    assert_alike,
    findings,
    finished,
    lines,
    torchrun,
)
from wavenet.data import pcm_cache
from wavenet.errors import OutputError, RunError
from wavenet.model import locate
from wavenet.training import distributed
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

HOST = re.escape(socket.gethostname())


@pytest.mark.slow
def test_a_process_that_is_killed_is_named_and_torchrun_goes_on(
    command: list[object], alone: Callable[..., Run], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    how = ("--standalone", "--max-restarts=1")
    arguments = (*command, "-o", out, "--steps", 18)
    started = torchrun(*arguments, watched=tmp_path, how=how, **{DYING: "1:14"})
    code, stdout, err = finished(started)
    assert code == 0, err
    assert lines(err) == [LOST]
    # torchrun names the process.
    assert re.search(r"failed \(exitcode: -9\) local_rank: 1 ", err), err
    assert f"resuming {out} at step 12" in stdout
    assert stdout.count("done. Hear it with") == 1
    assert_alike(alone(tmp_path / "single", 18), Run(out), 18)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def endless(command: list[object], tmp_path: Path) -> tuple[Path, Pair]:
    """The run folder of two processes that train for long, and have saved a checkpoint."""
    out = tmp_path / "run"
    pair = Pair(tmp_path / "pair", *command, "-o", out, "--steps", 100_000)
    wait_for(lambda: bool(locate.steps(out / "checkpoints")))
    return out, pair


def test_a_signal_to_one_process_saves_and_ends_all(command: list[object], tmp_path: Path) -> None:
    out, pair = endless(command, tmp_path)
    os.kill(pair.processes[1].pid or 0, signal.SIGTERM)
    (code, stdout, err), *others = pair.wait()
    assert (code, others) == (0, [(0, "", "")]), err
    step = int(stdout.split("stopped at step ")[1].split(",")[0])
    assert locate.steps(out / "checkpoints")[-1] == step
    assert {f["step"] for f in findings(tmp_path / "pair")} == {step}


def test_the_first_process_may_die_too(command: list[object], tmp_path: Path) -> None:
    """Torchrun's signal may come while the other still waits for an answer of the dead one."""
    _, pair = endless(command, tmp_path)
    pair.processes[0].kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pair.processes[1].pid or 0, signal.SIGTERM)
    (code, _, _), (other, stdout, err) = pair.wait()
    assert (code, other, stdout) == (-signal.SIGKILL, 1, "")
    assert lines(err) == [LOST]


def test_max_hours_ends_all_at_one_step(command: list[object], tmp_path: Path) -> None:
    out = tmp_path / "run"
    pair = Pair(tmp_path / "pair", *command, "-o", out, "--steps", 100_000, "--max-hours", 1 / 3600)
    assert [code for code, *_ in pair.wait()] == [0, 0]
    step = locate.steps(out / "checkpoints")[-1]
    assert {f["step"] for f in findings(tmp_path / "pair")} == {step}
    assert Run(out).metrics()[-1]["validation_bits"]


def spoil(rank: int) -> None:
    """Make the second process's loss NaN."""
    losses = Trainer._losses
    Trainer._losses = lambda self: (
        x * (float("nan") if rank and self.step >= 7 else 1) for x in losses(self)
    )  # type: ignore[method-assign]


def other_recordings(rank: int) -> None:
    """Let the second process's folder lack a file."""
    listed = pcm_cache.audio_files
    pcm_cache.audio_files = lambda folder: (listed(folder)[0][rank:], *listed(folder)[1:])


def unreadable(rank: int) -> None:
    """Let the second process's folder be empty."""
    if rank:
        pcm_cache.audio_files = lambda folder: ([], [], 0)


def full_disk(rank: int) -> None:
    def fail(*_: object) -> None:
        raise OutputError("checkpoints", "cannot be written (No space left on device)")

    Run.save = fail  # type: ignore[assignment, method-assign]


def no_memory(rank: int) -> None:
    """Let the second process fail in the middle of a step, where the first waits for it."""

    def fail(self: Trainer) -> Any:
        raise RuntimeError("not enough memory")

    if rank:
        Trainer._backward = fail  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("prepare", "settings", "message"),
    [
        (None, "--stop-at 0", "--stop-at 0: must be a step from 1 on"),
        (None, "--set train.batch=1 --set train.accumulate=1", "train.batch = 1: leaves some of 2"),
        (None, "--device cuda", "--device cuda:0: not available here; use auto or one of cpu"),
        (None, "--device mps", "--device mps: 2 processes take auto, cpu or cuda"),
        (None, "--unheard-of", "No such option"),
        (None, "--set train.steps", "--set train.steps: write it as key=value"),
        (spoil, "", "the loss is not finite at step 7; the last good checkpoint is of step 6"),
        (other_recordings, "", f"process 1 of 2 ({HOST}) has other recordings than process 0"),
        (unreadable, "", f"process 1 of 2 ({HOST}): .*: holds no recordings"),
        (full_disk, "", "checkpoints: cannot be written (No space left on device)"),
        (no_memory, "", "this needs more memory than there is"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_goes_wrong_is_reported_once(
    prepare: Any, settings: str, message: str, command: list[object], tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "run", "--steps", 18)
    results = Pair(tmp_path / "pair", *command, *settings.split(), *out, prepare=prepare).wait()
    assert [code for code, _, _ in results] == [1, 1], results
    (report,) = [line for _, _, err in results for line in lines(err)]
    pattern = re.escape(message).replace(re.escape(HOST), HOST).replace(re.escape(".*"), ".*")
    assert re.match(f"wavenet: (.*: )?{pattern}", report)
    assert not any("Traceback" in err for _, _, err in results), results


def test_a_process_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "JOIN", timedelta(seconds=0.1))
    with pytest.raises(RunError, match="process 1, 2 of 3 did not come"):
        distributed._store_of_this_start(torch.distributed.HashStore(), 0, 3)


@pytest.mark.long
def test_ctrl_c_at_torchrun_saves(command: list[object], tmp_path: Path) -> None:
    out = tmp_path / "run"
    started = torchrun(*command, "-o", out, "--steps", 100_000)
    wait_for(lambda: bool(locate.steps(out / "checkpoints")))
    started.send_signal(signal.SIGINT)
    _, stdout, err = finished(started)
    step = int(stdout.split("stopped at step ")[1].split(",")[0])
    assert locate.steps(out / "checkpoints")[-1] == step
    assert not lines(err)


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ("WORLD_SIZE=2", "RANK: is not set, and WORLD_SIZE=2 asks for as many processes"),
        ("WORLD_SIZE=2 RANK=1", "MASTER_PORT: is not set, and WORLD_SIZE=2 asks for as ..."),
        ("WORLD_SIZE=2 RANK=0 MASTER_PORT=1", "MASTER_ADDR: is not set, and WORLD_SIZE=2 asks ..."),
        ("WORLD_SIZE=two", "WORLD_SIZE=two: must be 1 to 2147483647"),
        ("WORLD_SIZE=2 RANK=x", "RANK=x: must be 0 to 1"),
        ("WORLD_SIZE=2 RANK=2 MASTER_ADDR=localhost MASTER_PORT=1", "RANK=2: must be 0 to 1"),
        ("WORLD_SIZE=2 RANK=0 MASTER_PORT=http", "MASTER_PORT=http: must be 1 to 65535"),
        ("WORLD_SIZE=2 RANK=0 MASTER_PORT=1 LOCAL_RANK=-1", "LOCAL_RANK=-1: must be 0 to 1"),
    ],
)
def test_processes_that_are_not_told_all_say_how_to_start_them(
    environment: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for assignment in environment.split():
        monkeypatch.setenv(*assignment.split("="))
    line = fails("train", tmp_path, "-o", tmp_path / "run")
    advice = "start them with torchrun, or unset WORLD_SIZE to train in one process"
    assert matches(line, f"wavenet: {what}; {advice}"), line


def test_an_empty_number_of_processes_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "")
    assert distributed.run(lambda processes: processes.world_size) == 1
