"""One look for every progress bar, redrawn seldom where the output is a file."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

LAYOUT = "{desc}{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
LAYOUT_WITHOUT_COUNT = "{percentage:3.0f}% |{bar:24}| {remaining} left{postfix}"


def bar(total: int, *, layout: str = LAYOUT, **options: Any) -> "tqdm[Any]":
    """A progress bar on standard error; call `set_postfix_str(..., refresh=False)` before `update`."""
    there: TextIO | None = sys.stderr  # not after `2>&-`
    interval = 0.2 if there and there.isatty() else 15.0
    often: Any = {"mininterval": interval, "maxinterval": interval}
    return tqdm(total=total, bar_format=layout, disable=not there, dynamic_ncols=True, **often, **options)
