"""One computation in several threads, which a compiled kernel lets wait for each other."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np

from wavenet.simd.counts import FLAG


def run_in_threads(
    kernel: Callable[..., Any], threads: int, written: Sequence[Any], *arguments: Any
) -> None:
    """Call a kernel in threads that wait for each other in it; this one is the first.

    It is called with the arguments, its flags (see `counts`), the thread's number, and how many
    there are. `written` are kept alive meanwhile, since arguments may hold their addresses.
    """
    flags = np.zeros((threads + 1) * FLAG, np.int64)
    stop = flags[threads * FLAG :]

    def run(thread: int, _alive: Sequence[Any] = written) -> None:
        try:
            kernel(*arguments, flags, thread, threads)
        except BaseException:
            # The others would wait for ever.
            stop[0] = 1
            raise

    others: list[Future[None]] = []
    try:
        for thread in range(1, threads):
            others.append(_pool().submit(run, thread))
        run(0)
    except BaseException:
        stop[0] = 1
        raise
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that are started as they are needed: none waits for another call's to end."""
    return ThreadPoolExecutor(1024, "wavenet-kernel")


if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
