"""What users of the library are told while something takes long. Commands print lines of their own.

A line goes to the logger `wavenet` at level INFO. Where logging is left as Python has it, it is
shown on standard error instead, if a person is there to read it: in a REPL, a notebook or a
terminal. `logging.getLogger("wavenet").setLevel("ERROR")` silences it.
"""

import logging
import sys

LOGGER = logging.getLogger("wavenet")


def tell(line: str) -> None:
    """Log a line, or show it to a person."""
    if LOGGER.isEnabledFor(logging.INFO):
        LOGGER.info(line)
    elif LOGGER.level == logging.NOTSET and sys.stderr and _is_interactive():
        sys.stderr.write(f"wavenet: {line}\n")
        sys.stderr.flush()


def _is_interactive() -> bool:
    # Of REPLs, IPython and notebooks.
    return hasattr(sys, "ps1") or sys.stderr.isatty()
