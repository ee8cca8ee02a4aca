"""Several processes that train one model learn as one does, and end well when one of them fails.

Two processes that start, meet and end take one to four seconds.
"""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.helpers import wavenet
from tests.training.two_processes import DYING, FINDINGS, Pair, free_port, torchrun
from wavenet.config.loading import parse_assignments
from wavenet.data import pcm_cache
from wavenet.errors import OutputError, RunError, UsageError
from wavenet.model import locate
from wavenet.training import distributed
from wavenet.training.distributed import ProcessGroup
from wavenet.training.run_folder import Run
from wavenet.training.session import train
from wavenet.training.trainer import Trainer

HOST = re.escape(socket.gethostname())
LOST = (
    "wavenet: another of the 2 processes has ended; "
    "the same command goes on from the last checkpoint, if there is one"
)
SETTINGS = (
    *("train.batch=3", "train.accumulate=2", "train.segment_seconds=0.3"),
    *("train.evaluate_every=6", "train.learning_rate=1e-3"),
)


def as_options(settings: Iterable[str]) -> list[str]:
    return [word for s in settings for word in ("--set", s)]


@pytest.fixture
def command(training_folder: Path, config_file: Path, tmp_path: Path) -> list[object]:
    """`wavenet train` with three windows, some short.

    Two processes then have different numbers of windows, of parts, and of samples in the loss.
    """
    options = ["-c", config_file, "--cache", tmp_path / "cache", *as_options(SETTINGS)]
    return ["train", training_folder, *options]


@pytest.fixture
def alone(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """The same training in this process, in one thread."""
    monkeypatch.setattr("wavenet.training.session.LOG_EVERY", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(out: Path, steps: int, stop_at: int | None = None) -> Run:
        return train(
            training_folder,
            config=str(config_file),
            overrides={**parse_assignments(SETTINGS), "train.steps": steps},
            out=out,
            stop_at=stop_at,
            cache=tmp_path / "cache",
        )

    yield run
    torch.set_num_threads(threads)


def finished(started: Any) -> tuple[int, str, str]:
    out, err = started.communicate(timeout=200)
    return started.returncode, out, err


def lines(err: str) -> list[str]:
    """What `wavenet` itself said."""
    return [line for line in re.split("[\r\n]+", err) if line.startswith("wavenet: ")]


def assert_alike(a: Run, b: Run, step: int) -> None:
    """The same checkpoint and curve up to rounding."""
    one, other = (load_file(locate.step_path(run.checkpoints, step)) for run in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6, err_msg=name)
    first, second = curve(a, step), curve(b, step)
    # Every step has a loss, and every sixth a validation.
    assert len(first) == len(second) == step + step // 6
    for x, y in zip(first, second, strict=True):
        assert x == pytest.approx(y, abs=2e-5)


def curve(run: Run, until: int) -> list[tuple[Any, ...]]:
    """(step, training bits, validation bits) of each entry of the log up to a step."""
    return [
        (m["step"], m.get("train_bits"), m.get("validation_bits"))
        for m in run.metrics()
        if m["step"] <= until
    ]


def findings(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank-{r}.json").read_text()) for r in (0, 1)]


def test_two_processes_learn_as_one_does_and_either_goes_on_from_the_other(
    command: list[object], alone: Callable[..., Run], tmp_path: Path
) -> None:
    single, shared = alone(tmp_path / "single", 18), tmp_path / "shared"
    both = (*command, "-o", shared, "--steps", 18)
    (code, out, err), other = Pair(tmp_path / "first", *both, "--stop-at", 6).wait()
    assert (code, other) == (0, (0, "", "")), err
    assert out.count("recordings ") == out.count("step      6  validation") == 1
    assert "in each of 2 processes" in out
    assert_alike(single, Run(shared), 6)
    first, second = findings(tmp_path / "first")
    # The weights, their EMA and Adam's moments agree bit for bit.
    assert first["state"] == second["state"]
    assert (first["step"], first["bits"]) == (second["step"], second["bits"])
    assert any(str(shared) in path for path in first["written"])
    assert not any(str(shared) in path for path in second["written"])
    assert_alike(single, alone(shared, 18, 12), 12)
    (code, out, err), other = Pair(tmp_path / "pair", *both).wait()
    assert (code, other) == (0, (0, "", "")), err
    assert "resuming" in out
    assert_alike(single, Run(shared), 18)
    first, second = findings(tmp_path / "pair")
    assert first["state"] == second["state"]


@pytest.mark.slow
def test_two_processes_begin_from_a_trained_model_as_one_does(
    command: list[object], alone: Callable[..., Run], tmp_path: Path
) -> None:
    base = alone(tmp_path / "base", 6)
    begun = [*command, "--init-from", base.folder]
    single, shared = tmp_path / "single", tmp_path / "shared"
    one = wavenet(*begun, "-o", single, "--steps", 6)
    assert one.exit_code == 0, one.output
    (code, _, err), other = Pair(tmp_path / "pair", *begun, "-o", shared, "--steps", 6).wait()
    assert (code, other) == (0, (0, "", "")), err
    assert_alike(Run(single), Run(shared), 6)
    # Each takes its own time for a step, and all go by that of the first.
    timed = Run(tmp_path / "timed")
    minutes = ("-o", timed.folder, "--minutes", 0.02)
    (code, _, err), other = Pair(tmp_path / "timed-pair", *begun, *minutes).wait()
    assert (code, other) == (0, (0, "", "")), err
    assert locate.steps(timed.checkpoints)[-1] == timed.config().train.steps > 1


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


def elsewhere(rank: int) -> None:
    """Put each process on a machine of its own, as far as relative paths go."""
    machine = Path(os.environ[FINDINGS]).parent / f"machine-{rank}"
    machine.mkdir(exist_ok=True)
    os.chdir(machine)


def test_only_the_first_process_needs_the_run_folder(command: list[object], tmp_path: Path) -> None:
    steps = ("--steps", 18, "--stop-at", 6)
    pair = Pair(tmp_path / "a", *command, "-o", "run", *steps, prepare=elsewhere)
    first = pair.wait()
    resume = ("train", "-o", "run", "--cache", tmp_path / "cache")
    again = Pair(tmp_path / "b", *resume, prepare=elsewhere).wait()
    assert [code for code, _, _ in first + again] == [0] * 4, first + again
    assert "resuming run at step 6" in again[0][1]
    one, other = findings(tmp_path / "b")
    assert one["step"] == 18
    assert one["state"] == other["state"]
    assert not (tmp_path / "machine-1" / "run").exists()


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


def test_a_dry_run_tries_all_processes(command: list[object], tmp_path: Path) -> None:
    pair = Pair(tmp_path / "pair", *command, "-o", tmp_path / "run", "--dry-run")
    (code, out, err), *others = pair.wait()
    assert (code, others) == (0, [(0, "", "")]), err
    assert "each after 11 of context, 1 at a time, in fp32 on cpu (1 threads) in each of 2" in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_and_variants_train_in_two_processes_too(
    precision: str, command: list[object], tmp_path: Path
) -> None:
    """The scaler of fp16 skips the same steps in both processes.

    The layers have a buffer, and one process may see few of the labels.
    """
    changes = (f"train.precision={precision}", "model.smooth=true", "model.label_channels=3")
    more = (*as_options(changes), "--label-from", "[0-9sh]*(?P<label>.)", "--steps", 6)
    pair = Pair(tmp_path / "pair", *command, *more, "-o", tmp_path / "run")
    assert [code for code, *_ in pair.wait()] == [0, 0]
    first, second = findings(tmp_path / "pair")
    assert first["state"] == second["state"]
    assert first["bits"] == second["bits"] < 5.1


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    one = object.__new__(ProcessGroup)
    one.world_size, one._local_rank, one._local_world_size = 4, 1, 4
    devices: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    monkeypatch.setattr(distributed, "pick_device", torch.device)
    assert one.device("auto") == one.device("cuda") == torch.device("cuda:1") == devices[0]
    assert one.device("cpu") == torch.device("cpu")
    one._local_rank = 2
    with pytest.raises(UsageError, match="4 processes for 2 GPUs") as e:
        one.device("auto")
    assert e.value.parameter == "device"


def test_a_process_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "JOIN", timedelta(seconds=0.1))
    with pytest.raises(RunError, match="process 1, 2 of 3 did not come"):
        distributed._store_of_this_start(torch.distributed.HashStore(), 0, 3)


def test_processes_of_one_start_meet_in_a_store_that_earlier_ones_used() -> None:
    """As after a restart that torchrun's machines count differently."""
    store = torch.distributed.HashStore()
    with ThreadPoolExecutor(2) as pool:
        for start in range(3):
            first = pool.submit(distributed._store_of_this_start, store, start % 2, 2)
            time.sleep(0.1)
            one = distributed._store_of_this_start(store, 1 - start % 2, 2)
            one.set("said", str(start))
            assert first.result(10).get("said") == str(start).encode()


@pytest.mark.long
@pytest.mark.parametrize(("by", "dies"), [("c10d", False), ("c10d", True), ("static", True)])
def test_two_machines_train_as_one_process_does(
    by: str, dies: bool, command: list[object], alone: Callable[..., Run], tmp_path: Path
) -> None:
    """Two torchruns with a process each meet over loopback.

    Where one process is killed, both start again.
    """
    out, port = tmp_path / "run", free_port()
    rendezvous = (f"--rdzv-backend={by}", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=a")
    if by == "static":
        rendezvous = ("--master-addr=127.0.0.1", f"--master-port={port}")
    how = ("--nnodes=2", f"--max-restarts={int(dies)}", *rendezvous)
    more = {DYING: "1:14"} if dies else {}
    each = [(*how, *[f"--node-rank={n}"] * (by == "static")) for n in (0, 1)]
    machines = [
        torchrun(*command, "-o", out, "--steps", 18, watched=tmp_path, how=how, **more)
        for how in each
    ]
    codes, outputs, errors = zip(*map(finished, machines), strict=True)
    assert codes == (0, 0), errors
    assert "".join(outputs).count("done. Hear it with") == 1
    assert [line for err in errors for line in lines(err)] == [LOST] * dies
    first, second = findings(tmp_path)
    assert first["state"] == second["state"]
    assert_alike(alone(tmp_path / "single", 18), Run(out), 18)


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
