"""Who of a run's processes is still there. Each counts up in the store that torchrun keeps; who has stopped counting has ended."""

import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

BEAT_SECONDS = 0.25
CALL_SECONDS = 3.0  # without a count: ended. Asked only once something has failed, so that nobody is given up for being slow
STORE_SECONDS = 10.0  # for an answer of the store


class Heartbeat:
    """Counts up from its making until `close`, in a thread of its own. `store` is torch's, which has no complete types."""

    def __init__(self, store: Any, rank: int, count: int) -> None:
        self._rank, self._count = rank, count
        self._store, beats = (
            store.clone(),
            store.clone(),
        )  # else a wait on one would keep the other waiting
        for each in (self._store, beats):
            each.set_timeout(timedelta(seconds=STORE_SECONDS))
        self._store.set(f"beat/{rank}", "0")
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(beats,), name="roll call", daemon=True
        )
        self._thread.start()

    def ended(self) -> list[int]:
        """Ranks that have ended without a word of their own. Takes some seconds. Raises RuntimeError when torchrun itself is gone."""
        others = [r for r in range(self._count) if r != self._rank]
        first, silent = self._beats(others), set(others)
        until = time.monotonic() + CALL_SECONDS
        while silent and time.monotonic() < until:
            time.sleep(BEAT_SECONDS)
            silent -= {r for r, beat in self._beats(silent).items() if beat != first[r]}
        return sorted(silent)

    def announced_exit(self, ranks: Iterable[int]) -> bool:
        """Whether one of these said itself why it ends: the others among them followed it."""
        return any(self._store.check([f"left/{r}"]) for r in ranks)

    def speak(self) -> None:
        """Let the others know that this process ends, and says why."""
        self._store.set(f"left/{self._rank}", "")

    def is_reporter(self) -> bool:
        """True for the first of all processes that asks: the one that tells the user."""
        return bool(self._store.add("told", 1) == 1)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _beats(self, ranks: Iterable[int]) -> dict[int, bytes]:
        return {
            r: self._store.get(key) if self._store.check([key := f"beat/{r}"]) else b""
            for r in ranks
        }

    def _beat(self, store: Any) -> None:
        count = 0
        while not self._over.wait(BEAT_SECONDS):
            count += 1
            try:
                store.set(f"beat/{self._rank}", str(count))
            except RuntimeError:  # torchrun has ended, and the store with it
                return
