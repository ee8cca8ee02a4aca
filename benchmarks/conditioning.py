"""What conditioning costs at generation: a preset without any, with a label, mel frames, and both.

    python -m benchmarks.conditioning [PRESET]

All four take turns. Projecting the frames is part of what is timed. Speeds are medians over the
rounds, and ratios to the unconditioned model are taken within each round.
"""

import statistics
from collections.abc import Iterator

from benchmarks.arguments import parser
from wavenet.bench import measure
from wavenet.bench.measure import Case
from wavenet.config import loading
from wavenet.system.machine import machine

ROUNDS, SECONDS = 9, 0.5
KINDS = {
    "unconditioned": {"model.mel_bands": 0, "model.label_channels": 0},
    "a label": {"model.mel_bands": 0, "model.label_channels": 16},
    "80 mel bands": {"model.mel_bands": 80, "model.label_channels": 0},
    "both": {"model.mel_bands": 80, "model.label_channels": 16},
}


def cases(preset: str) -> Iterator[tuple[str, Case]]:
    """Every way that the numba engine runs each kind of conditioning."""
    for kind, settings in KINDS.items():
        for case in measure.cases(loading.load(preset, settings), names=("numba",)):
            yield kind, case


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("preset", nargs="?", default="paper")
    name = arguments.parse_args().preset
    runners = list(cases(name))
    for _, runner in runners:
        runner.warm_up()
    rounds = [[runner.speed(SECONDS) for _, runner in runners] for _ in range(ROUNDS)]
    ways = [(r.row.precision, r.row.threads, r.row.batch) for _, r in runners]
    print(f"{machine()}; {name}; medians of {ROUNDS} rounds")
    print(
        f"{'told':14} {'precision':>9} {'threads':>8} {'streams':>8} {'samples/s':>10} "
        f"{'of unconditioned':>17}"
    )
    for way in dict.fromkeys(ways):
        # The first of these is the unconditioned model.
        same_way = [i for i, other in enumerate(ways) if other == way]
        baseline = same_way[0]
        for i in same_way:
            speed = statistics.median(r[i] for r in rounds)
            ratio = statistics.median(r[i] / r[baseline] for r in rounds)
            precision, threads, streams = way
            print(
                f"{runners[i][0]:14} {precision:>9} {threads:>8} {streams:>8} "
                f"{speed:>10,.0f} {ratio:>17.1%}"
            )


if __name__ == "__main__":
    main()
