"""What a command does when something goes wrong: one line, and an exit status."""

import logging
import os
import re
import sys
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from wavenet.errors import WavenetError

# What torch's RuntimeErrors say when memory runs out; on a CPU they have no class of their own.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_MEMORY_ADVICE = {
    "train": "lower train.batch or train.segment_seconds, or raise train.accumulate",
    "generate": "lower --count",
}
# What numba says where it finds no folder to keep compiled code in.
_NO_CACHE = "no locator available"
# What the command line calls each parameter of the library, once it is in use.
_OPTIONS: dict[str, str] = {}


class OneLineErrors(TyperGroup):
    """Users meet one line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        # The names of files may hold any bytes.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        for parameter in (p for command in self.commands.values() for p in command.params):
            option = max(parameter.opts, key=len)
            name = option.lstrip("-").replace("-", "_")
            _OPTIONS[name] = option if option.startswith("-") else option.upper()
        # What it remarks on is where its caches lie.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if is_first_rank():
                typer.echo("wavenet: interrupted; what was finished is kept", err=True)
            raise typer.Exit(130) from None
        except Exception as e:
            line = _explain(e, ctx.invoked_subcommand)
            if line is None:
                raise
            if line:
                typer.echo(f"wavenet: {line}", err=True)
            raise typer.Exit(1) from None


def _explain(error: Exception, command: str | None) -> str | None:
    """What is printed of an error: "" for nothing, None for one that nobody foresaw."""
    if isinstance(error, WavenetError):
        return with_options(str(error)) if is_first_rank() or _have_met() else ""
    # Typer brings Click's usage errors along under changing names.
    if hasattr(error, "format_message"):
        see = f"see wavenet {command} --help" if command else "see wavenet --help"
        return f"{error.format_message().rstrip('.')}; {see}" if is_first_rank() else ""
    no_memory = isinstance(error, RuntimeError) and any(s in str(error) for s in _NO_MEMORY)
    if no_memory or isinstance(error, MemoryError):
        advice = _MEMORY_ADVICE.get(command or "", "close other programs, or take a smaller model")
        return f"this needs more memory than there is; {advice}"
    if isinstance(error, RuntimeError) and _NO_CACHE in str(error):
        return "no folder for compiled code can be written; set TMPDIR or NUMBA_CACHE_DIR to one"
    # Typer ends quietly where nobody reads the output any more (`wavenet evaluate ... | head`).
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        where, what = error.filename or "a file", error.strerror or error
        return f"{where}: {what}; what was finished is kept"
    return None


def with_options(text: str) -> str:
    """The text with options and arguments of the commands for the parameters in backticks."""
    return re.sub("`([a-z_]+)`", lambda match: _OPTIONS.get(match[1], match[0]), text)


def _have_met() -> bool:
    """Whether this is one of several processes that settle by themselves which of them reports."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def is_first_rank() -> bool:
    """True in one of the processes that torchrun starts with the same command line.

    What all of them notice alike is printed by that one alone. True as well in a process that does
    not know which it is.
    """
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    has_address = bool(os.environ.get("MASTER_ADDR") and os.environ.get("MASTER_PORT"))
    is_other = rank.isdecimal() and size.isdecimal() and 0 < int(rank) < int(size) and has_address
    return not is_other
