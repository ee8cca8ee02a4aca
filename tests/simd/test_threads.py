"""Threads of one computation end together, whatever happens to one of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from wavenet.simd import threads
from wavenet.simd.counts import FLAG


def test_an_error_in_one_thread_ends_all_of_them() -> None:
    ended = []

    def kernel(flags: Any, thread: int, count: int) -> None:
        if thread == 1:
            raise OSError("full")
        while not flags[count * FLAG]:
            time.sleep(0.001)
        ended.append(thread)

    with pytest.raises(OSError, match="full"):
        threads.run_in_threads(kernel, 3, [])
    assert sorted(ended) == [0, 2]


def test_a_thread_that_cannot_start_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """They write into memory that the caller frees."""
    ended = []

    def kernel(flags: Any, thread: int, count: int) -> None:
        while not flags[count * FLAG]:
            time.sleep(0.001)
        time.sleep(0.1)
        ended.append(thread)

    class Full(ThreadPoolExecutor):
        def submit(self, run: Any, thread: int) -> Any:  # type: ignore[override]
            if thread == 2:
                raise RuntimeError("can't start new thread")
            return super().submit(run, thread)

    monkeypatch.setattr(threads, "_pool", lambda: Full(3))
    with pytest.raises(RuntimeError, match="can't start"):
        threads.run_in_threads(kernel, 3, [])
    assert ended == [1]
