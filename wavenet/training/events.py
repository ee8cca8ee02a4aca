"""What training reports, and to whom: the terminal, TensorBoard, a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavenet.data.corpus import Corpus
from wavenet.errors import reason_of
from wavenet.model.checkpoint import Training
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer


class TrainingListener:
    """Is called as a session of training goes on, on rank 0.

    Every method may be overridden; by default nothing happens, and a warning is a note.
    """

    def note(self, text: str) -> None: ...
    def warning(self, text: str) -> None:
        self.note(f"warning: {text}")

    def indexing(self, done: int, total: int) -> None: ...
    def extracting(self, done: int, total: int) -> None: ...
    def resumed(self, trainer: Trainer, run: Run, before: Training) -> None: ...
    def prepared(self, run: Run, corpus: Corpus) -> None: ...
    def nothing_left(self, trainer: Trainer, run: Run, until: int) -> None: ...
    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None: ...
    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None: ...
    def stepped(self, trainer: Trainer, bits: float) -> None: ...
    def logged(self, metrics: dict[str, Any]) -> None: ...
    def evaluated(self, trainer: Trainer, sample: Path | None) -> None: ...
    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None: ...


class Display(TrainingListener):
    """A listener that only shows what happens: where it fails, training goes on."""

    name = "a display"  # in messages


def to_all(listeners: Sequence[TrainingListener]) -> TrainingListener:
    """One listener that passes every call on to all of them, in order.

    The first error of a `Display` is noted, and its others are not; another listener's error ends
    the training.
    """
    every = TrainingListener()
    failed: list[Display] = []

    def tell(listener: TrainingListener, event: str, values: Sequence[Any]) -> None:
        try:
            getattr(listener, event)(*values)
        except Exception as e:
            if not isinstance(listener, Display):
                raise
            if listener not in failed:
                # What failed may be its `note`.
                failed.append(listener)
                every.warning(f"{listener.name} failed ({reason_of(e)}); training goes on")

    def passed_on(event: str) -> Any:
        def tell_all(*values: Any) -> None:
            for listener in listeners:
                tell(listener, event, values)

        return tell_all

    # Whatever is an event of a listener is one here: none can be forgotten.
    for event in vars(TrainingListener):
        if not event.startswith("_"):
            setattr(every, event, passed_on(event))
    return every
