"""Progress bars never end the work that they show."""

import os
import sys
from io import StringIO

import pytest
from tqdm import tqdm

from wavenet.system import progress
from wavenet.system.progress import bar


class Terminal(StringIO):
    """Standard error as a terminal of some columns."""

    def __init__(self, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", self)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        """What stood on the line of the bar, one state after the other."""
        return [text.strip() for text in self.getvalue().split("\r") if text.strip()]


def run(columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every state of a bar of two steps with two more facts."""
    terminal = Terminal(columns, monkeypatch)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    with bar(20_000, unit="steps") as steps:
        for done in (10_000, 10_000):
            steps.set_postfix_str("7.98 of 8 bits, 20.9k samples/s", refresh=False)
            steps.remaining = 37403.0
            steps.update(done)
    return terminal.shown


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 120])
def test_a_bar_fits_the_terminal_and_ends_with_a_whole_fact(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = ["10,000 of 20,000 steps", "10:23:23 left", "7.98 of 8 bits", "20.9k samples/s"]
    states = run(columns, monkeypatch)
    assert all(len(state) <= columns - 3 for state in states), states
    half = next(state for state in states if state.startswith("50%"))
    shown = half.split("| ")[-1].removeprefix("50% ").split(", ")
    assert shown == facts[: len(shown)]
    assert len(shown) == {30: 1, 40: 1, 60: 2, 80: 4, 120: 4}[columns]
    assert states[-1].startswith("100%")
    assert "left" not in states[-1]


def test_a_terminal_without_utf_8_gets_a_bar_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "encoding", "ascii", raising=False)
    assert all(state.isascii() for state in run(80, monkeypatch))


@pytest.mark.parametrize("is_dumb", [False, True])
def test_a_log_gets_a_line_a_minute_and_the_last(
    is_dumb: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Terminal(80, monkeypatch) if is_dumb else StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setenv("TERM", "dumb")
    clock = iter(range(25, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    with bar(8, unit="steps", miniters=1) as steps:
        steps.mininterval = 0
        for _ in range(8):
            steps.update()
    lines = log.getvalue().splitlines()
    assert "\r" not in log.getvalue()
    assert [line.partition(",")[0] for line in lines] == ["38%", "75%", "100%"]
    assert lines[-1].startswith("100%, 8 of 8 steps, in ")


def test_a_bar_that_nobody_reads_any_more_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as dead:
        monkeypatch.setattr(sys, "stderr", dead)
        with bar(2, unit="steps") as progress:
            progress.update(2)
        assert progress.n == 2
        # What never reached the pipe would be written again when it is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_a_line_is_written_between_two_states_of_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(80, monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    with bar(2, unit="steps"):
        tqdm.write("a line", file=sys.stdout)
    # The bar is cleared first.
    assert "\ra line\n" in terminal.getvalue()
