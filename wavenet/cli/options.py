"""Options that several commands have, each written once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wavenet.cli import completion, terminal

if TYPE_CHECKING:
    from wavenet.engines.options import EngineOptions

# The panels of help that options of several commands stand in.
SAMPLING, ENGINE = "Sampling", "Engine"

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME",
        autocompletion=completion.configs,
        help="A preset (see `wavenet presets`), a .toml file, or a run whose settings to take.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.assignments,
        help="Any setting: train.learning_rate=3e-4. Repeatable; `wavenet settings` lists them.",
    ),
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
        help="Below 1 is calmer, down to silence; above 1 wilder; 0 always the likeliest.",
        rich_help_panel=SAMPLING,
    ),
]
TopKOption = Annotated[
    int,
    typer.Option(
        help="Draw from this many likeliest mu-law levels only; 0 is all.",
        rich_help_panel=SAMPLING,
    ),
]
TopPOption = Annotated[
    float,
    typer.Option(
        help="Draw from the fewest mu-law levels that hold this probability; 1 is all.",
        rich_help_panel=SAMPLING,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        help="The same seed gives the same audio. Default: a new one, printed.",
        rich_help_panel=SAMPLING,
    ),
]
EngineName = Literal["auto", "triton", "numba", "cuda-graph", "reference"]
EngineOption = Annotated[
    EngineName,
    typer.Option(
        help="auto, triton (a GPU), numba, cuda-graph (a GPU) or reference.", rich_help_panel=ENGINE
    ),
]


ModelArgument = Annotated[
    Path,
    typer.Argument(
        autocompletion=completion.models,
        help="A run folder (its best checkpoint is taken), a checkpoint file, or the name of a "
        "model that comes with the program, such as demo-voice: `wavenet presets` lists them.",
    ),
]
NoTagOption = Annotated[
    bool,
    typer.Option(
        "--no-tag",
        help="Leave out of the file's metadata that it is synthetic, by which model and seed.",
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "bf16", "fp32"],
    typer.Option(
        help="bf16, which auto means, rounds weights and is faster; fp32: as trained.",
        rich_help_panel=ENGINE,
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(help="The most threads to use; 0 is as many as help.", rich_help_panel=ENGINE),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", metavar="NAME")]
ForceOption = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite files that exist already.")
]
ListenOption = Annotated[
    bool,
    typer.Option(
        "--listen", help="Play it while it is made, and write a file only where -o names one."
    ),
]
SubtypeOption = Annotated[
    Literal["16", "24", "float"] | None,
    typer.Option(
        help="Bits of a sample in wav and flac; float, in wav alone, does not round. Default: 16."
    ),
]
RawOption = Annotated[
    bool, typer.Option("--raw", help="With -o -: samples without a header, little-endian.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


def out_option(text: str) -> Any:
    """`--out` or `-o`, which is something else to each command."""
    return typer.Option("--out", "-o", help=text)


def engine_options(precision: str, threads: int) -> "EngineOptions":
    """What the two options ask of an engine; what takes long is reported."""
    from wavenet.engines.options import EngineOptions

    return EngineOptions(precision, threads, terminal.warn)
