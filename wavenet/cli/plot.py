"""`wavenet plot`: the loss of one or several runs, against steps or hours."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from wavenet import plotting
from wavenet.errors import RunError
from wavenet.training.run_folder import Run


def plot(folders: Sequence[Path], over: str, out: Path) -> Iterator[str]:
    """Draw the runs' curves into `out`. Yields lines to print. Raises RunError for what is no run, or has not begun."""
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
        last = metrics[-1]
        scored = [
            (m["validation_bits"], m["step"])
            for m in metrics
            if m.get("validation_bits") is not None
        ]
        best = (
            f"at best {min(scored)[0]:.3f} bits per sample at step {min(scored)[1]}"
            if scored
            else "not validated yet"
        )
        yield f"{name:{width}}  step {last['step']}, {last['seconds'] / 3600:.2f} hours; {best}"
    yield str(out)
