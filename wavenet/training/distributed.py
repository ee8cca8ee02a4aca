"""The processes that train one model together, as torchrun starts them.

Without torchrun there is a single process, which has nobody to agree with. Every process runs the
same lines; what only one may do, all do differently, or all must know goes through a
`SingleProcess` or a `ProcessGroup`. Data are sharded the same way everywhere: rank r of n computes
windows r, r + n, ... of each batch, gradients are averaged by torch's DistributedDataParallel, and
rank 0 alone writes files and reports to the user.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from wavenet.errors import AlreadyReportedError, LostProcessError, RunError, WavenetError
from wavenet.system.device import pick_device
from wavenet.training.heartbeat import Heartbeat

JOIN_MINUTES = 10  # for all processes to come

# A process that reads recordings may keep the others waiting for hours. One that ends is noticed at
# once nevertheless, because its connections close.
WAIT = timedelta(days=1)

# Inside an exchange between GPUs nothing else tells that a process has ended.
GPU_WAIT = timedelta(minutes=30)

# After a signal. It has to be well below the 30 seconds that torchrun waits before it kills.
STUCK_SECONDS = 8.0

T = TypeVar("T")


class SingleProcess:
    """One process: it is rank 0 of 1, has the whole batch, and agrees with itself."""

    rank, world_size = 0, 1

    # How long to wait for another process that decodes the same recordings: such a process does not
    # belong to this run.
    wait_seconds = 0.0

    def device(self, name: str) -> torch.device:
        """Where this process trains. Raises RunError for a device that is not there."""
        return pick_device(name)

    def shard(self, function: Callable[..., T]) -> Callable[..., T]:
        """`function`, which takes `rank` and `ranks`, for this rank's shard of the work."""
        return function

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """The model to compute with: its backward pass leaves the mean of all ranks' gradients."""
        return model

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, gradients of a wrapped model add up on this rank alone."""
        return nullcontext()

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

    def broadcast_from_rank0(
        self,
        function: Callable[[], T],
        pack: Callable[[T], bytes] | None = None,
        unpack: Callable[[bytes], T] = json.loads,
    ) -> T:
        """What `function` returns on rank 0, for all ranks.

        It travels as JSON unless `pack` and `unpack` say how. A WavenetError in `function` ends all
        ranks, and is reported once.
        """
        return function()

    def run_on_all_ranks(self, function: Callable[[], T]) -> T:
        """Run `function` on every rank.

        A WavenetError on any of them ends all, and is reported once, with the name of its process.
        """
        return function()

    def on_each_machine(self, function: Callable[[], T]) -> T:
        """As `run_on_all_ranks`, but one process of each machine runs before the others there."""
        return function()

    def require_equal_on_all_ranks(
        self, value: object, error: Callable[[str], WavenetError]
    ) -> None:
        """Raise `error(name of a process)` when that process has another value than rank 0.

        JSON must be able to hold the value.
        """

    def translate_peer_loss(self) -> AbstractContextManager[None]:
        """Inside, an exchange that fails because a process ended raises LostProcessError.

        The error names the process.
        """
        return nullcontext()


class ProcessGroup(SingleProcess):
    """One of several processes. Raises RunError when the others do not come."""

    # Several machines may share a folder of decoded recordings, so a process waits for the one that
    # decodes without limit.
    wait_seconds = -1.0

    def __init__(self) -> None:
        store, self.rank, self.world_size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        self._local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self._local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.world_size))
        store, self._hosts = _rendezvous(store, self.rank, self.world_size)
        self._heartbeat = Heartbeat(store, self.rank, self.world_size)
        distributed.init_process_group(
            "gloo", store=store, rank=self.rank, world_size=self.world_size, timeout=WAIT
        )
        # The group of the exchanges in a step: None is gloo's default group; on GPUs `wrap_ddp`
        # sets one of NCCL's.
        self._group: Any = None
        self._conditions: list[Callable[[], bool]] = []
        self._votes: list[bool] = []
        # Set once this process is about to end and says why itself: the watchdog then leaves it
        # alone.
        self._leaving = threading.Event()
        signals, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        threading.Thread(
            target=self._watchdog, args=(signals,), name="watchdog", daemon=True
        ).start()
        if _in_main_thread():
            # Python writes a byte for each signal, even while the main thread is stuck in an
            # exchange and runs no handler.
            signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)

    def name(self, rank: int) -> str:
        """What messages call the process of a rank."""
        return f"process {rank} of {self.world_size} ({self._hosts[rank]})"

    def device(self, name: str) -> torch.device:
        if name not in ("auto", "cuda", "cpu"):
            raise RunError(
                f"--device {name}: {self.world_size} processes take auto, cpu or cuda, "
                "which gives each a GPU of its own"
            )
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        gpus = torch.cuda.device_count()
        if 0 < gpus <= self._local_rank:
            raise RunError(
                f"--device {name}: {self._local_world_size} processes for {gpus} GPUs; "
                f"start torchrun with --nproc-per-node {gpus}"
            )
        device = pick_device(f"cuda:{self._local_rank}")
        torch.cuda.set_device(device)
        return device

    def shard(self, function: Callable[..., T]) -> Callable[..., T]:
        return partial(function, rank=self.rank, ranks=self.world_size)

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        if next(model.parameters()).device.type == "cuda":
            self._group = distributed.new_group(backend="nccl", timeout=GPU_WAIT)
        return DistributedDataParallel(
            model, process_group=self._group, gradient_as_bucket_view=True
        )

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        assert isinstance(model, DistributedDataParallel)
        return model.no_sync()

    def all_reduce_loss(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        # The votes travel with the loss, so that agreeing costs no exchange of its own.
        votes = loss.new_tensor([condition() for condition in self._conditions])
        payload = torch.cat([loss[None], votes])  # (1 + conditions,)
        distributed.all_reduce(payload, group=self._group)
        total_loss, *votes_for, gradient_norm = torch.cat([payload, norm[None]]).tolist()
        self._votes = [count > 0 for count in votes_for]
        return total_loss / self.world_size, gradient_norm

    def any_rank(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        self._conditions.append(condition)
        self._votes.append(False)
        return partial(lambda i: self._votes[i], len(self._conditions) - 1)

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return tuple(sums.tolist())

    def broadcast_from_rank0(
        self,
        function: Callable[[], T],
        pack: Callable[[T], bytes] | None = None,
        unpack: Callable[[bytes], T] = json.loads,
    ) -> T:
        result = self.run_on_all_ranks(function if self.rank == 0 else _nothing)
        payload = _byte_tensor((pack or _as_json)(result) if self.rank == 0 else b"")
        size = torch.tensor([len(payload)])
        distributed.broadcast(size, 0)
        if self.rank != 0:
            payload = torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(payload, 0)
        return result if self.rank == 0 else unpack(payload.numpy().tobytes())

    def run_on_all_ranks(self, function: Callable[[], T]) -> T:
        error = result = None
        try:
            result = function()
        except WavenetError as e:
            error = e
        failed = self._all_gather(error is not None)
        if not any(failed):
            return result  # type: ignore[return-value]
        # Of several ranks that failed the first one reports.
        if error is None or failed.index(True) != self.rank:
            raise AlreadyReportedError("another process says what is wrong")
        raise error if self.rank == 0 else type(error)(f"{self.name(self.rank)}: {error}")

    def on_each_machine(self, function: Callable[[], T]) -> T:
        first: Any = self.run_on_all_ranks(function if self._local_rank == 0 else _nothing)
        other: Any = self.run_on_all_ranks(function if self._local_rank != 0 else _nothing)
        return other if self._local_rank else first  # type: ignore[no-any-return]

    def require_equal_on_all_ranks(
        self, value: object, error: Callable[[str], WavenetError]
    ) -> None:
        values = self._all_gather(value)
        for rank, other in enumerate(values):
            if other == values[0]:
                continue
            if self.rank == 0:
                raise error(self.name(rank))
            raise AlreadyReportedError("another process says what is wrong")

    @contextmanager
    def translate_peer_loss(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as e:
            self._leaving.set()
            if _in_main_thread():
                # torchrun sends a SIGTERM for the same reason, and it must not come before this
                # process's last word.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if lost := self._peer_loss():
                raise lost from e
            raise

    def close(self) -> None:
        """End the group after a success, on all ranks together."""
        self.run_on_all_ranks(_nothing)
        # From here on a process that ends is not missed.
        self._leaving.set()
        if _in_main_thread():
            signal.set_wakeup_fd(-1)
        self._alarm.close()
        self._heartbeat.close()
        distributed.destroy_process_group()

    def announce_failure(self) -> None:
        """Let the other ranks know that this process ends with an error which it reports itself."""
        try:
            self._heartbeat.announce_exit()
        except RuntimeError:
            # torchrun has ended: there is nobody to let know.
            return

    def _watchdog(self, signals: socket.socket) -> None:
        """End this process when it still waits for one that has ended, some time after a signal.

        An exchange between GPUs does not fail when one of its processes has ended, and lets no
        handler of a signal run.
        """
        # `recv` returns nothing once the other end is closed.
        while signals.recv(1):
            time.sleep(STUCK_SECONDS)
            if self._leaving.is_set():
                continue
            lost = self._peer_loss()
            if lost is None:
                continue
            if isinstance(lost, LostProcessError):
                # The main thread is stuck, so the message is written from here.
                os.write(2, f"\nwavenet: {lost}. Go on with the same command\n".encode())
            os._exit(1)

    def _peer_loss(self) -> WavenetError | None:
        """Why an exchange failed, naming the processes that ended; None when all are there."""
        try:
            ended = self._heartbeat.ended()
            if not ended:
                return None
            if self._heartbeat.announced_exit(ended) or not self._heartbeat.is_reporter():
                return AlreadyReportedError("another process says what is wrong")
        except RuntimeError:
            return LostProcessError("torchrun has ended, on the machine of process 0 at least")
        return LostProcessError(" and ".join(map(self.name, ended)) + " ended")

    def _all_gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank.

        It travels as JSON: nothing is pickled, not even between processes.
        """
        own = _byte_tensor(_as_json(value))
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
        distributed.all_gather(sizes, torch.tensor([len(own)]))
        longest = max(map(int, sizes))
        payloads = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.world_size)]
        distributed.all_gather(payloads, nn.functional.pad(own, (0, longest - len(own))))
        return [
            json.loads(payload.numpy()[: int(size)].tobytes())
            for payload, size in zip(payloads, sizes, strict=True)
        ]


@contextmanager
def joined() -> Iterator[SingleProcess]:
    """All processes that torchrun started, or this one alone.

    Raises RunError when some do not come.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        yield SingleProcess()
        return
    processes = ProcessGroup()
    try:
        with processes.translate_peer_loss():
            yield processes
            processes.close()
    except (LostProcessError, AlreadyReportedError):
        raise
    except BaseException:
        processes.announce_failure()
        raise


def _rendezvous(store: Any, rank: int, world_size: int) -> tuple[Any, list[str]]:
    """A part of the store for this start alone, and the machines of all ranks.

    Raises RunError when some do not come.

    torchrun keeps one store through all restarts, and its machines count these differently. So each
    process leaves a word of its own in the store, and rank 0, which numbers the starts, answers
    every word that it sees with the number of its start. Its answers to words that earlier
    processes left reach nobody.
    """
    host, deadline = socket.gethostname(), time.monotonic() + 60 * JOIN_MINUTES
    word = f"{host} {os.getpid()} {time.time_ns()}"
    start = str(store.add("wavenet/starts", 1)) if rank == 0 else ""
    own_store = None
    missing = [0]
    store.set(f"wavenet/word/{rank}", word)
    while missing:
        if rank == 0:
            for r in range(world_size):
                word_key = f"wavenet/word/{r}"
                if store.check([word_key]):
                    store.set(f"wavenet/answer/{store.get(word_key).decode()}", start)
        elif not start:
            answer_key = f"wavenet/answer/{word}"
            if store.check([answer_key]):
                start = store.get(answer_key).decode()
        if start and own_store is None:
            own_store = distributed.PrefixStore(f"wavenet/start/{start}", store)  # type: ignore[attr-defined]
            own_store.set(f"host/{rank}", host)
        if own_store is not None:
            missing = [r for r in range(world_size) if not own_store.check([f"host/{r}"])]
        if missing and time.monotonic() > deadline:
            raise RunError(
                f"process {', '.join(map(str, missing))} of {world_size} "
                f"did not come within {JOIN_MINUTES:g} minutes"
            )
        time.sleep(0.05 if missing else 0)
    assert own_store is not None
    return own_store, [own_store.get(f"host/{r}").decode() for r in range(world_size)]


def _in_main_thread() -> bool:
    """Whether this is the main thread: Python lets no other set up signals."""
    return threading.current_thread() is threading.main_thread()


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _byte_tensor(data: bytes) -> Tensor:
    # torch.frombuffer refuses an empty buffer.
    if not data:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)  # (len(data),)


def _nothing() -> Any:
    return None
