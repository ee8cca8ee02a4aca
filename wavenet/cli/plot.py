"""`wavenet plot`: the loss of one or several runs over steps or hours."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wavenet.cli import terminal
from wavenet.cli.options import ForceOption
from wavenet.cli.outputs import PICTURES, make_folder_of, picture, print_json
from wavenet.errors import RunError

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
    curves = {str(run): metrics for folder in runs for run, metrics in _logged(folder)}
    if as_json:
        print_json([{"path": run, "points": points} for run, points in curves.items()])
        return
    path = picture(out, NAME, force)
    from wavenet import plotting

    make_folder_of(path)
    plotting.curves(path, curves, over)
    width = max(len(name) for name in curves)
    for name, metrics in curves.items():
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
    if not logged:
        raise RunError(folder, "has logged nothing yet, so there is nothing to draw")
    yield from logged


def _summary(metrics: Sequence[dict[str, Any]]) -> str:
    """How far a run has come, and its best validation loss."""
    last = metrics[-1]
    progress = f"step {last['step']}, {last['seconds'] / 3600:.2f} hours"
    validated = [m for m in metrics if m.get("validation_bits") is not None]
    if not validated:
        return f"{progress}; not validated yet"
    best = min(validated, key=lambda m: (m["validation_bits"], m["step"]))
    at_best = f"{best['validation_bits']:.3f} bits per sample at step {best['step']}"
    return f"{progress}; at best {at_best}"
