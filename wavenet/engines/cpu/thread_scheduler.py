"""Whether sharing the work between threads pays at present: on a busy machine waiting for each other costs more than it brings.

Both ways give the same samples, so both are simply tried, briefly and now and then, and the faster one does the rest. A way that loses
again is tried half as often, until it wins. Sharing is looked at for a few steps first: where other programs hold the cores, every
step waits for a turn of theirs, and even a short trial would take long.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

FEWEST = 16  # steps worth timing: fewer say more about the call than about the loop
LOOK = 4  # steps of a look
HOPELESS, CALL = (
    3,
    0.001,
)  # a look may take so many times as long as working alone, and so many seconds besides to begin with
TRIAL, STRETCH = (
    0.004,
    0.015,
)  # seconds that a trial should take, and the work between two looks at the clock
SOONEST, LATEST = 0.25, 4.0  # seconds of work between trials


class ThreadScheduler:
    def __init__(self) -> None:
        self.seconds = {
            False: math.nan,
            True: math.nan,
        }  # per step when last measured, alone and shared
        self.worked, self.patience = 0.0, SOONEST
        self._kind = ""  # of what was last asked for: "look", "trial" or ""

    @property
    def faster(self) -> bool:
        """Whether to share; not as long as one of the two is unknown."""
        return self.seconds[True] < self.seconds[False]

    def next(self, steps: int) -> tuple[int, bool]:
        """How many of the next steps to do at once, and whether to share them."""
        looked, self._kind = self._kind == "look", ""
        if steps < FEWEST:
            return steps, self.faster
        if math.isnan(self.seconds[False]):
            return min(steps, 4 * FEWEST), False
        if not (looked or self.worked > self.patience or math.isnan(self.seconds[True])):
            return min(steps, self._in(STRETCH)), self.faster
        shared = looked or not self.faster
        self._kind = "look" if shared and not looked else "trial"
        return LOOK if self._kind == "look" else min(steps, self._in(TRIAL)), shared

    def _in(self, seconds: float) -> int:
        return max(FEWEST, round(seconds / min(self.seconds.values())))

    @contextmanager
    def measuring(self, steps: int, shared: bool) -> Iterator[None]:
        started = time.perf_counter()
        yield
        passed = time.perf_counter() - started
        self.worked += passed
        if self._kind == "look":
            if passed < HOPELESS * LOOK * self.seconds[False] + CALL:
                return  # worth a trial
            self._kind, self.seconds[True] = "trial", passed / steps
        elif steps >= FEWEST:
            self.seconds[shared] = passed / steps
        if self._kind == "trial":
            self.worked, self.patience = 0.0, min(LATEST, 2 * self.patience)
            self._kind = ""
        elif shared and self.faster:
            self.patience = SOONEST  # it has proved itself for more than a trial
