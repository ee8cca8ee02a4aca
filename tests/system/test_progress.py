"""Progress bars never end the work that they show."""

import os
import sys
from io import StringIO

import pytest
from tqdm import tqdm

from wavenet.system.progress import bar


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
    terminal = StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with bar(2, unit="steps"):
        tqdm.write("a line", file=sys.stdout)
    # The bar is cleared first.
    assert "\ra line\n" in terminal.getvalue()
