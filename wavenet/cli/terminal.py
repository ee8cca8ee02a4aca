"""How commands speak: results, status and warnings, in lines that fit the terminal; tables.

Results go to standard output. Status, which says what happens meanwhile, goes there too unless that
carries data, and not at all with --quiet. Warnings go to standard error. Where the output is no
terminal, lines are as long as they are, so that programs find them whole.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TextIO

import typer

from wavenet.cli.option_names import with_options
from wavenet.errors import printable
from wavenet.system import progress, terminal_width

# Of a drawing where the output is no terminal.
DRAWING_COLUMNS = 100
# A column of text that wraps is at least this wide; to keep that, others are left out.
LEAST_TEXT_COLUMNS = 24
# What a line begins with in front of its text: a word and spaces, as in "cache      /home/...".
_HEAD = re.compile(r" *\S+ {2,}(?:\d+ {2,})?|recordings ")
# A command to copy: one that ends a line, or that stands in backticks. It is never wrapped.
_COMMAND = re.compile(r"(?:^|(?<=[:;] )|(?<=^  ))(?:wavenet|torchrun|pip) \S.*$|`wavenet [^`]*`")
# In the place of a space where no line may break.
NO_BREAK = "\N{NO-BREAK SPACE}"
# A name that does not fit is folded into as many columns as this part of the terminal.
NAME_PART, LEAST_NAME_COLUMNS = 3, 12


@dataclass
class Verbosity:
    """What is shown, of the command that runs."""

    # Only results, warnings and errors.
    quiet: bool = False
    # All of what is cut short otherwise, and where errors come from.
    verbose: bool = False
    # Whether standard output carries data, so that status goes to standard error.
    status_aside: bool = False


verbosity = Verbosity()
# Whether the line that the cursor stands on is one for a moment.
_passing = False


def begin() -> None:
    """Forget what the command before was told, as in tests."""
    global verbosity
    verbosity = Verbosity()
    progress.shown = True


def be_quiet() -> None:
    """Show only results, warnings and errors, and no bars."""
    verbosity.quiet = True
    progress.shown = False


def columns() -> int | None:
    """The width of standard output; None where that is no terminal, and COLUMNS is not set."""
    return terminal_width.columns(sys.stdout)


def drawing_columns() -> int:
    """The width of a drawing on standard output."""
    return columns() or DRAWING_COLUMNS


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Inside, what takes seconds is loaded, and a terminal says so until something else is said."""
    global _passing
    dumb = os.environ.get("TERM") == "dumb"
    if not (verbosity.quiet or dumb) and _is_terminal(sys.stderr):
        typer.echo(f"loading {what} ...", err=True, nl=False)
        _passing = True
    try:
        yield
    finally:
        _clear()


def _clear() -> None:
    """Take back a line that was to be seen for a moment."""
    global _passing
    if _passing:
        typer.echo("\r\x1b[K", err=True, nl=False)
    _passing = False


def _is_terminal(stream: TextIO | None) -> bool:
    # None after `2>&-`.
    return stream is not None and stream.isatty()


def result(text: object) -> None:
    """Print what a command was asked for."""
    _print(str(text), err=False)


def status(text: str) -> None:
    """Print what happens meanwhile, unless that is not wanted."""
    if not verbosity.quiet:
        _print(text, err=verbosity.status_aside)


def warn(text: str) -> None:
    """Print on standard error, with options for the parameters in backticks."""
    _print(with_options(text), err=True)


def _print(text: str, err: bool) -> None:
    _clear()
    stream = sys.stderr if err else sys.stdout
    width = terminal_width.columns(stream)
    lines = wrapped(text, width) if width else text.split("\n")
    shown = "\n".join(map(_escaped, lines))
    try:
        # A bar makes room.
        with progress.Progress.external_write_mode(file=stream):
            typer.echo(shown, err=err)
            if stream:
                stream.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        name = "standard error" if err else "standard output"
        raise OSError(e.errno, e.strerror, name) from None


def _escaped(line: str) -> str:
    """A line that does nothing to the terminal, whatever the names of files in it hold."""
    return printable(line.replace(NO_BREAK, " "))


def wrapped(text: str, width: int) -> Iterator[str]:
    """Lines wrapped at words, each under its text; longer words and commands stay whole."""
    for line in text.split("\n"):
        if len(line) <= width:
            yield line
            continue
        line = _COMMAND.sub(lambda match: match[0].replace(" ", NO_BREAK), line)
        head = _HEAD.match(line)
        leading = len(line) - len(line.lstrip(" "))
        indent = head.end() if head and head.end() < width // 2 else leading + 2
        parts = textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from parts or [""]


class Column(NamedTuple):
    """A column of a table."""

    head: str
    # Figures stand at the right.
    right: bool = False
    # Text that may take several lines; of one column at the most.
    wraps: bool = False
    # Where the terminal is narrow, the column of the highest number goes first; 0 always stays.
    leave_out: int = 0


def _least_columns(column: Column, texts: Sequence[str]) -> int:
    """The fewest that text may wrap into: its longest word stays whole, if only it fits."""
    from rich.cells import cell_len

    words = [word for text in (column.head, *texts) for word in text.split()]
    longest = max(map(cell_len, words), default=0)
    return max(longest, min(LEAST_TEXT_COLUMNS, max(map(cell_len, texts), default=0)))


def table(columns_: Sequence[Column], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a table that fits standard output, under the heads of its columns.

    Where there is too little room, long names are folded, and the columns that matter least are
    left out.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[printable(cell) for cell in row] for row in rows]
    room = columns()
    natural = [
        max(cell_len(text) for text in (column.head, *(row[i] for row in cells)))
        for i, column in enumerate(columns_)
    ]
    least = [
        _least_columns(column, [row[i] for row in cells]) if column.wraps else natural[i]
        for i, column in enumerate(columns_)
    ]
    kept = list(range(len(columns_)))

    def taken() -> int:
        return sum(least[i] + 2 for i in kept) - 2

    if room and taken() > room:
        most = max(room // NAME_PART, LEAST_NAME_COLUMNS)
        for i, column in enumerate(columns_):
            if not (column.right or column.wraps or column.leave_out):
                least[i] = min(least[i], most)
    while room and taken() > room and any(columns_[i].leave_out for i in kept):
        kept.remove(max(kept, key=lambda i: columns_[i].leave_out))
    layout = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="", show_edge=False)
    for i in kept:
        column = columns_[i]
        layout.add_column(
            Text(column.head),
            justify="right" if column.right else "left",
            no_wrap=column.right,
            min_width=least[i] if column.right else None,
            max_width=None if column.wraps else least[i],
            overflow="fold",
        )
    for row in cells:
        layout.add_row(*(Text(row[i]) for i in kept))
    width = max(room, taken()) if room else sum(natural) + 2 * len(natural)
    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(layout)
    # They are laid out already.
    return [line.rstrip().replace(" ", NO_BREAK) for line in captured.get().splitlines()]
