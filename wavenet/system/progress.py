"""One look for every progress bar, redrawn seldom where the output is a file."""

import os
import sys
import weakref
from typing import Any, TextIO

from tqdm import tqdm

LAYOUT = (
    "{desc}{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
)
LAYOUT_WITHOUT_COUNT = "{percentage:3.0f}% |{bar:24}| {remaining} left{postfix}"


def bar(total: int, *, layout: str = LAYOUT, aside: bool = False, **options: Any) -> "tqdm[Any]":
    """A progress bar on standard error; call `set_postfix_str(..., refresh=False)` before `update`.

    With `aside` it shows while decoders are silenced, too, which sends standard error to nowhere.
    """
    there: TextIO | None = sys.stderr  # not after `2>&-`
    interval = 0.2 if there and there.isatty() else 15.0
    often: Any = {"mininterval": interval, "maxinterval": interval}
    own = _second_handle(there) if aside and there else None
    shown = tqdm(
        total=total,
        bar_format=layout,
        disable=not there,
        dynamic_ncols=True,
        file=own or there,
        **often,
        **options,
    )
    if own:
        weakref.finalize(shown, own.close)
    return shown


def _second_handle(stderr: TextIO) -> TextIO | None:
    """A file of its own on what standard error is now; None where that is no file of the process."""
    try:
        return (
            open(os.dup(2), "w", encoding=stderr.encoding, errors=stderr.errors)
            if stderr.fileno() == 2
            else None
        )
    except (OSError, ValueError):
        return None
