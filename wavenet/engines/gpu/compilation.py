"""Tells the user that Triton compiles a kernel, which it does once and then keeps on disk."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from triton import knobs
from triton.runtime.cache import FileCacheManager

# Triton's settings belong to the whole process, so threads that change them take turns.
_turn = threading.RLock()


@contextmanager
def reporting(report: Callable[[str], object]) -> Iterator[None]:
    """Call `report` with a line when this thread begins to compile, and one with its duration.

    What comes from Triton's cache on disk is not compiled and not reported. The duration is that of
    all that happens inside from then on.
    """
    thread = threading.get_ident()
    started: list[float] = []
    with _turn, knobs.cache.scope():
        manager_class: Any = knobs.cache.manager_class or FileCacheManager

        class Watched(manager_class):  # type: ignore[misc]
            def get_group(self, filename: str) -> Any:
                """A kernel's files by name. Triton compiles one that has none."""
                group = super().get_group(filename)
                if not group and not started and threading.get_ident() == thread:
                    report("compiling the GPU kernel for this machine, once; some seconds")
                    started.append(time.monotonic())
                return group

        knobs.cache.manager_class = Watched
        yield
    if started:
        report(f"compiled in {time.monotonic() - started[0]:.1f} s")
