"""The processes that train one model together, as torchrun starts them. Without it there is one, with nobody to agree with.

Every process runs the same lines; what only one may do, all do differently, or all must know goes through a `Processes`. Data lie
the same way everywhere: process r of n computes windows r, r + n, ... of each batch, gradients are averaged by torch's
DistributedDataParallel, and rank 0 alone writes and speaks.
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
WAIT = timedelta(
    days=1
)  # for one that reads recordings: one that ends is noticed at once, by its connections
GPU_WAIT = timedelta(minutes=30)  # inside an exchange between GPUs, where nothing else tells
STUCK_SECONDS = 8.0  # after a signal; torchrun waits for 30 before it kills
T = TypeVar("T")


class SingleProcess:
    """One process: it is the first, has the whole batch, and agrees with itself."""

    rank, world_size = 0, 1
    wait_seconds = 0.0  # for another process that decodes the same recordings: it is none of ours

    def device(self, name: str) -> torch.device:
        """Where this process trains. Raises RunError for what is not there."""
        return pick_device(name)

    def shard(self, make: Callable[..., T]) -> Callable[..., T]:
        """`make`, which takes `rank` and `ranks`, for this process's part of the work."""
        return make

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """The model to compute with: its backward pass leaves the mean of all processes' gradients."""
        return model

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, gradients of a wrapped model add up in this process alone."""
        return nullcontext()

    def all_reduce_loss(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        """Mean loss of all processes, and the gradient's norm. Here a step waits for the device, in fp32 and bf16 the only time."""
        nats, length = torch.stack([loss, norm]).tolist()
        return nats, length

    def any_rank(self, wish: Callable[[], bool]) -> Callable[[], bool]:
        """The wish of any process, as all knew it when the last step settled."""
        return wish

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        """Each value's sum over all processes."""
        return values

    def broadcast_from_rank0(
        self,
        make: Callable[[], T],
        pack: Callable[[T], bytes] | None = None,
        unpack: Callable[[bytes], T] = json.loads,
    ) -> T:
        """What `make` returns on the first process, for all. A WavenetError in it ends all, and is told once.

        It travels as JSON unless `pack` and `unpack` say how.
        """
        return make()

    def run_on_all_ranks(self, make: Callable[[], T]) -> T:
        """Run `make` on every process. A WavenetError in any ends all, and is told once, with the process's name."""
        return make()

    def on_each_machine(self, make: Callable[[], T]) -> T:
        """As `all`, one process of each machine before the others there."""
        return make()

    def require_equal_on_all_ranks(
        self, value: object, error: Callable[[str], WavenetError]
    ) -> None:
        """Raise `error(name of a process)` when that process has another value, which JSON can hold, than the first one."""

    def translate_peer_loss(self) -> AbstractContextManager[None]:
        """Inside, an exchange that fails because a process ended raises LostProcessError with its name."""
        return nullcontext()


class ProcessGroup(SingleProcess):
    """One of several processes. Raises RunError when the others do not come."""

    wait_seconds = -1.0  # machines may share a folder of decoded recordings: for ever

    def __init__(self) -> None:
        store, self.rank, self.world_size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        self._local = int(os.environ.get("LOCAL_RANK", self.rank))
        self._neighbours = int(
            os.environ.get("LOCAL_WORLD_SIZE", self.world_size)
        )  # processes on this machine
        store, self._hosts = _rendezvous(store, self.rank, self.world_size)
        self._roll = Heartbeat(store, self.rank, self.world_size)
        distributed.init_process_group(
            "gloo", store=store, rank=self.rank, world_size=self.world_size, timeout=WAIT
        )
        self._group: Any = None  # of the exchanges in a step: gloo's, or on GPUs one of NCCL's
        self._wishes: list[Callable[[], bool]] = []
        self._heard: list[bool] = []
        self._speaking = threading.Event()
        signals, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        threading.Thread(target=self._stuck, args=(signals,), name="stuck", daemon=True).start()
        if _in_main_thread():
            signal.set_wakeup_fd(
                self._alarm.fileno(), warn_on_full_buffer=False
            )  # a byte for each signal, wherever that thread is

    def name(self, rank: int) -> str:
        return f"process {rank} of {self.world_size} ({self._hosts[rank]})"

    def device(self, name: str) -> torch.device:
        if name not in ("auto", "cuda", "cpu"):
            raise RunError(
                f"--device {name}: {self.world_size} processes take auto, cpu or cuda, which gives each a GPU of its own"
            )
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if self._local >= (there := torch.cuda.device_count()) > 0:
            raise RunError(
                f"--device {name}: {self._neighbours} processes for {there} GPUs; start torchrun with --nproc-per-node {there}"
            )
        device = pick_device(f"cuda:{self._local}")
        torch.cuda.set_device(device)
        return device

    def shard(self, make: Callable[..., T]) -> Callable[..., T]:
        return partial(make, rank=self.rank, ranks=self.world_size)

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
        told = torch.cat([loss[None], loss.new_tensor([wish() for wish in self._wishes])])
        distributed.all_reduce(told, group=self._group)
        nats, *heard, length = torch.cat([told, norm[None]]).tolist()
        self._heard = [wished > 0 for wished in heard]
        return nats / self.world_size, length

    def any_rank(self, wish: Callable[[], bool]) -> Callable[[], bool]:
        self._wishes.append(wish)
        self._heard.append(False)
        return partial(lambda i: self._heard[i], len(self._wishes) - 1)

    def all_reduce_sum(self, *values: float) -> tuple[float, ...]:
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return tuple(sums.tolist())

    def broadcast_from_rank0(
        self,
        make: Callable[[], T],
        pack: Callable[[T], bytes] | None = None,
        unpack: Callable[[bytes], T] = json.loads,
    ) -> T:
        made = self.run_on_all_ranks(make if self.rank == 0 else _nothing)
        sent = _bytes((pack or _as_json)(made) if self.rank == 0 else b"")
        size = torch.tensor([len(sent)])
        distributed.broadcast(size, 0)
        sent = sent if self.rank == 0 else torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(sent, 0)
        return made if self.rank == 0 else unpack(sent.numpy().tobytes())

    def run_on_all_ranks(self, make: Callable[[], T]) -> T:
        error = made = None
        try:
            made = make()
        except WavenetError as e:
            error = e
        failed = self._gathered(error is not None)
        if not any(failed):
            return made  # type: ignore[return-value]
        if error is None or failed.index(True) != self.rank:
            raise AlreadyReportedError("another process says what is wrong")
        raise error if self.rank == 0 else type(error)(f"{self.name(self.rank)}: {error}")

    def on_each_machine(self, make: Callable[[], T]) -> T:
        ahead: Any = self.run_on_all_ranks(make if self._local == 0 else _nothing)
        after: Any = self.run_on_all_ranks(make if self._local != 0 else _nothing)
        return after if self._local else ahead  # type: ignore[no-any-return]

    def require_equal_on_all_ranks(
        self, value: object, error: Callable[[str], WavenetError]
    ) -> None:
        found = self._gathered(value)
        for rank, other in enumerate(found):
            if other != found[0]:
                raise (
                    error(self.name(rank))
                    if self.rank == 0
                    else AlreadyReportedError("another process says what is wrong")
                )

    @contextmanager
    def translate_peer_loss(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as e:
            self._speaking.set()
            if _in_main_thread():
                signal.signal(
                    signal.SIGTERM, signal.SIG_IGN
                )  # torchrun's, for the same reason, must not come before the last word
            if lost := self._lost():
                raise lost from e
            raise

    def close(self) -> None:
        """All together, at a good end."""
        self.run_on_all_ranks(_nothing)
        self._speaking.set()  # from here on a process that ends is not missed
        if _in_main_thread():
            signal.set_wakeup_fd(-1)
        self._alarm.close()
        self._roll.close()
        distributed.destroy_process_group()

    def announce_failure(self) -> None:
        """Alone, with an error that this process tells."""
        try:
            self._roll.speak()
        except RuntimeError:
            return  # torchrun has ended: there is nobody to let know

    def _stuck(self, signals: socket.socket) -> None:
        """For an exchange between GPUs, which does not end when a process of it has, and lets no handler of a signal run."""
        while signals.recv(1):  # until the other end is closed
            time.sleep(STUCK_SECONDS)
            if self._speaking.is_set() or (lost := self._lost()) is None:
                continue
            if isinstance(lost, LostProcessError):
                os.write(
                    2, f"\nwavenet: {lost}. Go on with the same command\n".encode()
                )  # nobody else in this process can
            os._exit(1)

    def _lost(self) -> WavenetError | None:
        """Why an exchange failed: who ended; None when all are there."""
        try:
            ended = self._roll.ended()
            if not ended:
                return None
            if self._roll.announced_exit(ended) or not self._roll.is_reporter():
                return AlreadyReportedError("another process says what is wrong")
        except RuntimeError:
            return LostProcessError("torchrun has ended, on the machine of process 0 at least")
        return LostProcessError(" and ".join(map(self.name, ended)) + " ended")

    def _gathered(self, value: Any) -> list[Any]:
        """Of every process a value that JSON can hold: nothing is pickled, not even between processes."""
        own = _bytes(_as_json(value))
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
        distributed.all_gather(sizes, torch.tensor([len(own)]))
        longest = max(map(int, sizes))
        found = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.world_size)]
        distributed.all_gather(found, nn.functional.pad(own, (0, longest - len(own))))
        return [
            json.loads(told.numpy()[: int(size)].tobytes())
            for told, size in zip(found, sizes, strict=True)
        ]


@contextmanager
def joined() -> Iterator[SingleProcess]:
    """All processes that torchrun started, or this one alone. Raises RunError when some do not come."""
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


def _rendezvous(store: Any, rank: int, count: int) -> tuple[Any, list[str]]:
    """A part of the store for this start alone, and the machines of all processes. Raises RunError when some do not come.

    torchrun keeps one store through all restarts, and its machines count these differently. So each process leaves a word of its own,
    and the first, which numbers the starts, answers every word that it finds; those that earlier processes left hear nothing any more.
    """
    host, until = socket.gethostname(), time.monotonic() + 60 * JOIN_MINUTES
    word = f"{host} {os.getpid()} {time.time_ns()}"
    start, own, missing = str(store.add("wavenet/starts", 1)) if rank == 0 else "", None, [0]
    store.set(f"wavenet/word/{rank}", word)
    while missing:
        if rank == 0:
            for key in (key for r in range(count) if store.check([key := f"wavenet/word/{r}"])):
                store.set(f"wavenet/answer/{store.get(key).decode()}", start)
        elif not start and store.check([answer := f"wavenet/answer/{word}"]):
            start = store.get(answer).decode()
        if start and own is None:
            own = distributed.PrefixStore(f"wavenet/start/{start}", store)  # type: ignore[attr-defined]
            own.set(f"host/{rank}", host)
        if own is not None:
            missing = [r for r in range(count) if not own.check([f"host/{r}"])]
        if missing and time.monotonic() > until:
            raise RunError(
                f"process {', '.join(map(str, missing))} of {count} did not come within {JOIN_MINUTES:g} minutes"
            )
        time.sleep(0.05 if missing else 0)
    assert own is not None
    return own, [own.get(f"host/{r}").decode() for r in range(count)]


def _in_main_thread() -> bool:
    """Where alone signals can be set up."""
    return threading.current_thread() is threading.main_thread()


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _bytes(data: bytes) -> Tensor:
    return (
        torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if data
        else torch.empty(0, dtype=torch.uint8)
    )


def _nothing() -> Any:
    return None
