"""Which of a run's processes are still alive.

Each process counts up in the store that torchrun keeps; one that has stopped counting has ended.
"""

import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

BEAT_SECONDS = 0.25

# A process without a beat for so long has ended. This is looked at only once something has failed,
# so that nobody is given up for being slow.
SILENCE_SECONDS = 3.0

STORE_SECONDS = 10.0  # for an answer of the store


class Heartbeat:
    """Counts up from its construction until `close`, in a thread of its own.

    `store` is a torch.distributed.Store, for which torch has no complete types.
    """

    def __init__(self, store: Any, rank: int, world_size: int) -> None:
        self._rank, self._world_size = rank, world_size
        # A connection for each thread: while one waits for an answer, the other must not wait too.
        self._store, beats = store.clone(), store.clone()
        for connection in (self._store, beats):
            connection.set_timeout(timedelta(seconds=STORE_SECONDS))
        self._store.set(f"beat/{rank}", "0")
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(beats,), name="heartbeat", daemon=True
        )
        self._thread.start()

    def ended(self) -> list[int]:
        """Ranks that have ended. Takes up to `SILENCE_SECONDS`.

        Raises RuntimeError when torchrun itself has ended.
        """
        others = [r for r in range(self._world_size) if r != self._rank]
        first_beats, silent = self._last_beats(others), set(others)
        deadline = time.monotonic() + SILENCE_SECONDS
        while silent and time.monotonic() < deadline:
            time.sleep(BEAT_SECONDS)
            beats = self._last_beats(silent)
            silent -= {r for r, beat in beats.items() if beat != first_beats[r]}
        return sorted(silent)

    def announced_exit(self, ranks: Iterable[int]) -> bool:
        """Whether one of `ranks` said itself why it ends: the others among them followed it."""
        return any(self._store.check([f"left/{r}"]) for r in ranks)

    def announce_exit(self) -> None:
        """Let the other ranks know that this one ends, and reports the reason itself."""
        self._store.set(f"left/{self._rank}", "")

    def is_reporter(self) -> bool:
        """True for the first of all ranks that asks: the one that reports to the user."""
        return bool(self._store.add("reporter", 1) == 1)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _last_beats(self, ranks: Iterable[int]) -> dict[int, bytes]:
        """The last count of each rank; empty for one that has not begun."""
        beats = {}
        for r in ranks:
            key = f"beat/{r}"
            beats[r] = self._store.get(key) if self._store.check([key]) else b""
        return beats

    def _beat(self, store: Any) -> None:
        count = 0
        while not self._closed.wait(BEAT_SECONDS):
            count += 1
            try:
                store.set(f"beat/{self._rank}", str(count))
            except RuntimeError:
                # torchrun has ended, and the store with it.
                return
