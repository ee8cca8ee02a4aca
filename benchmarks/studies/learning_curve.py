"""Validation bits per sample over minutes of training.

    python -m benchmarks.studies.learning_curve FOLDER PRESET STEPS [key=value ...]
    python -m benchmarks.studies.learning_curve RUN

The first trains runs/curve-FOLDER-PRESET and prints its curve, the second prints that of an
existing run.
"""

import sys
from pathlib import Path

from wavenet.cli.console import ConsoleReport
from wavenet.config.loading import parse_assignments
from wavenet.system.machine import machine
from wavenet.training.run_folder import Run
from wavenet.training.session import train


def main() -> None:
    first, *rest = sys.argv[1:]
    run = Run(Path(first))
    if rest:
        preset, steps, *settings = rest
        overrides = parse_assignments(settings)
        overrides |= {"train.steps": int(steps), "train.sample_seconds": 0}
        out = Path("runs") / f"curve-{Path(first).name}-{preset}"
        listeners = [ConsoleReport()]
        run = train(Path(first), config=preset, overrides=overrides, out=out, listeners=listeners)
    curve(run)


def curve(run: Run) -> None:
    """Print a run's validation figures over minutes."""
    config = run.config()
    print(
        f"{machine()}; {config.name}, batch {config.train.batch} x {config.segment_samples} "
        f"samples, {config.train.steps} steps"
    )
    print(f"{'minutes':>8} {'step':>7} {'training':>9} {'validation':>11}   bits per sample")
    training = float("nan")
    for m in run.metrics():
        training = m.get("train_bits", training)
        validation = m.get("validation_bits")
        if validation is not None:
            minutes = m["seconds"] / 60
            print(f"{minutes:>8.1f} {m['step']:>7} {training:>9.3f} {validation:>11.3f}")


if __name__ == "__main__":
    main()
