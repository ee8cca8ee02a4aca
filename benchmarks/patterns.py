"""Bits per sample of the patterns of dilation after the same minutes of training.

    python benchmarks/patterns.py FOLDER [MINUTES]

prints the table in docs/dilation.md. Each pattern is the preset `small` with its channels chosen
for about as many parameters. They are trained one after the other, on the same folder.
"""

import math
import sys
import tempfile
from pathlib import Path

from wavenet.config import loading
from wavenet.model.cost import model_cost
from wavenet.system.machine import machine
from wavenet.training.events import TrainingListener
from wavenet.training.resume import TrainOptions
from wavenet.training.session import train

COMMON = (
    "train.sample_seconds=0",
    "train.validation=tails",
    "train.evaluate_every=100000",
    "train.schedule=constant",
    "train.batch=4",
)


def channels(residual: int) -> tuple[str, ...]:
    return f"model.residual_channels={residual}", f"model.gate_channels={2 * residual}"


PATTERNS = {
    "dense": channels(32),
    "separable": (*channels(38), "model.layer=separable"),
    "grouped, 4 groups": (*channels(44), "model.groups=4"),
    "bottleneck": (*channels(44), "model.layer=bottleneck"),
    "hybrid": (*channels(32), "model.layer=hybrid"),
    "irregular: coprime": (
        *channels(32),
        "model.growth=coprime",
        "model.layers=20",
        "model.dilation_cycle=300",
    ),
    "pyramid": (*channels(26), "model.context=pyramid"),
}


def main() -> None:
    folder, minutes = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    print(f"{machine()}; {minutes:g} minutes each on {folder}", flush=True)
    print(
        f"{'pattern':20} {'parameters':>10} {'hears':>7} {'steps':>6} {'bits per sample':>16}",
        flush=True,
    )
    for name, settings in PATTERNS.items():
        config = loading.load("small", [*settings, *COMMON])
        with tempfile.TemporaryDirectory() as place:
            options = TrainOptions(
                folder,
                "small",
                (*settings, *COMMON),
                Path(place) / "run",
                max_hours=minutes / 60,
            )
            last = train(options, TrainingListener()).latest()
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
