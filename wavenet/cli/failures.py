"""What a command does when something goes wrong: one line, and an exit status."""

import os
import sys
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from wavenet.errors import AlreadyReportedError, WavenetError

# Click's class, which newer versions of Typer bring along under another name.
UsageError: Any = typer.BadParameter.__mro__[1]
# What torch's RuntimeErrors say when memory runs out.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_MEMORY_ADVICE = {
    "train": "lower train.batch or train.segment_seconds, or raise train.accumulate",
    "generate": "lower --count",
}


class OneLineErrors(TyperGroup):
    """Users meet one line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        # The names of files may hold any bytes.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except AlreadyReportedError:
            raise typer.Exit(1) from None
        except WavenetError as e:
            typer.echo(f"wavenet: {e}", err=True)
            raise typer.Exit(1) from None
        except UsageError as e:
            if is_first_rank():
                command = f"wavenet {ctx.invoked_subcommand or ''}".rstrip()
                message = e.format_message().rstrip(".")
                typer.echo(f"wavenet: {message}; see {command} --help", err=True)
            raise typer.Exit(1) from None
        except (MemoryError, RuntimeError) as e:
            if not isinstance(e, MemoryError) and not any(sign in str(e) for sign in _NO_MEMORY):
                raise
            otherwise = "close other programs, or take a smaller model"
            advice = _MEMORY_ADVICE.get(ctx.invoked_subcommand, otherwise)
            typer.echo(f"wavenet: this needs more memory than there is; {advice}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            # The reader of the output has gone (`wavenet evaluate ... | head`). Typer ends quietly.
            raise
        except OSError as e:
            problem = f"{e.filename or 'a file'}: {e.strerror or e}"
            typer.echo(f"wavenet: {problem}; what was finished is kept", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            if is_first_rank():
                typer.echo("wavenet: interrupted; what was finished is kept", err=True)
            raise typer.Exit(130) from None


def is_first_rank() -> bool:
    """True in one of the processes that torchrun starts with the same command line.

    What all of them notice alike is printed by that one alone.
    """
    return os.environ.get("RANK", "0") == "0"
