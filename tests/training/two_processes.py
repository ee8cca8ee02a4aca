"""`wavenet` as one of several processes, watched.

Each process reports what it writes into the run and the state that its training ends in. torchrun
runs this file for the tests. `Pair` starts two such processes without torchrun, in a fraction of
the time.
"""

import hashlib
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import distributed

from wavenet.cli.main import app
from wavenet.model import locate
from wavenet.training import session
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

ROOT = Path(__file__).parent.parent.parent
# Names of environment variables. The first holds a folder, where each process leaves rank-N.json;
# the second holds RANK:STEP of the one process that kills itself once.
FINDINGS = "WAVENET_TEST_FINDINGS"
DYING = "WAVENET_TEST_DYING"
LOST = (
    "wavenet: another of the 2 processes has ended; "
    "the same command goes on from the last checkpoint, if there is one"
)
_start = multiprocessing.get_context("forkserver")
_ours = ["wavenet.training.session", "wavenet.cli.console", "tests.training.two_processes"]
_start.set_forkserver_preload([*_ours, "torch._dynamo", "pydantic", "safetensors.numpy"])


def watch() -> None:
    """Make this process report when its training ends, and die at the step that `DYING` names."""
    folder, rank = Path(os.environ[FINDINGS]), int(os.environ["RANK"])
    written: list[str] = []
    fit, train_step = session._fit, Trainer.train_step

    def audit(event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = values
            # `os.open` has flags and no mode.
            writes = set(str(mode)) & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
            if writes:
                written.append(str(path))
        elif event in ("os.mkdir", "os.rename", "os.remove"):
            written.extend(map(str, values[:2]))

    def fit_and_report(trainer: Trainer, *args: Any) -> None:
        fit(trainer, *args)
        arrays = trainer.checkpoint().arrays.items()
        digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays}
        report = {"step": trainer.step, "bits": trainer.validation_bits}
        report |= {"state": digests, "written": written}
        (folder / f"rank-{rank}.json").write_text(json.dumps(report))

    def step_or_die(self: Trainer) -> float:
        if os.environ.get(DYING) == f"{rank}:{self.step}" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(self)

    session.LOG_EVERY = 1
    sys.addaudithook(audit)
    session._fit = fit_and_report
    Trainer.train_step = step_or_die  # type: ignore[method-assign]


def torchrun(
    *arguments: object,
    watched: Path | None = None,
    how: tuple[object, ...] = ("--standalone",),
    **more: str,
) -> Any:
    """Start two processes of `wavenet` under one torchrun, unless the options `how` say otherwise.

    Returns the torchrun, which still runs. `watched` is the folder for what they report.
    """
    processes = 1 if "--nnodes=2" in how else 2
    program = (Path(__file__),) if watched else ("-m", "wavenet")
    launcher = (sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}")
    command = [str(word) for word in (*launcher, *how, *program, *arguments)]
    # What else is found on the path stays there.
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}
    if watched:
        environment[FINDINGS] = str(watched)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _process(
    folder: Path, rank: int, port: int, arguments: list[str], prepare: Callable[[int], None] | None
) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_CREAT | os.O_WRONLY), descriptor)
    os.environ |= dict.fromkeys(["RANK", "LOCAL_RANK"], str(rank))
    os.environ |= dict.fromkeys(["WORLD_SIZE", "LOCAL_WORLD_SIZE"], "2")
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", FINDINGS: str(folder)}
    torch.set_num_threads(1)
    watch()
    if prepare:
        prepare(rank)
    app(arguments)


class Pair:
    """Two processes of `wavenet ARGUMENTS`, each after `prepare(rank)`.

    `store` stands for torchrun's, through which they meet.
    """

    def __init__(
        self, folder: Path, *arguments: object, prepare: Callable[[int], None] | None = None
    ) -> None:
        folder.mkdir()
        local = ("127.0.0.1", 0)
        self.store: Any = distributed.TCPStore(*local, is_master=True, wait_for_workers=False)
        self.folder = folder
        words = (self.store.port, [str(a) for a in arguments], prepare)
        self.processes = [
            _start.Process(target=_process, args=(folder, r, *words), daemon=True) for r in (0, 1)
        ]
        for process in self.processes:
            process.start()

    def wait(self) -> list[tuple[int | None, str, str]]:
        """(exit code, standard output, standard error) of each process."""
        for process in self.processes:
            process.join(120)
            process.kill()
            process.join()
        results = []
        for rank, process in enumerate(self.processes):
            out, err = ((self.folder / f"{rank}.{name}").read_text() for name in ("out", "err"))
            results.append((process.exitcode, out, err))
        return results


def as_options(settings: Iterable[str]) -> list[str]:
    return [word for s in settings for word in ("--set", s)]


def finished(started: Any) -> tuple[int, str, str]:
    out, err = started.communicate(timeout=200)
    return started.returncode, out, err


def lines(err: str) -> list[str]:
    """What `wavenet` itself said."""
    return [line for line in re.split("[\r\n]+", err) if line.startswith("wavenet: ")]


def findings(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank-{r}.json").read_text()) for r in (0, 1)]


def assert_alike(a: Run, b: Run, step: int) -> None:
    """The same checkpoint and curve up to rounding."""
    one, other = (load_file(locate.step_path(run.checkpoints, step)) for run in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6, err_msg=name)
    first, second = curve(a, step), curve(b, step)
    # Every step has a loss, and every sixth a validation, as has step 0 of a run with a base.
    assert len(first) == len(second) == step + step // 6 + (first[0][0] == 0)
    for x, y in zip(first, second, strict=True):
        assert x == pytest.approx(y, abs=2e-5)


def curve(run: Run, until: int) -> list[tuple[Any, ...]]:
    """(step, training bits, validation bits) of each entry of the log up to a step."""
    return [
        (m["step"], m.get("train_bits"), m.get("validation_bits"))
        for m in run.metrics()
        if m["step"] <= until
    ]


if __name__ == "__main__":
    watch()
    app()
