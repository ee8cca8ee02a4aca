"""`wavenet plot`: the loss of one or several runs over steps or hours."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wavenet.cli import terminal
from wavenet.cli.options import ForceOption
from wavenet.cli.outputs import PICTURES, make_folder_of, picture, print_json, read_each
from wavenet.errors import RunError, printable

NAME = "loss.png"


def plot(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold runs.")],
    over: Annotated[
        Literal["steps", "hours"], typer.Option(help="What the loss is drawn over.")
    ] = "steps",
    # A text, since a Path has forgotten the slash that ends a folder's name.
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help=f"A {', '.join(PICTURES)}, or a folder/ for {NAME}.",
        ),
    ] = NAME,
    force: ForceOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The points, for programs; draws nothing.")
    ] = False,
) -> None:
    """Draw the loss of one or several runs."""
    logged, unusable = read_each(runs, lambda folder: list(_logged(folder)))
    curves = {str(run): metrics for run, metrics in chain.from_iterable(logged)}
    if as_json:
        print_json([{"path": run, "points": points} for run, points in curves.items()])
    else:
        _draw(curves, over, out, force)
    if unusable:
        raise typer.Exit(1)


def _draw(curves: dict[str, list[dict[str, Any]]], over: str, out: str, force: bool) -> None:
    """Draw the runs, and print a line for each."""
    path = picture(out, NAME, force)
    from wavenet import plotting

    make_folder_of(path)
    shown = {printable(name): metrics for name, metrics in curves.items()}
    plotting.curves(path, shown, over)
    width = max(len(name) for name in shown)
    for name, metrics in shown.items():
        terminal.result(f"{name:{width}}  {_summary(metrics)}")
    terminal.result(path)


def _logged(folder: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """A run, or the runs in a folder, with what they have logged. Raises RunError for none."""
    from wavenet.training.run_folder import Run
    from wavenet.training.run_summary import runs_in

    runs = list(runs_in(folder)) if folder.is_dir() else []
    if not runs:
        raise RunError(folder, "not a run", "`wavenet train` makes one")
    logged = [(run, metrics) for run in runs if (metrics := Run(run).metrics())]
    for log in () if logged else [Run(run).metrics_file for run in runs]:
        if log.is_file() and log.stat().st_size:
            raise RunError(log, "is damaged: none of its lines has a step and a time")
    if not logged:
        raise RunError(folder, "has logged nothing yet, so there is nothing to draw")
    yield from logged


def _summary(metrics: Sequence[dict[str, Any]]) -> str:
    """How far a run has come, and its best validation loss."""
    from wavenet.training.run_summary import RunSummary

    last = metrics[-1]
    progress = f"step {last['step']}, {last['seconds'] / 3600:.2f} hours"
    best = RunSummary(Path(), metrics=metrics).best
    if best is None:
        return f"{progress}; not validated yet"
    return f"{progress}; at best {best[1]:.3f} bits per sample at step {best[0]}"
