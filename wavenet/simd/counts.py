"""Counts in shared memory, by which threads of one computation wait for each other."""

import os
from typing import Any

from numba import types
from numba.extending import intrinsic

from wavenet.simd.writer import at, integer, nothing, subroutine

# Reads of a count, some 10 us, before the core is offered to other threads. A thread that never
# offered it would bring a busy machine to a crawl.
SPINS = 2000

# Whether this system offers what waiting threads need.
AVAILABLE = hasattr(os, "sched_yield")

# `threads.run_in_threads` gives a kernel a flag for each thread, in a cache line of its own, and
# behind them the one that says stop.
FLAG = 8

yield_core: Any = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def publish(typing, pointer, count):  # type: ignore[no-untyped-def]
    """Store a count that another thread waits for.

    A thread that reads it also sees everything written before it (release).
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        builder.store_atomic(values[1], values[0], "release", 8)
        return context.get_dummy_value()

    return nothing(types.CPointer(types.int64), integer), write


@intrinsic
def published(typing, pointer):  # type: ignore[no-untyped-def]
    """The count that another thread published last.

    All that the other thread wrote before it is visible from here on (acquire).
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.load_atomic(values[0], "acquire", 8)

    return integer(types.CPointer(types.int64)), write


@subroutine
def wait_for_all(flags, thread, threads, phase):  # type: ignore[no-untyped-def]
    """Publish that this thread has finished a phase, and wait until all have; False at STOP."""
    publish(at(flags, thread * FLAG), phase)
    for other in range(threads):
        spins = 0
        while published(at(flags, other * FLAG)) < phase:
            spins += 1
            if spins > SPINS:
                if published(at(flags, threads * FLAG)) != 0:
                    return False
                yield_core()
    return True
