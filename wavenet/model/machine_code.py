"""Whether networks can compute in machine code for CPUs."""

import importlib
from functools import cache


@cache
def available() -> bool:
    """Whether numba is there, which GPU machines need not have, and threads can wait."""
    try:
        importlib.import_module("wavenet.simd.threads")
    except ImportError:
        return False
    threads_can_wait: bool = importlib.import_module("wavenet.simd.counts").AVAILABLE
    return threads_can_wait
