"""Whether several threads are faster than one at present, decided by timing both.

On a busy machine, threads that wait for each other cost more than they bring. Both ways give the
same samples, so both are simply tried, briefly and now and then, and the faster one does the rest.
A way that loses again is tried half as often, until it wins. A trial of several threads begins with
a probe of a few steps: where other programs hold the cores, every step waits until one of them
yields, and even a short trial would take long.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Fewer steps than this are not timed: they say more about the call than about the loop.
MIN_TIMED_STEPS = 16

# A probe passes if it takes at most this many times as long as one thread would, not counting the
# seconds that a first call may need to begin.
PROBE_STEPS = 4
PROBE_FACTOR, PROBE_OVERHEAD_SECONDS = 3, 0.001

# The time that a trial should take, and the work between two looks at the clock.
TRIAL_SECONDS, SEGMENT_SECONDS = 0.004, 0.015

# Seconds of work between trials. The first ones follow each other sooner: threads that have only
# just begun are slow once.
FIRST_TRIAL_INTERVAL, MIN_TRIAL_INTERVAL, MAX_TRIAL_INTERVAL = 0.03, 0.25, 4.0


class ThreadScheduler:
    """Chooses one thread or several for each segment of work, and times it.

    `seconds` per step, keyed by whether several threads did the work, are from the last measurement
    of each way. `seconds_since_trial` counts seconds of work, and the next trial comes when they
    exceed `trial_interval`.
    """

    def __init__(self) -> None:
        self.seconds = {False: math.nan, True: math.nan}
        # The first trial comes at once.
        self.seconds_since_trial, self.trial_interval = math.inf, FIRST_TRIAL_INTERVAL
        # What `next` asked for last: "probe", "trial" or "".
        self._kind = ""

    @property
    def parallel_is_faster(self) -> bool:
        """Whether several threads are faster; False as long as either way was not measured."""
        return self.seconds[True] < self.seconds[False]

    def next(self, steps: int) -> tuple[int, bool]:
        """How many of the next `steps` to do at once, and whether in several threads."""
        probed, self._kind = self._kind == "probe", ""
        if steps < MIN_TIMED_STEPS:
            return steps, self.parallel_is_faster
        if math.isnan(self.seconds[False]):
            return min(steps, 4 * MIN_TIMED_STEPS), False
        if not probed and self.seconds_since_trial <= self.trial_interval:
            return min(steps, self._steps_in(SEGMENT_SECONDS)), self.parallel_is_faster
        parallel = probed or not self.parallel_is_faster
        if parallel and not probed:
            self._kind = "probe"
            return PROBE_STEPS, parallel
        self._kind = "trial"
        return min(steps, self._steps_in(TRIAL_SECONDS)), parallel

    def _steps_in(self, seconds: float) -> int:
        """The number of steps that the faster way does in this time."""
        return max(MIN_TIMED_STEPS, round(seconds / min(self.seconds.values())))

    @contextmanager
    def measuring(self, steps: int, parallel: bool) -> Iterator[None]:
        """Time the work inside, which `next` asked for."""
        started = time.perf_counter()
        yield
        passed = time.perf_counter() - started
        self.seconds_since_trial += passed
        if self._kind == "probe":
            alone = PROBE_STEPS * self.seconds[False]
            if passed < PROBE_FACTOR * alone + PROBE_OVERHEAD_SECONDS:
                # A trial follows.
                return
            self._kind, self.seconds[True] = "trial", passed / steps
        elif steps >= MIN_TIMED_STEPS:
            self.seconds[parallel] = passed / steps
        if self._kind == "trial":
            self.seconds_since_trial = 0.0
            self.trial_interval = min(MAX_TRIAL_INTERVAL, 2 * self.trial_interval)
            self._kind = ""
        elif parallel and self.parallel_is_faster:
            # Several threads were faster in ordinary work too, so the next trial may come soon.
            self.trial_interval = MIN_TRIAL_INTERVAL
