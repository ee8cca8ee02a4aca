"""What the command line calls each parameter of the library: `out` is --out, `model` is MODEL."""

import re
from collections.abc import Iterable
from typing import Any

# Once a command line is in use.
_OPTIONS: dict[str, str] = {}


def learn(parameters: Iterable[Any]) -> None:
    """Take the names from the parameters of commands."""
    for parameter in parameters:
        option = max(parameter.opts, key=len)
        name = option.lstrip("-").replace("-", "_")
        _OPTIONS[name] = option if option.startswith("-") else option.upper()


def with_options(text: str) -> str:
    """The text with options and arguments of the commands for the parameters in backticks."""
    return re.sub("`([a-z_]+)`", lambda match: _OPTIONS.get(match[1], match[0]), text)
