"""`wavenet` as one of several processes, watched: what it writes into the run, and the state that its training ends in.

torchrun runs this file for the tests. `Pair` starts two such processes without torchrun, in a fraction of the time.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from wavenet.cli.main import app
from wavenet.training import session
from wavenet.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
FINDINGS = "WAVENET_TEST_FINDINGS"  # a folder: each process leaves rank-N.json there
DYING = "WAVENET_TEST_DYING"  # rank:step of the one process that kills itself once
_start = multiprocessing.get_context("forkserver")
_start.set_forkserver_preload(
    [
        "wavenet.training.session",
        "wavenet.cli.console",
        "torch._dynamo",
        "pydantic",
        "safetensors.numpy",
        "tests.together",
    ]
)


def watch() -> None:
    """Leave findings when training ends, and die when it is time."""
    folder, rank = Path(os.environ[FINDINGS]), int(os.environ["RANK"])
    written: list[str] = []
    fit, train_step = Trainer.fit, Trainer.train_step

    def heard(event: str, values: tuple[Any, ...]) -> None:
        if event == "open" and (
            set(str(values[1])) & set("wax+")
            if values[1]
            else values[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            written.append(str(values[0]))
        elif event in ("os.mkdir", "os.rename", "os.remove"):
            written.extend(map(str, values[:2]))

    def fitted(self: Trainer, *args: Any, **more: Any) -> None:
        fit(self, *args, **more)
        saved = self.checkpoint()
        digests = {
            name: hashlib.sha256(array.tobytes()).hexdigest()
            for name, array in saved.arrays.items()
        }
        found = {
            "step": self.step,
            "bits": self.validation_bits,
            "state": digests,
            "written": written,
        }
        (folder / f"rank-{rank}.json").write_text(json.dumps(found))

    def stepped(self: Trainer) -> float:
        if os.environ.get(DYING) == f"{rank}:{self.step}" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(self)

    session.LOG_EVERY = 1
    sys.addaudithook(heard)
    Trainer.fit, Trainer.train_step = fitted, stepped  # type: ignore[method-assign]


def torchrun(
    *arguments: object,
    watched: Path | None = None,
    how: tuple[object, ...] = ("--standalone",),
    **more: str,
) -> Any:
    """Two processes of `wavenet` under one torchrun, unless `how` says otherwise; not yet waited for."""
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *("--nproc-per-node=2" if "--nnodes=2" not in how else "--nproc-per-node=1",),
    ]
    line += [
        *map(str, how),
        *([str(Path(__file__))] if watched else ["-m", "wavenet"]),
        *map(str, arguments),
    ]
    environment = (
        os.environ
        | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
        | ({FINDINGS: str(watched)} if watched else {})
    )
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _process(
    folder: Path, rank: int, port: int, arguments: list[str], prepare: Callable[[int], None] | None
) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_CREAT | os.O_WRONLY), number)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        FINDINGS: str(folder),
    }
    torch.set_num_threads(1)
    watch()
    if prepare:
        prepare(rank)
    app(arguments)


class Pair:
    """Two processes of `wavenet ARGUMENTS`, each after `prepare(rank)`; `store` stands for torchrun's, through which they meet."""

    def __init__(
        self, folder: Path, *arguments: object, prepare: Callable[[int], None] | None = None
    ) -> None:
        folder.mkdir()
        self.store: Any = distributed.TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False
        )
        self.folder, port, words = folder, self.store.port, [str(a) for a in arguments]
        self.processes = [
            _start.Process(target=_process, args=(folder, r, port, words, prepare), daemon=True)
            for r in (0, 1)
        ]
        for process in self.processes:
            process.start()

    def wait(self) -> list[tuple[int | None, str, str]]:
        """(exit code, standard output, standard error) of each."""
        for process in self.processes:
            process.join(120)
            process.kill()
            process.join()
        read = [
            [(self.folder / f"{r}.{name}").read_text() for name in ("out", "err")] for r in (0, 1)
        ]
        return [(p.exitcode, out, err) for p, (out, err) in zip(self.processes, read, strict=True)]


if __name__ == "__main__":
    watch()
    app()
