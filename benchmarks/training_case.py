"""One contestant's training step, in a process of its own, so that its peak memory is its own.

`Contestant` starts the process and asks it; the process answers each line of JSON with another. A
step is all of it: making the batch, forward, backward, clipping, Adam, EMA.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks.kernel_counts import KernelCounter
from benchmarks.peer import Training, module
from wavenet.config import Config, loading
from wavenet.data.dataset import Batch, WindowDataset
from wavenet.data.loader import DeviceBatch
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.reference import ReferenceWaveNet
from wavenet.system.device import PRECISIONS, peak_bytes, pick_device
from wavenet.system.memory import keep_freed_memory
from wavenet.training.trainer import Trainer

OURS, CONV1D, PEER, CAPTURED = "ours", "nn.Conv1d", "r9y9's module", "captured"
# Of every preset; the other networks take no conditioning.
COMMON: dict[str, Any] = {"model.mel_bands": 0, "train.precision": "fp32"}
WARM_UP = 2
SLOWEST = 10  # kernels of a profile


@dataclass(frozen=True)
class Case:
    """What a process trains: a network at a preset's sizes, its settings, and where.

    `tf32`: on a GPU, fp32 products may be of TF32. `peer` is the checkout of `PEER`.
    """

    label: str
    preset: str
    network: str = OURS
    overrides: dict[str, Any] = field(default_factory=dict)
    tf32: bool = False
    device: str = "auto"
    peer: str = ""

    def config(self, overrides: dict[str, Any] | None = None) -> Config:
        return loading.load(self.preset, COMMON | self.overrides | (overrides or {}))


# --- the contestants ------------------------------------------------------------------------------


class NoiseDataset:
    """Stands for a dataset, of which a training step asks batches alone: of random codes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # Of its corpus, the trainer asks for the config.
        self.corpus = self

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        m, samples = self.config.model, self.config.segment_samples
        shape = (self.config.train.batch, m.receptive_field + samples)
        x = np.random.default_rng(step).integers(0, distribution_for(m).levels, shape)
        batch = Batch(x, np.ones((len(x), samples), np.float32))
        if ranks == 1:
            return batch
        return Batch(x[rank::ranks], batch.loss_mask[rank::ranks], global_count=len(x) * samples)


class Convolutions(Trainer):
    """The same training with the network in ordinary convolutions."""

    @cached_property
    def readable(self) -> ReferenceWaveNet:
        return ReferenceWaveNet(self.config.model).to(self.device)

    def _loss(self, part: DeviceBatch) -> Tensor:
        weights: dict[str, Tensor] = dict(self.model.named_parameters())
        with torch.autocast(
            self.device.type, PRECISIONS[self.precision], enabled=self.precision != "fp32"
        ):
            params = functional_call(self.readable, weights, (part.x[:, :-1],))
        return self.model.distribution.loss(
            params, part.x[:, self.model.receptive_field :], part.loss_mask
        )


class Captured(Trainer):
    """Forward and backward pass captured once in a CUDA graph and replayed with every batch.

    An experiment, to learn what it would gain: networks without conditioning only.
    """

    _graph: Any = None

    def _backward(self) -> Tensor:
        batch = self.batches.get(self.step)
        if self._graph is None:
            self._capture(batch)
        self._held.x.copy_(batch.x)
        self._held.loss_mask.copy_(batch.loss_mask)
        self._graph.replay()
        return self._total

    def _capture(self, batch: DeviceBatch) -> None:
        self._held, usual = batch, self.batches
        self.batches = cast(Any, self)
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UP):
                super()._backward()
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        # The thread that makes batches pins memory meanwhile, which a global capture forbids.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._total = super()._backward()
        self.batches, self._graph = usual, graph

    def get(self, step: int) -> DeviceBatch:
        """As the prefetcher's: the batch whose memory the graph reads."""
        return self._held


def peer_step(case: Case, settings: Config, device: torch.device) -> Callable[[], object]:
    """A step of r9y9's module at the preset's sizes, in the preset's precision.

    It has one-hot input, windows of one segment, and Adam at 1e-3.
    """
    m, segment, precision = settings.model, settings.segment_samples, settings.train.precision
    training = Training(module(case.peer, m).to(device), m.levels)
    x = torch.randint(0, m.levels, (settings.train.batch, segment + 1), device=device)

    def step() -> float:
        half = precision != "fp32"
        with torch.autocast(device.type, PRECISIONS[precision]) if half else nullcontext():
            return training.step(x)

    return step


def step_of(case: Case, settings: Config, device: torch.device) -> Callable[[], object]:
    if case.network == PEER:
        return peer_step(case, settings, device)
    kind = {OURS: Trainer, CONV1D: Convolutions, CAPTURED: Captured}[case.network]
    return kind(cast(WindowDataset, NoiseDataset(settings)), device).train_step


# --- in the process -------------------------------------------------------------------------------


class _Process:
    """What a process answers to: each method is a question."""

    def __init__(self, case: Case) -> None:
        self.case, self.device = case, pick_device(case.device)
        if self.device.type == "cuda":
            # By default convolutions take TF32 and other products do not.
            torch.backends.cuda.matmul.allow_tf32 = case.tf32
            torch.backends.cudnn.allow_tf32 = case.tf32
        self.step: Callable[[], object] = lambda: None

    def build(self, overrides: dict[str, Any]) -> float:
        """Make the contestant ready, with further settings. Returns the seconds that took."""
        started = time.perf_counter()
        self.step = lambda: None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        self.step = step_of(self.case, self.case.config(overrides), self.device)
        self.time(WARM_UP)
        return time.perf_counter() - started

    def time(self, steps: int) -> float:
        """Seconds of a step, the mean of some."""
        started = time.perf_counter()
        for _ in range(steps):
            self.step()
        self._wait()
        return (time.perf_counter() - started) / steps

    def peak(self) -> int | None:
        """The most memory since the contestant was built, in bytes."""
        return peak_bytes(self.device)

    def count(self) -> tuple[int, int]:
        """Kernels of a step, and the bytes that they read and write.

        What a compiler or a CUDA graph makes of them is not seen: they are those of eager code.
        """
        with KernelCounter() as counts:
            self.step()
        return counts.total, counts.bytes_read + counts.bytes_written

    def profile(self) -> dict[str, Any]:
        """Of a step, by the profiler: all kernels' number and milliseconds, and the slowest."""
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as profiler

        cuda, steps = self.device.type == "cuda", 2
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
        with profiler(activities=activities) as found:
            for _ in range(steps):
                self.step()
            self._wait()
        kernels: dict[str, list[float]] = {}
        for event in found.key_averages():
            on_gpu = "cuda" in str(event.device_type).lower()
            microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
            # Regions, such as an optimizer's step, have their kernels inside.
            if on_gpu == cuda and microseconds and not event.is_user_annotation:
                kernels[event.key] = [event.count / steps, microseconds / 1e3 / steps]
        slowest = sorted(kernels.items(), key=lambda item: -item[1][1])[:SLOWEST]
        numbers = [sum(column) for column in zip(*kernels.values(), strict=True)] or [0, 0]
        return {"kernels": numbers[0], "ms": numbers[1], "slowest": slowest}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            # `train_step` waits for the loss alone, not for Adam and the EMA.
            torch.cuda.synchronize(self.device)


def serve() -> None:
    """Be the process of the case that the first line of the input names."""
    # Whatever else is printed goes where errors go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    case = Case(**json.loads(sys.stdin.readline()))
    if case.network != PEER:
        # As a session of ours does.
        keep_freed_memory()
    process = _Process(case)
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        try:
            answer = {"answer": getattr(process, question)(*arguments)}
        except Exception as e:
            # A contestant that fails, in whatever way, is a row that says so.
            lines = str(e).strip().splitlines() or [""]
            answer = {"failed": f"{type(e).__name__}: {lines[0]}"}
        print(json.dumps(answer), file=answers, flush=True)


# --- from outside ---------------------------------------------------------------------------------


class ContestantError(Exception):
    """A contestant failed, or did not answer in time."""


class Contestant:
    """The process of a case, which starts at once and works while others are asked."""

    def __init__(self, case: Case, build: dict[str, Any] | None = None) -> None:
        """`build`: further settings, with which it is made ready at once."""
        self.case = case
        # Closed by `stop`.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_case"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # As the command line sets it, for all of them.
            env={"GOMP_SPINCOUNT": "2000"} | os.environ,
        )
        self._send(asdict(case))
        if build is not None:
            self._send(["build", build])

    def ask(self, question: str, *arguments: Any, seconds: float = 600) -> Any:
        """A method of the process, by name. Raises ContestantError."""
        self._send([question, *arguments])
        return self.answer(seconds)

    def answer(self, seconds: float = 600) -> Any:
        """Of the question that was asked. Raises ContestantError."""
        output = self._process.stdout
        assert output is not None
        if output.closed:
            raise ContestantError("it was stopped")
        if not select.select([output], [], [], max(0.0, seconds))[0]:
            self.stop()
            raise ContestantError(f"no answer in {seconds:.0f} s")
        line = output.readline()
        if not line:
            raise ContestantError(self._last_words())
        reply = json.loads(line)
        if "failed" in reply:
            raise ContestantError(reply["failed"])
        return reply["answer"]

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _send(self, what: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            # It has ended or was stopped, and `answer` says so.
            pass

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"ended with {self._process.returncode}"


if __name__ == "__main__":
    serve()
