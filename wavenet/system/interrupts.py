"""Ctrl-C and SIGTERM as a question that long work asks between its steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM (a cluster taking its machine back) came: the first finishes the step and saves, a second breaks off."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        asked.set()
        put_back()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        put_back()
