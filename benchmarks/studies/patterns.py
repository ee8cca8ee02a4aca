"""Bits per sample of the patterns of dilation after the same minutes of training.

    python -m benchmarks.studies.patterns FOLDER [MINUTES]

prints the table in docs/receptive-field.md. Each pattern is the preset `small` with its channels
chosen for about as many parameters. They are trained one after the other, on the same folder.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser
from wavenet.config import loading
from wavenet.model.cost import model_cost
from wavenet.system.machine import machine
from wavenet.training.session import train

COMMON = {
    "train.sample_seconds": 0,
    "train.validation": "tails",
    "train.evaluate_every": 100_000,
    "train.schedule": "constant",
    "train.batch": 4,
}


def channels(residual: int) -> dict[str, Any]:
    return {"model.residual_channels": residual, "model.gate_channels": 2 * residual}


PATTERNS = {
    "dense": channels(32),
    "separable": channels(38) | {"model.layer": "separable"},
    "grouped, 4 groups": channels(44) | {"model.groups": 4},
    "bottleneck": channels(44) | {"model.layer": "bottleneck"},
    "hybrid": channels(32) | {"model.layer": "hybrid"},
    "irregular: coprime": channels(32)
    | {"model.growth": "coprime", "model.layers": 20, "model.dilation_cycle": 300},
    "pyramid": channels(26) | {"model.context": "pyramid"},
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("minutes", type=float, nargs="?", default=2.0)
    options = arguments.parse_args()
    folder, minutes = options.folder, options.minutes
    print(f"{machine()}; {minutes:g} minutes each on {folder}", flush=True)
    print(
        f"{'pattern':20} {'parameters':>10} {'hears':>7} {'steps':>6} {'bits per sample':>16}",
        flush=True,
    )
    for name, settings in PATTERNS.items():
        overrides = settings | COMMON
        config = loading.load("small", overrides)
        with tempfile.TemporaryDirectory() as place:
            out, max_hours = Path(place) / "run", minutes / 60
            run = train(folder, config="small", overrides=overrides, out=out, max_hours=max_hours)
            last = run.latest()
        assert last is not None
        cost = model_cost(config.model, config.audio.sample_rate)
        bits = last.training.validation_bits or math.nan
        print(
            f"{name:20} {cost.parameters:>10,} {cost.receptive_field:>7,} "
            f"{last.training.step:>6,} {bits:>16.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
