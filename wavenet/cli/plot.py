"""`wavenet plot`: the loss of one or several runs over steps or hours."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wavenet import plotting
from wavenet.errors import RunError
from wavenet.training.run_folder import Run


def plot(folders: Sequence[Path], over: str, out: Path) -> Iterator[str]:
    """Draw the runs' curves into `out`. Yields lines to print.

    Raises RunError for folders that are no runs, and for runs that have not begun.
    """
    if over not in plotting.AXES:
        raise RunError(f"--over {over}: unknown; use {' or '.join(plotting.AXES)}")
    if out.suffix.lower() != ".png":
        raise RunError(f"{out}: is drawn as a PNG; name it {out}.png")
    runs = {}
    for folder in folders:
        run = Run(folder)
        if not run.exists:
            raise RunError(f"{folder}: not a run; `wavenet train` makes one")
        runs[str(folder)] = run.metrics()
        if not runs[str(folder)]:
            raise RunError(f"{folder}: has logged nothing yet, so there is nothing to draw")
    plotting.curves(out, runs, over)
    width = max(len(name) for name in runs)
    for name, metrics in runs.items():
        yield f"{name:{width}}  {_summary(metrics)}"
    yield str(out)


def _summary(metrics: Sequence[dict[str, Any]]) -> str:
    """How far a run has come, and its best validation loss."""
    last = metrics[-1]
    progress = f"step {last['step']}, {last['seconds'] / 3600:.2f} hours"
    validations = [
        (entry["validation_bits"], entry["step"])
        for entry in metrics
        if entry.get("validation_bits") is not None
    ]
    if not validations:
        return f"{progress}; not validated yet"
    bits, step = min(validations)
    return f"{progress}; at best {bits:.3f} bits per sample at step {step}"
