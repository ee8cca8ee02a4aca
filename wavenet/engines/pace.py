"""Whether sharing the work between threads pays at present: on a busy machine waiting for each other costs more than it brings.

Both ways give the same samples, so both are simply tried, briefly and now and then, and the faster one does the rest. A way that loses
again is tried half as often, until it wins.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

FEWEST = 16  # steps worth timing: fewer say more about the call than about the loop
TRIAL, STRETCH = 0.004, 0.03  # seconds that a trial should take, and the work between two looks at the clock
SOONEST, LATEST = 0.25, 4.0  # seconds of work between trials


class Pace:
    def __init__(self) -> None:
        self.seconds = {True: math.nan, False: math.nan}  # per step when last measured, shared and not
        self.worked, self.patience = 0.0, SOONEST

    @property
    def faster(self) -> bool:
        """Whether to share; not as long as one of the two is unknown."""
        return self.seconds[True] < self.seconds[False]

    def next(self, steps: int) -> tuple[int, bool]:
        """How many of the next steps to do at once, and whether to share them."""
        if steps < FEWEST:
            return steps, self.faster
        for shared, seconds in self.seconds.items():
            if math.isnan(seconds):
                return min(steps, 4 * FEWEST), shared
        if self.worked > self.patience:
            self.worked, self.patience = 0.0, min(LATEST, 2 * self.patience)
            return min(steps, self._in(TRIAL)), not self.faster
        return min(steps, self._in(STRETCH)), self.faster

    def _in(self, seconds: float) -> int:
        return max(FEWEST, round(seconds / min(self.seconds.values())))

    @contextmanager
    def measuring(self, steps: int, shared: bool) -> Iterator[None]:
        started, before = time.perf_counter(), self.faster
        yield
        passed = time.perf_counter() - started
        self.worked += passed
        if steps >= FEWEST:
            self.seconds[shared] = passed / steps
        if self.faster != before:
            self.worked, self.patience = 0.0, SOONEST
