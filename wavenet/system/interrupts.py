"""Ctrl-C and SIGTERM: as the end of a program that still starts, and later as a question.

Long work asks that question between its steps.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE = b"wavenet: interrupted\n"
# The last signal that `interrupts` noticed, 0 for none.
received = 0


def end_at_once() -> None:
    """Until `raise_exceptions`, let Ctrl-C end this process with a line and status 130.

    While modules are imported there is nothing to lose, and an exception would: some libraries
    catch it and go on, and others, half-imported, crash.
    """
    # Who started this in the background may have had it ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    os.write(2, LINE)
    os._exit(128 + signal.SIGINT)


def raise_exceptions() -> None:
    """From here on there is work that wants to be tidied up: Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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

    def ask(number: int, *_: object) -> None:
        global received
        received = number
        asked.set()
        restore()

    for number in previous:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        restore()
