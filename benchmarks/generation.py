"""Samples per second of every engine, an eager PyTorch step with a cache, and the roofline.

    python -m benchmarks.generation [PRESET ...]

prints a table for each preset, and then the rows that the project has set itself targets for. Cases
take turns, so that a change in the machine's speed falls on all of them. Speeds are medians of five
rounds, and ratios to the eager step of the same number of streams are taken within each round. The
eager step runs in one thread: with more, PyTorch is slower here, and far slower on a busy machine.
"""

from benchmarks import comparison
from benchmarks.arguments import parser
from benchmarks.comparison import HEADER, Comparison
from wavenet.bench.measure import ROUNDS
from wavenet.config import loading
from wavenet.system.machine import machine

# Preset, streams, precision, threads, and the least ratio to the eager step.
TARGETS = [
    ("paper", 1, "fp32", 1, 28),
    ("paper", 1, "fp32", 2, 60),
    ("paper", 1, "bf16", 1, 85),
    ("paper", 16, "fp32", 2, 12),
    ("small", 1, "fp32", 1, 75),
    ("r9y9-mulaw256", 1, "fp32", 2, 6),
    ("r9y9-mulaw256", 1, "bf16", 2, 12),
]


def main() -> None:
    arguments = parser(__doc__)
    usual = ["small", "paper", "r9y9-mulaw256"]
    arguments.add_argument("presets", nargs="*", default=usual)
    names = arguments.parse_args().presets
    print(f"{machine()}; medians of {ROUNDS} rounds")
    compared: dict[str, list[Comparison]] = {}
    for name in names:
        # The eager step takes no mel frames.
        preset = loading.load(name, {"model.mel_bands": 0})
        compared[name] = comparison.compare(preset, comparison.cases(preset))
        print(f"\n{name}, {preset.audio.sample_rate} Hz\n{HEADER}")
        print(*compared[name], sep="\n", flush=True)
    print(
        f"\n{'target row':14} {'precision':>9} {'threads':>8} {'streams':>8} {'samples/s':>10} "
        f"{'x eager':>8} {'target':>7}"
    )
    for name, batch, precision, threads, target in TARGETS:
        for c in compared.get(name, []):
            case = (c.row.engine, c.row.batch, c.row.precision, c.row.threads)
            if c.times_eager and case == ("numba", batch, precision, threads):
                print(
                    f"{name:14} {precision:>9} {threads:>8} {batch:>8} "
                    f"{c.row.samples_per_second:>10,.0f} {c.times_eager:>8.1f} {target:>7}"
                )


if __name__ == "__main__":
    main()
