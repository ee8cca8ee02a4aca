"""Whether sharing the work between threads pays at present: on a busy machine waiting for each other costs more than it brings.

Both ways give the same samples, so both are simply tried now and then, briefly, and the faster one does the rest.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

TRIAL = 64  # steps
STRETCH = 1024  # steps between looks at the clock
PATIENCE = 24  # stretches until the slower way gets another chance


class Pace:
    def __init__(self) -> None:
        self.seconds = {True: math.nan, False: math.nan}  # per step when last measured, shared and not
        self.waited = 0

    def next(self, steps: int) -> tuple[int, bool]:
        """How many of the next steps to do at once, and whether to share them."""
        faster = self.seconds[True] < self.seconds[False]  # not as long as one is unknown
        if steps < TRIAL:
            return steps, faster
        for shared, seconds in self.seconds.items():
            if math.isnan(seconds):
                return TRIAL, shared
        self.waited += 1
        if self.waited > PATIENCE:
            self.waited = 0
            return TRIAL, not faster
        return min(steps, STRETCH), faster

    @contextmanager
    def measuring(self, steps: int, shared: bool) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if steps >= TRIAL:  # a few steps say more about the call than about the loop
            self.seconds[shared] = (time.perf_counter() - started) / steps
