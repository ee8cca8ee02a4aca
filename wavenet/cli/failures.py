"""What a command does when something goes wrong: one line, and an exit status."""

import difflib
import errno
import logging
import os
import sys
import traceback
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from wavenet.cli import option_names, terminal
from wavenet.cli.option_names import with_options
from wavenet.errors import WavenetError

# What torch's RuntimeErrors say when memory runs out; on a CPU they have no class of their own.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_MEMORY_ADVICE = {
    "train": "lower train.batch or train.segment_seconds, or raise train.accumulate",
    "generate": "lower --count",
}
# What numba says where it finds no folder to keep compiled code in.
_NO_CACHE = "no locator available"
# What other programs call an option, besides what they call a setting, and what it is here.
_OTHER_OPTIONS = {
    "epoch": ("steps", "minutes"),
    "epochs": ("steps", "minutes"),
    "duration": ("seconds",),
    "length": ("seconds",),
    "output": ("out",),
    "output-dir": ("out",),
    "resume": ("out",),
    "overwrite": ("force",),
    "gpu": ("device",),
    "cuda": ("device",),
    "speaker": ("label",),
    "voice": ("label",),
    "num-samples": ("count",),
}
_OTHER_COMMANDS = {
    "sample": "wavenet generate",
    "synthesize": "wavenet generate",
    "infer": "wavenet generate",
    "eval": "wavenet evaluate",
    "score": "wavenet evaluate",
    "help": "wavenet --help",
    "version": "wavenet --version",
}
# What pydantic calls a text that is no number.
_NO_NUMBER = {"float_parsing": "no number", "int_parsing": "no whole number"}
# How like another option one must be that is proposed instead.
_ALIKE = 0.7


class OneLineErrors(TyperGroup):
    """Users meet one line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        # The names of files may hold any bytes.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        option_names.learn(p for command in self.commands.values() for p in command.params)
        # What it remarks on is where its caches lie.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if is_first_rank():
                terminal.warn("wavenet: interrupted")
            raise typer.Exit(130) from None
        except Exception as e:
            line = _explain(e, ctx.invoked_subcommand)
            if line is None:
                raise
            if terminal.verbosity.verbose and line:
                typer.echo("".join(traceback.format_exception(e)), err=True, nl=False)
            if line:
                terminal.warn(f"wavenet: {line}")
            raise typer.Exit(1) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from wavenet.config.loading import nearest

        name = args[0]
        if ctx.resilient_parsing or name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        other = _OTHER_COMMANDS.get(name)
        advice = f"here it is {other}" if other else nearest(name, self.commands)
        raise WavenetError("", f"No such command {name!r}", advice or "see wavenet --help")

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            # All of them are flags.
            parameter.metavar = ""
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        terminal.begin()
        is_bare = not args
        try:
            rest: list[str] = super().parse_args(ctx, args)
        except Exception as e:
            line = _explain(e, None)
            # Without arguments, what is raised is the help.
            if is_bare or line is None:
                raise
            terminal.warn(f"wavenet: {line}")
            raise typer.Exit(1) from None
        return rest


def _explain(error: Exception, command: str | None) -> str | None:
    """What is printed of an error: "" for nothing, None for one that nobody foresaw."""
    if isinstance(error, WavenetError):
        return with_options(str(error)) if is_first_rank() or _have_met() else ""
    # Typer brings Click's usage errors along under changing names.
    if hasattr(error, "format_message"):
        see = f"see wavenet {command} --help" if command else "see wavenet --help"
        return f"{_usage_line(error)}; {see}" if is_first_rank() else ""
    no_memory = isinstance(error, RuntimeError) and any(s in str(error) for s in _NO_MEMORY)
    if no_memory or isinstance(error, MemoryError):
        advice = _MEMORY_ADVICE.get(command or "", "close other programs, or take a smaller model")
        return f"this needs more memory than there is; {advice}"
    if isinstance(error, RuntimeError) and _NO_CACHE in str(error):
        return "no folder for compiled code can be written; set TMPDIR or NUMBA_CACHE_DIR to one"
    # Typer ends quietly where nobody reads the output any more (`wavenet evaluate ... | head`).
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        # Files of ours have their names; without one it is where results go, or where we are.
        unnamed = {errno.ENOSPC: "standard output", errno.ENOENT: "the current folder"}
        where = error.filename or unnamed.get(error.errno or 0, "a file")
        return f"{where}: {error.strerror or error}; what was finished is kept"
    return None


def _usage_line(error: Any) -> str:
    """What Typer says of a wrong call, with the value that was typed and names that are alike."""
    # A ValidationError, whose text leaves the value out.
    for problem in error.__cause__.errors() if hasattr(error.__cause__, "errors") else ():
        if problem["type"] in _NO_NUMBER:
            error.message = f"{problem['input']!r} is {_NO_NUMBER[problem['type']]}"
    if getattr(error, "possibilities", None):
        error.possibilities = [name for name in error.possibilities if _is_like(error, name)]
    text: str = error.format_message()
    return _unknown_option(error) or text.rstrip(".").replace("Value error, ", "")


def _is_like(error: Any, name: str) -> bool:
    typed, name = error.option_name.partition("=")[0].lstrip("-"), name.lstrip("-")
    is_part = typed.startswith(name) or name.startswith(typed)
    return is_part or difflib.SequenceMatcher(None, typed, name).ratio() >= _ALIKE


def _unknown_option(error: Any) -> str:
    """What to use instead of an option that a command does not have; "" where nothing is known."""
    option = str(getattr(error, "option_name", "")).partition("=")[0]
    if not option.startswith("--") or not error.ctx:
        return ""
    from wavenet.config.reference import settings_called

    known = {name for p in error.ctx.command.params for name in p.opts}
    word = option.lstrip("-")
    here = [f"--{name}" for name in _OTHER_OPTIONS.get(word, ()) if f"--{name}" in known]
    for setting in () if here else settings_called(word.replace("-", "_")):
        own = f"--{setting.rpartition('.')[2].replace('_', '-')}"
        if own in known or "--set" in known:
            here.append(own if own in known else f"--set {setting}=...")
    return f"No such option: {option}; here it is {' or '.join(here)}" if here else ""


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
