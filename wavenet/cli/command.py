"""What all commands have in common: how much they show, and how help names kinds of values."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand
from typer.models import ArgumentInfo, ParameterInfo

from wavenet.cli import terminal

_KINDS: dict[Any, str] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}
# Choices that take more columns are named in the text instead.
_MOST_CHOICES = 18
# How notes may begin that are an argument.
RESTS = ("-:", "- ")

GENERAL = "General"
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Only results, warnings and errors.", rich_help_panel=GENERAL
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Cut nothing short, and say where an error comes from.",
        rich_help_panel=GENERAL,
    ),
]


class Command(TyperCommand):
    """A command whose --help stands with --quiet and --verbose."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            if isinstance(parameter, TyperArgument):
                # Its text says what it takes.
                parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # No option begins like notes that begin with a rest.
        args = [f" {arg}" if arg.startswith(RESTS) else arg for arg in args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.metavar = ""
            option.rich_help_panel = GENERAL
        return option


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function of a command, with --quiet and --verbose, and kinds of values in its help."""

    @functools.wraps(function)
    def run(*, quiet: bool = False, verbose: bool = False, **options: Any) -> None:
        terminal.verbosity.verbose = verbose
        if quiet:
            terminal.be_quiet()
        function(**options)

    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    both = {"quiet": QuietOption, "verbose": VerboseOption}
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in both.items()
    ]
    for parameter in parameters:
        kind, *rest = get_args(parameter.annotation)
        info = next(part for part in rest if isinstance(part, ParameterInfo))
        if isinstance(info, ArgumentInfo) and Path in _parts(kind):
            info.parser = _path
        if info.metavar is None:
            info.metavar = _metavar(parameter.name, kind, isinstance(info, ArgumentInfo))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = function.__annotations__ | both
    return run


def _parts(kind: Any) -> set[Any]:
    """A kind, and those that it is made of: of `list[Path] | None` Path and None among others."""
    return {kind}.union(*map(_parts, get_args(kind)))


def _path(text: str) -> Path:
    """A path that an argument is; an empty one would be the current folder."""
    if not text:
        raise ValueError("an empty name")
    return Path(text)


def _metavar(name: str, kind: Any, is_argument: bool) -> str:
    """What stands for a value in the help."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if is_argument:
        return name.upper()
    if get_origin(kind) is Literal:
        choices = "|".join(get_args(kind))
        return choices if len(choices) <= _MOST_CHOICES else "NAME"
    return _KINDS[kind]
