"""Several processes that train one model learn as one does.

Two processes that start, meet and end take one to four seconds.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.helpers import wavenet
from tests.training.two_processes import (
    DYING,
    FINDINGS,
    LOST,
    Pair,
    as_options,
    assert_alike,
    findings,
    finished,
    free_port,
    lines,
    torchrun,
)
from wavenet.errors import UsageError
from wavenet.model import locate
from wavenet.training import distributed
from wavenet.training.distributed import ProcessGroup
from wavenet.training.run_folder import Run


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


def test_a_dry_run_tries_all_processes(command: list[object], tmp_path: Path) -> None:
    pair = Pair(tmp_path / "pair", *command, "-o", tmp_path / "run", "--dry-run")
    (code, out, err), *others = pair.wait()
    assert (code, others) == (0, [(0, "", "")]), err
    assert (
        "each after 11 of context, 1 at a time, in fp32 on cpu (1 thread) in each of 2"
        in " ".join(out.split())
    )
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
