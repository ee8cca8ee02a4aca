"""Ctrl-C and SIGTERM as a question that long work asks between its steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C or SIGTERM only makes the function that this yields return True.

    Long work asks that function between its steps, and finishes and saves when it is True. A second
    signal acts as it did before, so it breaks the work off. A cluster sends SIGTERM before it takes
    its machine back.
    """
    asked = threading.Event()
    # Python lets the main thread alone handle signals.
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    previous = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        asked.set()
        restore()

    for number in previous:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        restore()
