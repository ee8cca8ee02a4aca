"""`wavenet plot`: the loss of one or several runs over steps or hours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from wavenet.cli.options import out_option
from wavenet.errors import RunError, UsageError


def plot(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    over: Annotated[str, typer.Option(help="steps or hours.")] = "steps",
    out: Annotated[Path, out_option("A PNG.")] = Path("loss.png"),
) -> None:
    """Draw the loss of one or several runs."""
    from wavenet import plotting
    from wavenet.training.run_folder import Run

    if over not in plotting.AXES:
        raise UsageError("over", over, "unknown", f"use {' or '.join(plotting.AXES)}")
    if out.suffix.lower() != ".png":
        raise RunError(out, "is drawn as a PNG", f"name it {out}.png")
    curves = {}
    for folder in runs:
        run = Run(folder)
        if not run.exists:
            raise RunError(folder, "not a run", "`wavenet train` makes one")
        curves[str(folder)] = run.metrics()
        if not curves[str(folder)]:
            raise RunError(folder, "has logged nothing yet, so there is nothing to draw")
    plotting.curves(out, curves, over)
    width = max(len(name) for name in curves)
    for name, metrics in curves.items():
        typer.echo(f"{name:{width}}  {_summary(metrics)}")
    typer.echo(out)


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
