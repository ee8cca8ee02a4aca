"""What only shows a training never ends it, nor changes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavenet.training.events import Display, TrainingListener, to_all
from wavenet.training.session import train


class Failing(Display):
    """A display that raises at every event but notes and warnings."""

    name = "the display"

    def __init__(self, error: BaseException) -> None:
        self.notes: list[str] = []

        def fail(*_: object) -> None:
            raise error

        for event in vars(TrainingListener):
            if not event.startswith("_") and event not in ("note", "warning"):
                setattr(self, event, fail)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_display_that_fails_is_noted_once_and_training_is_the_same(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    failing = Failing(OSError(28, "No space left on device"))

    def weights(name: str, *listeners: TrainingListener) -> dict[str, Any]:
        run = train(
            training_folder, config=str(config_file), out=tmp_path / name, listeners=listeners
        )
        latest = run.latest()
        assert latest is not None
        assert latest.training.step == 10
        return latest.arrays

    expected, found = weights("a"), weights("b", failing)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    line = "warning: the display failed (No space left on device); training goes on"
    assert failing.notes == [line]


def test_the_others_are_told_and_a_note_may_fail_too() -> None:
    heard: list[str] = []

    class Hearing(TrainingListener):
        def note(self, text: str) -> None:
            heard.append(text)

    def fail(_text: str) -> None:
        raise ValueError

    mute = Failing(ValueError())
    mute.note = fail  # type: ignore[method-assign]
    listener = to_all([mute, Hearing()])
    listener.note("hello")
    listener.logged({})
    assert sorted(heard) == [
        "hello",
        "warning: the display failed (ValueError); training goes on",
    ]


@pytest.mark.parametrize(
    ("make", "error"),
    [(Failing, KeyboardInterrupt()), (lambda _: Strict(), RuntimeError("on purpose"))],
    ids=["Ctrl-C", "a listener that is no display"],
)
def test_other_errors_end_the_training(
    make: Callable[[BaseException], TrainingListener], error: BaseException
) -> None:
    with pytest.raises(type(error)):
        to_all([make(error)]).logged({})


class Strict(TrainingListener):
    def logged(self, metrics: dict[str, Any]) -> None:
        raise RuntimeError("on purpose")
