"""The program: every command, registered. A command imports what is heavy when it is called."""

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from wavenet.cli import terminal
from wavenet.cli.bench import bench
from wavenet.cli.cache import cache
from wavenet.cli.command import Command, command
from wavenet.cli.demo import demo
from wavenet.cli.evaluate import evaluate
from wavenet.cli.failures import OneLineErrors
from wavenet.cli.generate import generate
from wavenet.cli.info import info
from wavenet.cli.play import play
from wavenet.cli.plot import plot
from wavenet.cli.presets import presets
from wavenet.cli.receptive_field import receptive_field
from wavenet.cli.runs import runs
from wavenet.cli.settings import settings
from wavenet.cli.studio import studio
from wavenet.cli.train import train
from wavenet.cli.vocode import vocode
from wavenet.version import __version__

# Set before torch is loaded, so that its threads spin for some microseconds while they wait for
# each other, and then sleep. By default OpenMP spins for milliseconds, and a step takes several
# times as long as soon as another program wants a core.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# What a command imports lives to its end: looking for garbage in it took a quarter of the time of
# a short one.
gc.set_threshold(50_000, 20, 100)


@atexit.register
def _leave_garbage() -> None:
    """Nor look for it when Python takes everything apart; what torch loads wants that."""
    if "torch" not in sys.modules:
        gc.freeze()


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a WaveNet on your own recordings and hear it.",
    epilog="wavenet COMMAND --help has examples; the pages are in docs/ of the source.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal.result(f"wavenet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """What goes before a command."""


class Panel(NamedTuple):
    """Commands that stand together in the help."""

    title: str
    functions: tuple[Callable[..., None], ...]


EXAMPLES: dict[Callable[..., None], tuple[str, ...]] = {
    train: (
        "wavenet train recordings --init-from base-speech --minutes 10",
        "wavenet train recordings --config small --set train.batch=8 --dry-run",
        "wavenet train --out runs/recordings-small",
    ),
    generate: (
        "wavenet generate demo-voice --seconds 10 --seed 3 -o new.wav",
        "wavenet generate runs/x --prompt a.wav --keep-prompt --count 4",
        "wavenet generate runs/x --seed 3 --clip 2 -o second-of-4.wav",
        "wavenet generate demo-voice --seconds 60 -o - | ffplay -",
    ),
    play: (
        'wavenet play demo-flute "C5:0.5 E5 G5:1"',
        "wavenet play runs/x hummed.wav -o played.wav",
        "wavenet play runs/x tune.mid --transpose 12 --tempo 1.2",
    ),
    vocode: (
        "wavenet vocode demo-vocoder my-voice.wav",
        "wavenet vocode runs/x a.wav b.npy -o vocoded/",
        "wavenet vocode runs/x - -o - < a.wav > b.wav",
    ),
    studio: ("wavenet studio", "wavenet studio runs/x --port 8000 --no-browser"),
    evaluate: ("wavenet evaluate runs/x recordings --split tails",),
    runs: ("wavenet runs", "wavenet runs runs/x runs/y"),
    info: ("wavenet info runs/x", "wavenet info new.wav", "wavenet info base-speech"),
    plot: ("wavenet plot runs/x runs/y --over hours -o loss.svg",),
    presets: ("wavenet presets small > mine.toml",),
    settings: ("wavenet settings learning rate", "wavenet settings --config runs/x"),
    bench: ("wavenet bench paper",),
    receptive_field: (
        "wavenet receptive-field small paper music",
        "wavenet receptive-field --set model.layers=12 --picture field.svg",
        "wavenet receptive-field runs/x --on recordings",
    ),
    cache: ("wavenet cache recordings --clear",),
    demo: ("wavenet demo --minutes 1", "wavenet demo --what voice -o runs/voice"),
}
PANELS = (
    Panel("Learn and make audio", (train, generate, play, vocode, studio, demo)),
    Panel("Look into models and runs", (runs, info, plot, evaluate, receptive_field)),
    Panel("What there is", (presets, settings, cache, bench)),
)
for panel in PANELS:
    for function in panel.functions:
        lines = "\n\n".join(f"  {example}" for example in EXAMPLES.get(function, ()))
        app.command(
            cls=Command,
            rich_help_panel=panel.title,
            epilog=f"[bold]Examples[/bold]\n\n{lines}" if lines else None,
        )(command(function))
