"""One look for every progress bar, which fits the terminal; in a log, a line a minute instead.

A notebook has the bar of a terminal, as text: it is kept in the file, and shown wherever that is.
"""

import os
import sys
import time
import weakref
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.std import Bar  # type: ignore[attr-defined]

from wavenet.system.notebooks import in_a_notebook
from wavenet.system.terminal_width import columns

# The widest bar, and the narrowest that is drawn.
MOST_COLUMNS, LEAST_COLUMNS = 24, 4
# Columns that stay free at the end of a terminal's line, for the ^C that it may show there.
SPARE_COLUMNS = 3
# Between two redraws, and between two lines of a log.
REDRAW_SECONDS, LOG_SECONDS = 0.2, 60.0
# Whether bars are shown at all.
shown = True


def bar(total: int, *, counted: bool = True, aside: bool = False, **options: Any) -> "Progress":
    """A progress bar on standard error; call `set_postfix_str(..., refresh=False)` before `update`.

    `counted` shows how many of the `total` there are. With `aside` the bar has a handle of its own
    on standard error. It shows even while decoders are silenced, which redirects the process's
    handle to the null device.
    """
    # None after `2>&-`.
    stderr: TextIO | None = sys.stderr
    is_terminal = bool(stderr and stderr.isatty() and os.environ.get("TERM") != "dumb")
    takes_lines_back = is_terminal or in_a_notebook()
    own = _second_handle(stderr) if aside and stderr else None
    interval = REDRAW_SECONDS if takes_lines_back else LOG_SECONDS
    progress = Progress(
        total=total,
        disable=not (stderr and shown),
        file=_Shown(own or stderr, not takes_lines_back) if stderr else None,
        mininterval=interval,
        maxinterval=interval,
        **options,
    )
    progress.counted, progress.in_log = counted, not takes_lines_back
    progress.refresh()
    if own:
        weakref.finalize(progress, own.close)
    return progress


class Progress(tqdm):  # type: ignore[type-arg]
    """A bar, or lines of a log.

    `remaining` is the time that is left, in seconds, where its user knows better than the rate so
    far tells.
    """

    counted = True
    # Until it is known where the bar goes, nothing is shown.
    in_log: bool | None = None
    remaining: float | None = None
    _logged = 0.0

    def __str__(self) -> str:
        total = self.total or 0
        done = self.n / total if total else 1.0
        head = f"{self.desc or ''}{100 * done:3.0f}%"
        facts = [f"{self.n:,} of {total:,} {self.unit}"] if self.counted else []
        if done >= 1:
            facts.append(f"in {self.format_interval(self.format_dict['elapsed'])}")
        elif (left := self._left(total)) is not None:
            facts.append(f"{self.format_interval(left)} left")
        facts += str(self.postfix).split(", ") if self.postfix else []
        if self.in_log:
            return ", ".join([head.strip(), *facts])
        room = (columns(self.fp) or 80) - SPARE_COLUMNS
        # The last is the least.
        while len(facts) > 1 and len(", ".join([head, *facts])) > room:
            facts.pop()
        text = ", ".join(facts)
        width = min(MOST_COLUMNS, room - len(head) - len(text) - len(" || "))
        if width < LEAST_COLUMNS:
            return f"{head} {text}"[: max(1, room)]
        glyphs = Bar.ASCII if self.ascii else Bar.UTF
        drawn = format(Bar(min(1.0, done), width, charset=glyphs))
        return f"{head} |{drawn}| {text}"

    def _left(self, total: float) -> float | None:
        """Seconds that are left, as far as is known."""
        if self.remaining is not None:
            return self.remaining
        rate = self.format_dict["rate"]
        elapsed: float = self.format_dict["elapsed"]
        rate = rate or ((self.n - self.initial) / elapsed if elapsed else 0.0)
        return (total - self.n) / rate if rate else None

    # In truth tqdm's returns whether it has shown something, and looks at that.
    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # type: ignore[override]
        if self.in_log is False:
            super().display(msg, pos)
        elif self.in_log:
            now = time.monotonic()
            self._logged = self._logged or now
            if msg is None and now - self._logged >= LOG_SECONDS:
                self._logged = now
                self._write_line()
        return True

    def _write_line(self) -> None:
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def clear(self, *args: Any, **options: Any) -> None:
        if self.in_log is False:
            super().clear(*args, **options)

    def close(self) -> None:
        if self.in_log and not self.disable:
            if self.leave and self.n > self.initial:
                self._write_line()
            self.leave = False
        super().close()


class _Shown:
    """A stream whose failing ends nothing, as that of a pipe that nobody reads any more."""

    def __init__(self, stream: TextIO, in_log: bool) -> None:
        self._stream = stream
        self._in_log = in_log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    # tqdm looks for bars on the stream that it is about to write to.
    def __eq__(self, other: object) -> bool:
        return self._stream == other

    __hash__ = None  # type: ignore[assignment]

    def write(self, text: str) -> None:
        # A log takes no line back.
        if not (self._in_log and text == "\r"):
            with suppress(OSError):
                self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _second_handle(stderr: TextIO) -> TextIO | None:
    """A file of its own on what standard error is now.

    None where `stderr` is not the process's standard error, as in a notebook.
    """
    try:
        if stderr.fileno() != 2:
            return None
        return open(os.dup(2), "w", encoding=stderr.encoding, errors=stderr.errors)
    except (OSError, ValueError):
        return None
