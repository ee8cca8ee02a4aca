"""One look for every progress bar, redrawn seldom where the output is a file."""

import os
import sys
import weakref
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm

LAYOUT = (
    "{desc}{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
)
LAYOUT_WITHOUT_COUNT = "{percentage:3.0f}% |{bar:24}| {remaining} left{postfix}"
# Whether bars are shown at all.
shown = True


def bar(total: int, *, layout: str = LAYOUT, aside: bool = False, **options: Any) -> "tqdm[Any]":
    """A progress bar on standard error; call `set_postfix_str(..., refresh=False)` before `update`.

    With `aside` the bar has a handle of its own on standard error. It shows even while decoders are
    silenced, which redirects the process's handle to the null device.
    """
    # None after `2>&-`.
    stderr: TextIO | None = sys.stderr
    # Seconds between two redraws: few lines where the output is a file.
    interval = 0.2 if stderr and stderr.isatty() else 15.0
    own = _second_handle(stderr) if aside and stderr else None
    progress = tqdm(
        total=total,
        bar_format=layout,
        disable=not (stderr and shown),
        dynamic_ncols=True,
        file=_Shown(own or stderr) if stderr else None,
        mininterval=interval,
        maxinterval=interval,
        **options,
    )
    if own:
        weakref.finalize(progress, own.close)
    return progress


class _Shown:
    """A stream whose failing ends nothing, as that of a pipe that nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    # tqdm looks for bars on the stream that it is about to write to.
    def __eq__(self, other: object) -> bool:
        return self._stream == other

    __hash__ = None  # type: ignore[assignment]

    def write(self, text: str) -> None:
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
