"""One look for every progress bar, redrawn seldom where the output is a file."""

import sys
from typing import Any

from tqdm import tqdm

LAYOUT = "{desc}{percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
LAYOUT_WITHOUT_COUNT = "{percentage:3.0f}% |{bar:24}| {remaining} left{postfix}"


def bar(total: int, *, layout: str = LAYOUT, **options: Any) -> "tqdm[Any]":
    """A progress bar on standard error; call `set_postfix_str(..., refresh=False)` before `update`."""
    interval = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(total=total, bar_format=layout, mininterval=interval, maxinterval=interval, dynamic_ncols=True, **options)
