"""What training reports, and to whom: the terminal, TensorBoard, a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavenet.data.corpus import Corpus
from wavenet.model.checkpoint import Training
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer


class TrainingListener:
    """Is called as a session of training goes on, on rank 0.

    Every method may be overridden; by default nothing happens.
    """

    def note(self, text: str) -> None: ...
    def indexing(self, done: int, total: int) -> None: ...
    def resumed(self, trainer: Trainer, run: Run, before: Training) -> None: ...
    def prepared(self, run: Run, corpus: Corpus) -> None: ...
    def nothing_left(self, trainer: Trainer, run: Run, until: int) -> None: ...
    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None: ...
    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None: ...
    def stepped(self, trainer: Trainer, bits: float) -> None: ...
    def logged(self, metrics: dict[str, Any]) -> None: ...
    def evaluated(self, trainer: Trainer, sample: Path | None) -> None: ...
    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None: ...


def to_all(listeners: Sequence[TrainingListener]) -> TrainingListener:
    """One listener that passes every call on to all of them, in order."""
    every = TrainingListener()

    def passed_on(event: str) -> Any:
        return lambda *values: [getattr(listener, event)(*values) for listener in listeners]

    # Whatever is an event of a listener is one here: none can be forgotten.
    for event in vars(TrainingListener):
        if not event.startswith("_"):
            setattr(every, event, passed_on(event))
    return every
