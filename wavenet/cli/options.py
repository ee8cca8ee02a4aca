"""Options that several commands have, each written once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli.failures import with_options

if TYPE_CHECKING:
    from wavenet.engines.options import EngineOptions

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help="A preset (see `wavenet presets`) or a .toml file."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as key=value: train.learning_rate=3e-4. Repeatable."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Where decoded recordings are kept. Default: the user's cache folder."
    ),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        help="Below 1 is calmer, down to silence; above 1 wilder; 0 always the likeliest."
    ),
]
TopKOption = Annotated[
    int, typer.Option(help="Draw from this many likeliest mu-law levels only; 0 is all.")
]
TopPOption = Annotated[
    float,
    typer.Option(help="Draw from the fewest mu-law levels that hold this probability; 1 is all."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same audio. Default: a new one, printed."),
]
EngineOption = Annotated[
    str, typer.Option(help="auto, triton (a GPU), numba, cuda-graph (a GPU) or reference.")
]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder (its best checkpoint is taken), a checkpoint file, or the name of a "
        "model that comes with the program, such as demo-voice: `wavenet presets` lists them."
    ),
]
TagOption = Annotated[
    bool,
    typer.Option(
        "--tag/--no-tag",
        help="Say in the file's metadata that it is synthetic, by which model and seed.",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(help="bf16, which auto means: rounded weights, faster; or fp32: as trained."),
]
ThreadsOption = Annotated[int, typer.Option(help="The most threads to use; 0 is as many as help.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


def out_option(text: str) -> Any:
    """`--out` or `-o`, which is something else to each command."""
    return typer.Option("--out", "-o", help=text)


def engine_options(precision: str, threads: int) -> "EngineOptions":
    """What the two options ask of an engine; what takes long is reported."""
    from wavenet.engines.options import EngineOptions

    return EngineOptions(precision, threads, report)


def report(line: str) -> None:
    """Show a line on stderr, with options for the parameters in backticks."""
    typer.echo(with_options(line), err=True)
