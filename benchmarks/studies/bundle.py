"""Make a run's best checkpoint one that comes with the program, with the run's curve beside it.

    python -m benchmarks.studies.bundle RUN NAME

writes models/NAME.safetensors and models/NAME.jsonl. Only the EMA of the weights is kept, which is
all that generation needs: a third of an ordinary checkpoint's size or less.
"""

import sys
from dataclasses import replace
from pathlib import Path

from wavenet.model import checkpoint, locate
from wavenet.training.run_folder import Run

MODELS = Path(__file__).parents[2] / "models"


def main() -> None:
    run, name = Run(Path(sys.argv[1])), sys.argv[2]
    slim = slim_best(run)
    if slim.training.validation_bits is None:
        sys.exit(
            f"{run.folder}: was never scored, so which of its checkpoints is best is not known"
        )
    slim = replace(slim, config=replace(slim.config, name=name, purpose=""))
    path = MODELS / f"{name}{checkpoint.SUFFIX}"
    checkpoint.save(path, slim)
    (MODELS / f"{name}.jsonl").write_bytes(run.metrics_file.read_bytes())
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, step {slim.training.step}, "
        f"{slim.training.validation_bits:.3f} bits per sample"
    )


def slim_best(run: Run) -> checkpoint.Checkpoint:
    """A run's best checkpoint without what only resuming needs, and without its folder's path."""
    best = checkpoint.load(locate.find(run.folder))
    return replace(best, training=replace(best.training, folder=""))


if __name__ == "__main__":
    main()
