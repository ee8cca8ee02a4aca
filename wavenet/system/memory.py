"""What becomes of the memory that a process frees."""

import ctypes

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# The largest that it takes, in bytes.
_MOST_TRIMMED, _MOST_MAPPED = 2**31 - 1, 2**25


def keep_freed_memory() -> None:
    """Keep what is freed for what is allocated next, instead of giving it back to the system.

    A training step frees what the next one allocates, and memory that was given back is filled with
    zeros again, page by page, before a process may use it. Does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    # What is larger is never kept.
    mallopt(_MMAP_THRESHOLD, _MOST_MAPPED)
    mallopt(_TRIM_THRESHOLD, _MOST_TRIMMED)
