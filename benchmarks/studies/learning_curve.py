"""Validation bits per sample over minutes of training.

    python -m benchmarks.studies.learning_curve FOLDER PRESET STEPS [key=value ...]
    python -m benchmarks.studies.learning_curve RUN

The first trains runs/curve-FOLDER-PRESET and prints its curve, the second prints that of an
existing run.
"""

from pathlib import Path

from benchmarks.arguments import parser
from wavenet.cli.console import ConsoleReport
from wavenet.config.loading import parse_assignments
from wavenet.system.machine import machine
from wavenet.training.run_folder import Run
from wavenet.training.session import train


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path, help="recordings, or a run by itself")
    arguments.add_argument("preset", nargs="?")
    arguments.add_argument("steps", type=int, nargs="?", default=1000)
    arguments.add_argument("settings", nargs="*", metavar="key=value")
    options = arguments.parse_args()
    folder, preset = options.folder, options.preset
    run = Run(folder)
    if preset:
        overrides = parse_assignments(options.settings)
        overrides |= {"train.steps": options.steps, "train.sample_seconds": 0}
        out = Path("runs") / f"curve-{folder.name}-{preset}"
        listeners = [ConsoleReport()]
        run = train(folder, config=preset, overrides=overrides, out=out, listeners=listeners)
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
