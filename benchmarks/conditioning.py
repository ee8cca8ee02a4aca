"""What conditioning costs at generation: a preset as it is, told a label, told mel frames, and both, in turns.

    python benchmarks/conditioning.py [PRESET]

Projecting the frames is part of what is timed. Medians of five rounds; ratios to the unconditioned model within each round.
"""

import statistics
import sys
from collections.abc import Iterator

from wavenet.bench import measure
from wavenet.bench.measure import Case
from wavenet.config import loading
from wavenet.system.machine import machine

ROUNDS, SECONDS = 9, 0.5
KINDS = {
    "unconditioned": ["model.mel_bands=0", "model.label_channels=0"],
    "a label": ["model.mel_bands=0", "model.label_channels=16"],
    "80 mel bands": ["model.mel_bands=80", "model.label_channels=0"],
    "both": ["model.mel_bands=80", "model.label_channels=16"],
}


def contestants(name: str) -> Iterator[tuple[str, Case]]:
    for kind, settings in KINDS.items():
        for contestant in measure.cases(loading.load(name, settings), names=("numba",)):
            if contestant.row.engine == "numba":
                yield kind, contestant


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "paper"
    runners = list(contestants(name))
    for _, runner in runners:
        runner.warm_up()
    rounds = [[runner.speed(SECONDS) for _, runner in runners] for _ in range(ROUNDS)]
    ways = [(r.row.precision, r.row.threads, r.row.batch) for _, r in runners]
    print(f"{machine()}; {name}; medians of {ROUNDS} rounds")
    print(
        f"{'told':14} {'precision':>9} {'threads':>8} {'streams':>8} {'samples/s':>10} {'of unconditioned':>17}"
    )
    for way in dict.fromkeys(ways):
        same = [i for i, other in enumerate(ways) if other == way]  # the unconditioned one first
        for i in same:
            speed, share = (
                statistics.median(values)
                for values in zip(*((r[i], r[i] / r[same[0]]) for r in rounds), strict=True)
            )
            print(
                f"{runners[i][0]:14} {way[0]:>9} {way[1]:>8} {way[2]:>8} {speed:>10,.0f} {share:>17.1%}"
            )


if __name__ == "__main__":
    main()
