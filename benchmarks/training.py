"""Time and memory of a training step: our layer, the same network in nn.Conv1d, and each option.

    python -m benchmarks.training [--device cuda] [--peer CHECKOUT] [--learn FOLDER --minutes 8]

Every case is a process of its own, so that its peak memory is its own. Rounds of all alternate, so
that a change in the machine's speed falls on all, and ratios are taken within each round. A step is
all of it: making the batch, forward, backward, clipping, Adam, EMA. `--peer` adds the module of a
checkout of r9y9/wavenet_vocoder, trained its own way. It pads with zeros instead of reading real
context, so it computes fewer rows for the same predicted samples. `--learn` trains `paper` on a
folder afterwards and prints its validation curve.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.func import functional_call

from benchmarks.peer import Training, module
from benchmarks.studies.learning_curve import curve
from wavenet.cli.console import ConsoleReport
from wavenet.config import Config, loading
from wavenet.data.dataset import Batch, WindowDataset
from wavenet.data.loader import DeviceBatch
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.reference import ReferenceWaveNet
from wavenet.system.device import PRECISIONS, peak_bytes, pick_device
from wavenet.system.machine import machine
from wavenet.training.session import train
from wavenet.training.trainer import Trainer

ROUNDS = 7
# Of every preset; the other networks take no conditioning.
COMMON: dict[str, Any] = {"model.mel_bands": 0, "train.precision": "fp32"}
SETUPS: dict[str, dict[str, Any]] = {
    "paper": {"train.batch": 4, "train.segment_seconds": 0.5},
    "r9y9-mulaw256": {"train.batch": 2, "train.segment_seconds": 0.3628},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "time-major": {},
    "in groups of 5 layers": {"train.checkpoint_layers": 5},
    "in 2 parts": {"train.accumulate": 2},
    "bf16": {"train.precision": "bf16"},
    "fp16": {"train.precision": "fp16"},
    "compiled gates": {"train.compile": True},
    "bf16, compiled gates": {"train.precision": "bf16", "train.compile": True},
}
ON_CPU = ("time-major", "in groups of 5 layers", "in 2 parts", "bf16", "compiled gates")
BASE, PEER = "nn.Conv1d", "r9y9's module"


def load(preset: str, variant: str = "") -> Config:
    """A preset as it is measured."""
    overrides = COMMON | SETUPS.get(preset, {}) | VARIANTS.get(variant, {})
    return loading.load(preset, overrides)


# --- a case, in its own process -------------------------------------------------------------------


class NoiseDataset:
    """Stands for a dataset, of which a training step asks batches alone: of random codes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # Of its corpus, the trainer asks for the config.
        self.corpus = self

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        m, samples = self.config.model, self.config.segment_samples
        shape = (self.config.train.batch, m.receptive_field + samples)
        x = np.random.default_rng(step).integers(0, distribution_for(m).levels, shape)
        batch = Batch(x, np.ones((len(x), samples), np.float32))
        if ranks == 1:
            return batch
        return Batch(x[rank::ranks], batch.loss_mask[rank::ranks], global_count=len(x) * samples)


class Convolutions(Trainer):
    """The same training with the network in ordinary convolutions."""

    @cached_property
    def readable(self) -> ReferenceWaveNet:
        return ReferenceWaveNet(self.config.model).to(self.device)

    def _loss(self, part: DeviceBatch) -> torch.Tensor:
        weights: dict[str, torch.Tensor] = dict(self.model.named_parameters())
        params = functional_call(self.readable, weights, (part.x[:, :-1],))
        return self.model.distribution.loss(
            params, part.x[:, self.model.receptive_field :], part.loss_mask
        )


def peer_step(checkout: str, settings: Config, device: torch.device) -> Callable[[], object]:
    """A step of r9y9's module at the preset's sizes.

    It has one-hot input, windows of one segment, and Adam at 1e-3.
    """
    m, segment = settings.model, settings.segment_samples
    training = Training(module(checkout, m).to(device), m.levels)
    x = torch.randint(0, m.levels, (settings.train.batch, segment + 1), device=device)
    return lambda: training.step(x)


def run_case(name: str, preset: str, device_name: str, peer: str) -> None:
    """Be the process of one case.

    It answers each line on standard input with the seconds of one step, and the end of the input
    with the peak memory in bytes.
    """
    device = pick_device(device_name)
    settings = load(preset, name)
    if name == PEER:
        step = peer_step(peer, settings, device)
    else:
        kind = Convolutions if name == BASE else Trainer
        step = kind(cast(WindowDataset, NoiseDataset(settings)), device).train_step
    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            # `train_step` waits for the loss alone, not for Adam and the EMA.
            torch.cuda.synchronize(device)
        print(time.perf_counter() - started, flush=True)
    print(peak_bytes(device), flush=True)


# --- all of them ----------------------------------------------------------------------------------


def main() -> None:
    options = parse()
    if options.contestant:
        run_case(options.contestant, options.preset, options.device, options.peer)
        return
    device = pick_device(options.device)
    where = f"{torch.get_num_threads()} threads"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    print(f"{machine()}; {where}; medians of {options.rounds} rounds")
    rates = {
        name: matrix_rate(dtype, device)
        for name, dtype in PRECISIONS.items()
        if device.type == "cuda" or name != "fp16"
    }
    shown = [f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in rates.items()]
    print(f"matrix products alone: {', '.join(shown)}")
    seconds = {preset: table(preset, options, device, rates) for preset in options.presets}
    if options.learn:
        learn(options, seconds.get("paper", 1.0))


def table(
    preset: str, options: argparse.Namespace, device: torch.device, rates: dict[str, float]
) -> float:
    """Print one preset's rows. Returns the seconds of a step of ours."""
    settings = load(preset)
    predicted = settings.train.batch * settings.segment_samples
    peers = [PEER] if options.peer else []
    variants = [name for name in VARIANTS if device.type == "cuda" or name in ON_CPU]
    names = [*peers, BASE, *variants]
    results = race(names, preset, options)
    print(f"\n{preset}, {settings.train.batch} windows of {settings.segment_samples:,} samples")
    print(
        f"{'':24}{'s a step':>9} {'samples/s':>10} {'x ' + BASE:>12} {'peak memory':>12} "
        f"{'share of matrix rate':>21}"
    )
    for name in names:
        times, peak = results[name]
        if not times:
            print(f"{name:24}failed: {peak}")
            continue
        median = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(results[BASE][0], times, strict=True))
        precision = next((p for p in ("bf16", "fp16") if p in name), "fp32")
        of_rate = ""
        if name != PEER:
            flops = work(settings, recomputed="groups" in name)
            of_rate = f"{flops / median / rates[precision]:.0%}"
        print(
            f"{name:24}{median:>9.3f} {predicted / median:>10,.0f} {ratio:>12.2f} "
            f"{peak / 1e6:>9,.0f} MB {of_rate:>21}",
            flush=True,
        )
    # The case that `learn` will train as.
    return statistics.median(results["bf16" if device.type == "cuda" else "time-major"][0])


def race(
    names: list[str], preset: str, options: argparse.Namespace
) -> dict[str, tuple[list[float], Any]]:
    """Step times of every case, in rounds of all, and its peak memory, or what it failed with."""
    running = {name: start(name, preset, options) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    ready = [name for name in names if read_line(running[name]) == "ready\n"]
    for _ in range(options.rounds):
        for name in ready:
            process = running[name]
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            times[name].append(float(read_line(process)))
    results: dict[str, tuple[list[float], Any]] = {}
    for name, process in running.items():
        out, error = process.communicate()
        last_words = (error.strip().splitlines() or ["?"])[-1]
        results[name] = times[name], int(out) if name in ready else last_words
    return results


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def start(name: str, preset: str, options: argparse.Namespace) -> "subprocess.Popen[str]":
    """GOMP_SPINCOUNT as the command line sets it, for all of them."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training",
        "--contestant",
        name,
        "--preset",
        preset,
    ]
    command += ["--device", options.device, "--peer", options.peer]
    environment = {"GOMP_SPINCOUNT": "2000"} | os.environ
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


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


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of one large matrix product, the best of ten."""
    n = 8192 if device.type == "cuda" else 2048
    a = torch.randn(n, n, device=device).to(dtype)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        # `item` waits for the device.
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


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
        device=options.device,
        max_hours=options.minutes / 60,
        listeners=[ConsoleReport()],
    )
    print()
    curve(run)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=list(SETUPS), help=f"of {', '.join(SETUPS)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--peer", default="", help="a checkout of r9y9/wavenet_vocoder to measure beside ours"
    )
    parser.add_argument("--learn", default="", help="a folder of recordings to train on afterwards")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--set", action="append", default=[], help="settings of that training")
    parser.add_argument("--contestant", default="", help=argparse.SUPPRESS)
    parser.add_argument("--preset", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
