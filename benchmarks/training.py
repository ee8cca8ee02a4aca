"""A training step on a CPU, time and memory: our layer, the network in nn.Conv1d, each option.

    python -m benchmarks.training [--peer CHECKOUT] [--profile] [--learn FOLDER --minutes 8]

Every case is a process of its own. Rounds of all alternate, so that a change in the machine's speed
falls on all, and ratios are taken within each round. `--peer` adds the module of a checkout of
r9y9/wavenet_vocoder, trained its own way: it pads with zeros instead of reading real context, so it
computes fewer rows for the same predicted samples, and it gives the memory that a step frees back
to the system, which ours keeps. `--profile` adds where the time of ours goes. `--learn` trains
`paper` on a folder afterwards and prints its validation curve. On a GPU, `benchmarks.gpu train`
measures more.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.rates import matrix_rate
from benchmarks.studies.learning_curve import curve
from benchmarks.training_case import CONV1D, OURS, PEER, Case, Contestant, ContestantError
from wavenet.cli.console import ConsoleReport
from wavenet.config import Config, loading
from wavenet.model.distributions.registry import distribution_for
from wavenet.system.device import PRECISIONS
from wavenet.system.machine import machine
from wavenet.training.session import train

ROUNDS = 7
SETUPS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {},
    "paper": {"train.batch": 4, "train.segment_seconds": 0.5},
    "r9y9-mulaw256": {"train.batch": 2, "train.segment_seconds": 0.3628},
}
VARIANTS: dict[str, dict[str, Any]] = {
    OURS: {},
    "in groups of 5 layers": {"train.checkpoint_layers": 5},
    "in 2 parts": {"train.accumulate": 2},
    "bf16": {"train.precision": "bf16"},
}
CPU = torch.device("cpu")


def main() -> None:
    options = parse()
    threads = f"{torch.get_num_threads()} threads"
    print(f"{machine()}; {threads}; medians of {options.rounds} rounds")
    rates = {name: matrix_rate(PRECISIONS[name], CPU) for name in ("fp32", "bf16")}
    shown = [f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in rates.items()]
    print(f"matrix products alone: {', '.join(shown)}")
    seconds = {preset: table(preset, options, rates) for preset in options.presets}
    if options.learn:
        learn(options, seconds.get("paper", 1.0))


def table(preset: str, options: argparse.Namespace, rates: dict[str, float]) -> float:
    """Print one preset's rows. Returns the seconds of a step of ours."""
    setup = SETUPS.get(preset, {})
    cases = [
        Case(name, preset, OURS, setup | overrides, device="cpu")
        for name, overrides in VARIANTS.items()
    ]
    cases.insert(0, Case(CONV1D, preset, CONV1D, setup, device="cpu"))
    if options.peer:
        peer = Case(PEER, preset, PEER, setup, device="cpu", peer=options.peer)
        cases.insert(0, peer)
    results = race(cases, options.rounds)
    settings = cases[0].config()
    predicted = settings.train.batch * settings.segment_samples
    print(f"\n{preset}, {settings.train.batch} windows of {settings.segment_samples:,} samples")
    print(
        f"{'':24}{'s a step':>9} {'samples/s':>10} {'x ' + CONV1D:>12} {'peak memory':>12} "
        f"{'share of matrix rate':>21}"
    )
    for case in cases:
        times, peak = results[case.label]
        if not times:
            print(f"{case.label:24}failed: {peak}")
            continue
        median = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(results[CONV1D][0], times, strict=True))
        of_rate = ""
        if case.network != PEER:
            flops = work(settings, recomputed="train.checkpoint_layers" in case.overrides)
            of_rate = f"{flops / median / rates[case.config().train.precision]:.0%}"
        print(
            f"{case.label:24}{median:>9.3f} {predicted / median:>10,.0f} {ratio:>12.2f} "
            f"{peak / 1e6:>9,.0f} MB {of_rate:>21}",
            flush=True,
        )
    if options.profile:
        show_profile(next(case for case in cases if case.label == OURS))
    return statistics.median(results[OURS][0])


def show_profile(case: Case) -> None:
    """Print where a step's time goes, by torch's profiler, which takes some time itself."""
    contestant = Contestant(case, build={})
    contestant.answer()
    found = contestant.ask("profile")
    contestant.stop()
    print(
        f"\nslowest of {found['kernels']:,.0f} operations in {found['ms']:.1f} ms, by the profiler"
    )
    for name, (count, ms) in found["slowest"]:
        print(f"{name:44}{count:>6,.0f} times {ms:>8.1f} ms {ms / found['ms']:>6.0%}")


def race(cases: list[Case], rounds: int) -> dict[str, tuple[list[float], Any]]:
    """Step times of every case, in rounds of all, and its peak memory, or what it failed with."""
    running = [Contestant(case, build={}) for case in cases]
    results: dict[str, tuple[list[float], Any]] = {}
    ready = []
    for contestant in running:
        try:
            contestant.answer()
            ready.append(contestant)
            results[contestant.case.label] = [], None
        except ContestantError as e:
            results[contestant.case.label] = [], e
    for _ in range(rounds):
        for contestant in ready:
            results[contestant.case.label][0].append(contestant.ask("time", 1))
    for contestant in ready:
        results[contestant.case.label] = results[contestant.case.label][0], contestant.ask("peak")
    for contestant in running:
        contestant.stop()
    return results


def work(settings: Config, recomputed: bool) -> float:
    """Floating-point operations of a step's matrix products.

    They are two for each multiply-add, and the backward pass has twice those of the forward pass.
    `recomputed`: with checkpointing, the layers' forward pass is computed a second time.
    """
    m, t = settings.model, settings.train
    g = m.gate_channels // 2
    predicted = t.batch * settings.segment_samples
    layers = 0
    for i, kernel_size in enumerate(m.kernel_sizes):
        # A layer computes what the layers above it read, and no more.
        context = sum(offsets[-1] for offsets in m.offsets[i + 1 :])
        rows = t.batch * (context + settings.segment_samples)
        layers += rows * (kernel_size * m.residual_channels * 2 * g + g * m.residual_channels)
    skips = len(m.schedule) * predicted * g * m.skip_channels
    n_params = distribution_for(m).n_params
    head = predicted * (m.skip_channels * m.head_channels + m.head_channels * n_params)
    return 2 * (3 * (layers + skips + head) + recomputed * layers)


def learn(options: argparse.Namespace, seconds_per_step: float) -> None:
    """Train `paper` on real recordings for some minutes, on a schedule that ends there."""
    steps = max(50, round(options.minutes * 60 * 0.9 / seconds_per_step))
    overrides = {
        **SETUPS["paper"],
        "train.validation": "tails",
        "train.sample_seconds": 0,
        "train.steps": steps,
        "train.evaluate_every": max(1, steps // 8),
        **loading.parse_assignments(options.set),
    }
    run = train(
        Path(options.learn),
        config="paper",
        overrides=overrides,
        out=Path("runs") / f"benchmark-{time.strftime('%Y%m%d-%H%M%S')}",
        device="cpu",
        max_hours=options.minutes / 60,
        listeners=[ConsoleReport()],
    )
    print()
    curve(run)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=list(SETUPS), help=f"of {', '.join(SETUPS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--peer", default="", help="a checkout of r9y9/wavenet_vocoder to measure beside ours"
    )
    parser.add_argument("--profile", action="store_true", help="show where the time of ours goes")
    parser.add_argument("--learn", default="", help="a folder of recordings to train on afterwards")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--set", action="append", default=[], help="settings of that training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
