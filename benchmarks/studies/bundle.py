"""Make a run's best checkpoint one that comes with the program, with what tells how it was made.

    python -m benchmarks.studies.bundle RUN NAME [--preset PRESET --set KEY=VALUE --purpose TEXT]

writes models/NAME.safetensors, and beside it the run's curve (.jsonl) and the recordings that it
was trained on (.csv). Only the EMA of the weights is kept, which is all that generation and
`--init-from` need: a third of an ordinary checkpoint's size or less. With --preset the model's
config says how that preset treats recordings and trains, but for what --set says, which is what
runs that begin from it do, and not how the run did.
"""

import argparse
import csv
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wavenet.config import Config, loading
from wavenet.model import checkpoint, locate
from wavenet.training.run_folder import Run

MODELS = Path(__file__).parents[2] / "models"
COLUMNS = ("file", "use", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--preset", default="")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--purpose", default="")
    options = parser.parse_args()
    run, name = Run(options.run), options.name
    slim = slim_best(run)
    if slim.training.validation_bits is None:
        sys.exit(
            f"{run.folder}: was never scored, so which of its checkpoints is best is not known"
        )
    config = slim.config
    if options.preset:
        config = _as_preset(config, options.preset, loading.parse_assignments(options.set))
    slim = replace(slim, config=replace(config, name=name, purpose=options.purpose))
    (MODELS / f"{name}.jsonl").write_bytes(run.metrics_file.read_bytes())
    with (
        open(run.folder / "recordings.csv", newline="") as table,
        open(MODELS / f"{name}.csv", "w", newline="") as shorter,
    ):
        rows = csv.DictWriter(shorter, COLUMNS, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(csv.DictReader(table))
    path = MODELS / f"{name}{checkpoint.SUFFIX}"
    checkpoint.save(path, slim)
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, step {slim.training.step}, "
        f"{slim.training.validation_bits:.3f} bits per sample"
    )


def _as_preset(config: Config, name: str, overrides: Mapping[str, Any]) -> Config:
    preset = loading.load(name, overrides)
    changes = loading.differences(preset, config)
    if any(key.startswith("model.") or key == "audio.sample_rate" for key in changes):
        sys.exit(f"the run's network is not that of {name}")
    return preset


def slim_best(run: Run) -> checkpoint.Model:
    """A run's best checkpoint without what only resuming needs, and without paths."""
    best = checkpoint.load(locate.find(run.folder))
    config = replace(best.config, train=replace(best.config.train, init_from=""))
    return replace(best, config=config, training=replace(best.training, folder="", paths=()))


if __name__ == "__main__":
    main()
