"""The program: every command, registered. A command imports what is heavy when it is called."""

import atexit
import gc
import os
import sys

import typer

from wavenet.cli.bench import bench
from wavenet.cli.cache import cache
from wavenet.cli.demo import demo
from wavenet.cli.evaluate import evaluate
from wavenet.cli.failures import OneLineErrors
from wavenet.cli.generate import generate
from wavenet.cli.plot import plot
from wavenet.cli.presets import presets
from wavenet.cli.receptive_field import receptive_field
from wavenet.cli.train import train
from wavenet.cli.vocode import vocode

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
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a WaveNet on your own recordings and hear it.",
)
commands = (train, plot, generate, vocode, evaluate, bench, receptive_field, presets, cache, demo)
for command in commands:
    app.command()(command)
