"""The progress bars of a training."""

import math
import time
from pathlib import Path

from wavenet.arithmetic import ceil_div
from wavenet.system.progress import Progress, bar
from wavenet.training.events import Display
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer


class Smoothed:
    """An exponential moving average of the loss in bits per sample, unbiased from the first on."""

    decay = 0.9

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, bits: float) -> None:
        self._sum = self.decay * self._sum + (1 - self.decay) * bits
        self._weight = self.decay * self._weight + 1 - self.decay

    @property
    def mean(self) -> float:
        return self._sum / self._weight


class Bars(Display):
    """A bar for recordings that are read, one for those whose pitch is extracted, one for steps."""

    name = "the progress bar"

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._loss = Smoothed()
        # When this session began, and how many evaluations it has had.
        self._began, self._evaluations = 0.0, 0
        # Where this session began: the step, and the seconds trained before it.
        self._first_step, self._first_seconds = 0, 0.0

    def indexing(self, done: int, total: int) -> None:
        self._count(done, total, "reading ")

    def extracting(self, done: int, total: int) -> None:
        self._count(done, total, "pitch of ")

    def _count(self, done: int, total: int, what: str) -> None:
        if self._bar is None:
            self._bar = bar(total, desc=what, unit="recordings", leave=False, aside=True)
        self._bar.update(done - self._bar.n)
        if done == total:
            self.close()

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        self._first_step, self._first_seconds = trainer.step, trainer.seconds
        self._began = time.monotonic()
        self._bar = bar(until, unit="steps", initial=trainer.step)

    def stepped(self, trainer: Trainer, bits: float) -> None:
        assert self._bar is not None
        self._loss.add(bits)
        config, seconds = trainer.config, trainer.seconds - self._first_seconds
        steps = trainer.step - self._first_step
        rate = steps * config.train.batch * config.segment_samples / max(1e-9, seconds)
        loss = f"{self._loss.mean:.2f} of {math.log2(trainer.model.distribution.levels):g} bits"
        self._bar.set_postfix_str(f"{loss}, {rate / 1000:.1f}k samples/s", refresh=False)
        self._bar.total = trainer.last_step
        self._bar.remaining = self._seconds_left(trainer, seconds / steps)
        self._bar.update()

    def _seconds_left(self, trainer: Trainer, seconds_per_step: float) -> float:
        """Until the last step, with the evaluations until then as far as their length is known."""
        assert self._bar is not None
        last, every = trainer.last_step, trainer.config.train.evaluate_every
        left = (last - trainer.step) * seconds_per_step
        if self._evaluations:
            trained = trainer.seconds - self._first_seconds
            besides = time.monotonic() - self._began - trained
            to_come = ceil_div(last, every) - trainer.step // every
            left += to_come * besides / self._evaluations
        return left

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        self._evaluations += 1

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal or notebook tidy, whatever happened."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
