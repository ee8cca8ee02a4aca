"""What users of the library are told while something takes long. Commands print lines of their own.

A line goes to the logger `wavenet`, at level INFO, or WARNING for what somebody should look into.
Where logging is left as Python has it, it is shown on standard error instead, if a person is there
to read it: in a REPL, a notebook or a terminal. Elsewhere Python shows warnings alone.
`logging.getLogger("wavenet").setLevel("ERROR")` silences all of it.
"""

import logging
import sys
from contextlib import AbstractContextManager, nullcontext

LOGGER = logging.getLogger("wavenet")


def tell(line: str, level: int = logging.INFO) -> None:
    """Log a line, or show it to a person."""
    shows = LOGGER.level == logging.NOTSET and _is_interactive()
    with _above_bars():
        if LOGGER.isEnabledFor(level) and (LOGGER.hasHandlers() or not shows):
            LOGGER.log(level, line)
        elif shows:
            sys.stderr.write(f"wavenet: {line}\n")
            sys.stderr.flush()


def warn(line: str) -> None:
    """Log a line as a warning, or show it to a person."""
    tell(line, logging.WARNING)


def _above_bars() -> AbstractContextManager[None]:
    """Inside, no progress bar stands on the line that is written; afterwards it is there again."""
    # Whoever has not imported it, or only begun to, shows no bar.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return tqdm.external_write_mode(file=sys.stderr) if tqdm else nullcontext()


def _is_interactive() -> bool:
    if not sys.stderr:
        return False
    # REPLs, IPython and notebooks have `ps1`; not all that stands in for a terminal has `isatty`.
    return hasattr(sys, "ps1") or bool(getattr(sys.stderr, "isatty", bool)())
