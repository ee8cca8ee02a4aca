"""The processes that train one model together, as torchrun starts them.

Without torchrun there is a single process, which has nobody to agree with. Every process runs the
same lines; what only one may do, all do differently, or all must know goes through a
`SingleProcess` or a `ProcessGroup`. Data are sharded the same way everywhere: rank r of n computes
windows r, r + n, ... of each batch, gradients are averaged by torch's DistributedDataParallel, and
rank 0 alone writes files and reports to the user.

All of it is torch's own: torchrun brings the processes together, starts them again and lists those
that failed; objects travel by its collectives, pickled, between processes of one program.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import torch
from torch import Tensor, distributed, nn
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel

from wavenet.errors import LostProcessError, RunError, UsageError, WavenetError
from wavenet.system.device import pick_device

JOIN = timedelta(minutes=10)  # for all processes to come

# A process that reads recordings may keep the others waiting for hours. One that ends is noticed at
# once nevertheless, because its connections close.
WAIT = timedelta(days=1)

# Inside an exchange between GPUs nothing else tells that a process has ended.
GPU_WAIT = timedelta(minutes=30)

HOW_TO_START = "start them with torchrun, or unset WORLD_SIZE to train in one process"

T = TypeVar("T")


class SingleProcess:
    """One process: it is rank 0 of 1, has the whole batch, and agrees with itself."""

    rank, world_size = 0, 1

    def device(self, name: str) -> torch.device:
        """Where this process trains. Raises UsageError for a device that is not there."""
        return pick_device(name)

    def shard(self, function: Callable[..., T]) -> Callable[..., T]:
        """`function`, which takes `rank` and `ranks`, for this rank's shard of the work."""
        return partial(function, rank=self.rank, ranks=self.world_size)

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """The model to compute with: its backward pass leaves the mean of all ranks' gradients."""
        return model

    def all_reduce_loss(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        """Mean over all ranks of their `loss` (), and the gradient's `norm` (), the same on all.

        Here a step waits for the device; in fp32 and bf16 it is the only place.
        """
        mean_loss, gradient_norm = torch.stack([loss, norm]).tolist()
        return mean_loss, gradient_norm

    def any_rank(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        """Whether `condition` held on any rank when the loss was last all-reduced."""
        return condition

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        """Each value's sum over all ranks."""
        return values

    def broadcast(self, function: Callable[[], T]) -> T:
        """What `function` returns on rank 0, for all ranks. A WavenetError in it ends them all."""
        return function()

    def run_on_all_ranks(self, function: Callable[[], T]) -> T:
        """Run `function` on every rank.

        A WavenetError on any of them ends all. Rank 0 raises it, with the name of its process.
        """
        return function()

    def on_each_machine(self, function: Callable[[], T]) -> T:
        """As `run_on_all_ranks`, but one process of each machine runs before the others there."""
        return function()

    def require_equal_on_all_ranks(self, value: object, error: WavenetError) -> None:
        """Raise `error` when a process has another value than rank 0, with its name before why."""


class ProcessGroup(SingleProcess):
    """One of the processes that torchrun started."""

    def __init__(self) -> None:
        rendezvous: Any = distributed.rendezvous("env://", timeout=JOIN)  # type: ignore[attr-defined]
        store, self.rank, self.world_size = next(rendezvous)
        self._store = _store_of_this_start(store, self.rank, self.world_size)
        self._local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self._local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.world_size))
        distributed.init_process_group(
            "gloo", store=self._store, rank=self.rank, world_size=self.world_size, timeout=WAIT
        )
        # The group of the exchanges in a step: None is gloo's default group; on GPUs `wrap_ddp`
        # sets one of NCCL's.
        self._group: Any = None
        # Whether a condition held on any rank at the last step.
        self._votes: dict[Callable[[], bool], bool] = {}
        self._hosts = self._all_gather(socket.gethostname())

    def name(self, rank: int) -> str:
        """What messages call the process of a rank."""
        return f"process {rank} of {self.world_size} ({self._hosts[rank]})"

    def device(self, name: str) -> torch.device:
        if name not in ("auto", "cuda", "cpu"):
            reason = "processes take auto, cpu or cuda, which gives each a GPU of its own"
            raise UsageError("device", name, f"{self.world_size} {reason}")
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        gpus = torch.cuda.device_count()
        if 0 < gpus <= self._local_rank:
            reason = f"{self._local_world_size} processes for {gpus} GPUs"
            advice = f"start torchrun with --nproc-per-node {gpus}"
            raise UsageError("device", name, reason, advice)
        device = pick_device(f"cuda:{self._local_rank}")
        torch.cuda.set_device(device)
        return device

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        if next(model.parameters()).device.type == "cuda":
            self._group = distributed.new_group(backend="nccl", timeout=GPU_WAIT)
        return DistributedDataParallel(
            model, process_group=self._group, gradient_as_bucket_view=True
        )

    def all_reduce_loss(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        # The votes travel with the loss, so that agreeing costs no exchange of its own.
        votes = loss.new_tensor([condition() for condition in self._votes])
        payload = torch.cat([loss[None], votes])  # (1 + conditions,)
        distributed.all_reduce(payload, group=self._group)
        total_loss, *votes_for, gradient_norm = torch.cat([payload, norm[None]]).tolist()
        self._votes = {c: count > 0 for c, count in zip(self._votes, votes_for, strict=True)}
        return total_loss / self.world_size, gradient_norm

    def any_rank(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        self._votes[condition] = False
        return lambda: self._votes[condition]

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return tuple(sums.tolist())

    def broadcast(self, function: Callable[[], T]) -> T:
        box: list[T] = [self.run_on_all_ranks(function if self.rank == 0 else _nothing)]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def run_on_all_ranks(self, function: Callable[[], T]) -> T:
        result: Any = None
        error: WavenetError | None = None
        try:
            result = function()
        except WavenetError as e:
            error = e
        for rank, failure in enumerate(self._all_gather(error)):
            if failure is not None:
                raise self._ending(failure if rank == 0 else failure.within(self.name(rank)))
        return result  # type: ignore[no-any-return]

    def on_each_machine(self, function: Callable[[], T]) -> T:
        first: Any = self.run_on_all_ranks(function if self._local_rank == 0 else _nothing)
        other: Any = self.run_on_all_ranks(function if self._local_rank != 0 else _nothing)
        return other if self._local_rank else first  # type: ignore[no-any-return]

    def require_equal_on_all_ranks(self, value: object, error: WavenetError) -> None:
        first, *others = self._all_gather(value)
        for rank, other in enumerate(others, start=1):
            if other != first:
                reason = f"{self.name(rank)} {error.reason}"
                raise self._ending(type(error)(error.subject, reason, error.advice))

    def _ending(self, error: WavenetError) -> BaseException:
        """What each rank raises of an error that all of them know: rank 0 alone reports it."""
        return error if self.rank == 0 else SystemExit(1)

    def reports_failure(self) -> bool:
        """True for the first of all ranks that asks: it alone says why training fails."""
        try:
            return bool(self._store.add("wavenet/failures", 1) == 1)
        except RuntimeError:
            # torchrun has ended, and the store with it.
            return self.rank == 0

    def _all_gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank."""
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values


def _store_of_this_start(store: Any, rank: int, world_size: int) -> Any:
    """The part of torchrun's store that the processes started together have for themselves.

    torchrun keeps one store through all restarts, which its machines count differently, and torch
    would find the addresses of ended processes there. So each process leaves a word of its own, and
    rank 0, which counts the starts, answers every word that it sees with the number of its start.
    Its answers to words that earlier processes left reach nobody.
    """
    if rank == 0:
        start = str(store.add("wavenet/starts", 1))
        missing, deadline = set(range(1, world_size)), time.monotonic() + JOIN.total_seconds()
        while missing:
            if time.monotonic() > deadline:
                who = f"process {', '.join(map(str, sorted(missing)))} of {world_size}"
                reason = f"{who} did not come within {JOIN.seconds // 60} minutes"
                raise RunError("", reason, "start all again")
            for r in missing:
                if store.check([f"wavenet/word/{r}"]):
                    store.set(f"wavenet/{store.get(f'wavenet/word/{r}').decode()}", start)
            missing = {r for r in missing if not store.check([f"wavenet/{start}/{r}"])}
            time.sleep(0.05)
    else:
        word = uuid4().hex
        store.set(f"wavenet/word/{rank}", word)
        # `get` waits for the answer.
        start = store.get(f"wavenet/{word}").decode()
        store.set(f"wavenet/{start}/{rank}", "")
    return distributed.PrefixStore(f"wavenet/start/{start}", store)  # type: ignore[attr-defined]


def run(function: Callable[[SingleProcess], T]) -> T:
    """`function` of all processes that torchrun started, or of this one alone.

    Whatever ends one process ends all: one of them raises it, the others exit with status 1.
    """
    if world_size() == 1:
        return function(SingleProcess())

    def outcome() -> T | WavenetError:
        try:
            return _run_together(function)
        except WavenetError as e:
            return e

    # The decorator leaves what nobody foresaw, with its traceback, for torchrun's list of failures.
    result = record(outcome)()
    if isinstance(result, WavenetError):
        raise result
    return result  # type: ignore[return-value]


def world_size() -> int:
    """How many processes the environment says there are; 1 where it says nothing.

    Raises RunError where there are several and it lacks what they need to find each other.
    """
    size = _from_environment("WORLD_SIZE", 1, 2**31, 1)
    if size > 1:
        _from_environment("RANK", 0, size)
        _from_environment("LOCAL_RANK", 0, size, 0)
        _from_environment("LOCAL_WORLD_SIZE", 1, size + 1, size)
        _from_environment("MASTER_PORT", 1, 2**16)
        if not os.environ.get("MASTER_ADDR"):
            raise _unset("MASTER_ADDR")
    return size


def _from_environment(name: str, low: int, high: int, default: int | None = None) -> int:
    """A variable's whole number, from `low` to below `high`. Raises RunError."""
    text = os.environ.get(name)
    if not text:
        if default is None:
            raise _unset(name)
        return default
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number < high:
        raise RunError(f"{name}={text}", f"must be {low} to {high - 1}", HOW_TO_START)
    return number


def _unset(name: str) -> RunError:
    reason = f"is not set, and WORLD_SIZE={os.environ['WORLD_SIZE']} asks for as many processes"
    return RunError(name, reason, HOW_TO_START)


def _run_together(function: Callable[[SingleProcess], T]) -> T:
    try:
        processes = ProcessGroup()
    except RuntimeError as e:
        reason = f"the processes do not find each other ({str(e).splitlines()[0]})"
        raise LostProcessError("", reason, "start them again") from e
    try:
        result = function(processes)
        # A process that ended earlier would be missed by the others.
        distributed.barrier()
    except BaseException as e:
        if threading.current_thread() is threading.main_thread():
            # torchrun sends a SIGTERM as soon as a process ends, and it must not come before this
            # one's last word.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if isinstance(e, SystemExit):
            raise
        reports = processes.reports_failure()
        if isinstance(e, KeyboardInterrupt):
            raise
        if not reports:
            raise SystemExit(1) from None
        # What gloo raises has no class of its own.
        from_gloo = isinstance(e, RuntimeError) and "gloo" in str(e)
        if from_gloo or isinstance(e, distributed.DistError):
            reason = f"another of the {processes.world_size} processes has ended"
            advice = "the same command goes on from the last checkpoint, if there is one"
            raise LostProcessError("", reason, advice) from e
        raise
    distributed.destroy_process_group()
    return result


def _nothing() -> Any:
    return None
