"""`wavenet plot`: the loss of one or several runs over steps or hours."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wavenet.cli import terminal
from wavenet.cli.options import ForceOption
from wavenet.cli.outputs import PICTURES, make_folder_of, picture, print_json, read_each
from wavenet.cli.values import short_names
from wavenet.errors import RunError, WavenetError, printable

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
    curves = dict(chain.from_iterable(logged))
    if as_json:
        print_json([{"path": str(run), "points": points} for run, points in curves.items()])
    else:
        _draw(curves, over, out, force)
    if unusable:
        raise typer.Exit(1)


def _draw(curves: dict[Path, list[dict[str, Any]]], over: str, out: str, force: bool) -> None:
    """Draw the runs, and print a line for each."""
    path = picture(out, NAME, force)
    from wavenet.plotting.losses import losses

    make_folder_of(path)
    names = [printable(name) for name in short_names([*curves])]
    shown = dict(zip(names, curves.values(), strict=True))
    losses(path, shown, over, _baselines(curves))
    paths = [printable(str(run)) for run in curves]
    width = max(map(len, paths))
    for name, metrics in zip(paths, curves.values(), strict=True):
        terminal.result(f"{name:{width}}  {_summary(metrics)}")
    terminal.result(path)


def _baselines(runs: Iterable[Path]) -> dict[str, float]:
    """What the losses of all runs can be compared with."""
    from wavenet.model.distributions.registry import distribution_for
    from wavenet.plotting.losses import baselines_of
    from wavenet.training.run_folder import Run

    levels: list[int | None] = []
    counted: list[dict[str, Any]] = []
    for run in map(Run, runs):
        levels.append(None)
        counted.append({})
        # A loss is drawn without what else belongs to its run, too.
        with suppress(WavenetError):
            levels[-1] = distribution_for(run.config().model).levels
        with suppress(WavenetError):
            known = run.corpus().get("baselines")
            counted[-1] = known if isinstance(known, dict) else {}
    return baselines_of(levels, counted)


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
