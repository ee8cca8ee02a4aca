"""One process and two on this machine, and what exchanging gradients would cost on more.

    python -m benchmarks.scaling [PRESET ...]

The first table is measured: one process of one thread, one of two threads, and two of one thread
each take steps of the same global batch in turns, and ratios are taken within each round. Of two
processes, a step is over when the slower one is. The second table is arithmetic, for 8 and 64 GPUs:
it takes the gradient's bytes and a step's products from the model, the rest from the assumptions
printed above it. No GPU was measured.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import distributed

from benchmarks.training import work
from benchmarks.training_case import NoiseDataset
from wavenet.config import Config, loading
from wavenet.data.dataset import WindowDataset
from wavenet.model.network import WaveNet
from wavenet.system.machine import machine
from wavenet.training.distributed import SingleProcess, run
from wavenet.training.trainer import Trainer

ROUNDS, PRESETS = 9, ("small", "paper")
# Processes, and threads of each.
SETUPS = {
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread": (2, 1),
}
SETTINGS = {"train.precision": "fp32", "train.batch": 4}
REDUCTIONS = 20  # of which the median is taken
WINDOWS = 8  # of each GPU
# FLOP/s that a GPU is assumed to sustain on these products: 2 and 10 % of what an H100 could do in
# bf16.
RATES = (20e12, 100e12)
# World size, bytes a second of the slowest link in the ring, seconds from one rank to the next.
LINKS = {
    "8 GPUs, NVLink": (8, 300e9, 5e-6),
    "64 GPUs, 400 Gbit/s InfiniBand": (64, 40e9, 10e-6),
    "64 GPUs, 10 Gbit/s Ethernet": (64, 1.1e9, 50e-6),
    "2 GPUs, 1 Gbit/s Ethernet": (2, 0.11e9, 100e-6),
}


def run_case(preset: str) -> None:
    """Be one process of a case.

    It answers each line on standard input with the seconds of a step, or with those of exchanging
    the gradients alone.
    """
    settings = loading.load(preset, SETTINGS)

    def answer(processes: SingleProcess) -> None:
        dataset = cast(WindowDataset, NoiseDataset(settings))
        trainer = Trainer(dataset, torch.device("cpu"), processes)
        gradients = torch.zeros(parameters(settings))
        for _ in range(3):
            trainer.train_step()
        print("ready", flush=True)
        for line in sys.stdin:
            started = time.perf_counter()
            if line == "step\n":
                trainer.train_step()
            else:
                distributed.all_reduce(gradients)
            print(time.perf_counter() - started, flush=True)

    run(answer)


class Case:
    """The processes of one setup, started and warm."""

    def __init__(self, preset: str, processes: int, threads: int) -> None:
        self.store: Any = distributed.TCPStore(  # type: ignore[attr-defined]
            "127.0.0.1", 0, is_master=True, wait_for_workers=False
        )
        rendezvous = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        common = (
            {"GOMP_SPINCOUNT": "2000"}
            | os.environ
            | {"OMP_NUM_THREADS": str(threads), "WORLD_SIZE": str(processes)}
            | rendezvous
        )
        command = [sys.executable, "-m", "benchmarks.scaling", "--contestant", preset]
        pipe = subprocess.PIPE
        self.processes = [
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, text=True, env=common | {"RANK": str(r)}
            )
            for r in range(processes)
        ]
        assert all(answer == "ready\n" for answer in self._answers())

    def seconds(self, what: str) -> float:
        for p in self.processes:
            assert p.stdin is not None
            p.stdin.write(f"{what}\n")
            p.stdin.flush()
        return max(map(float, self._answers()))

    def end(self) -> None:
        for p in self.processes:
            assert p.stdin is not None
            p.stdin.close()
        for p in self.processes:
            p.wait()

    def _answers(self) -> list[str]:
        return [p.stdout.readline() for p in self.processes if p.stdout is not None]


def measured(preset: str, rounds: int) -> Iterator[str]:
    settings = loading.load(preset, SETTINGS)
    cases = {name: Case(preset, *setup) for name, setup in SETUPS.items()}
    times = [{name: case.seconds("step") for name, case in cases.items()} for _ in range(rounds)]
    two = cases["2 processes, 1 thread"]
    exchange = statistics.median(two.seconds("exchange") for _ in range(REDUCTIONS))
    for case in cases.values():
        case.end()
    predicted = settings.train.batch * settings.segment_samples
    yield f"{preset}, {settings.train.batch} windows of {settings.segment_samples:,} samples a step"
    yield f"{'':24}{'s a step':>9} {'samples/s':>10} {'x 1 process':>12}"
    for name in cases:
        median = statistics.median(t[name] for t in times)
        ratio = statistics.median(t["1 process, 1 thread"] / t[name] for t in times)
        yield f"{name:24}{median:>9.3f} {predicted / median:>10,.0f} {ratio:>12.2f}"
    step = statistics.median(t["2 processes, 1 thread"] for t in times)
    size = f"{4 * parameters(settings) / 1e6:.2f} MB"
    yield (
        f"gradients of {size}, exchanged alone in {1000 * exchange:.1f} ms: "
        f"{exchange / step:.2%} of a step of the two"
    )


def parameters(settings: Config) -> int:
    return sum(p.numel() for p in WaveNet(settings.model).parameters())


def ring(size: int, count: int, bandwidth: float, latency: float) -> float:
    """Seconds of an all-reduce of `size` bytes in a ring of `count` ranks.

    Every byte goes round twice, but for a rank's own part: 2 (count - 1) hops.
    """
    hops = 2 * (count - 1)
    return hops / count * size / bandwidth + hops * latency


def expected(presets: list[str]) -> Iterator[str]:
    yield (
        f"{WINDOWS} windows a GPU; nothing overlaps: "
        "step = products / rate + all-reduce of the gradients + all-reduce of a few bytes"
    )
    yield "all-reduce = 2 (n - 1) / n bytes / bandwidth + 2 (n - 1) latency"
    for name, (count, bandwidth, latency) in LINKS.items():
        yield (
            f"  {name}: {bandwidth / 1e9:g} GB/s and {1e6 * latency:g} us "
            f"from one of {count} to the next"
        )
    yield f"{'':15}{'':32}{'all-reduces':>12}" + "".join(
        f" {f'step at {r / 1e12:g} TFLOP/s':>22} {'x 1 GPU':>8}" for r in RATES
    )
    for preset in presets:
        settings = loading.load(preset, SETTINGS)
        shard = replace(settings, train=replace(settings.train, batch=WINDOWS, accumulate=1))
        for name, (count, bandwidth, latency) in LINKS.items():
            gradients = ring(4 * parameters(settings), count, bandwidth, latency)
            # The loss and the gradient's norm, among other numbers.
            cost = gradients + ring(16, count, bandwidth, latency)
            row = f"{preset:15}{name:32}{1000 * cost:>9.2f} ms"
            for rate in RATES:
                alone = work(shard, recomputed=False) / rate
                row += f" {1000 * (alone + cost):>19.1f} ms {count * alone / (alone + cost):>8.1f}"
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(
        description="One process and two on this machine, and what the exchange of gradients "
        "would cost on 8 and 64 GPUs."
    )
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--contestant", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        run_case(options.contestant)
        return
    print(f"{machine()}; medians of {options.rounds} rounds")
    for preset in options.presets:
        print("\n".join(measured(preset, options.rounds)), end="\n\n", flush=True)
    print("\n".join(expected([*options.presets, "r9y9-mulaw256"])))


if __name__ == "__main__":
    main()
