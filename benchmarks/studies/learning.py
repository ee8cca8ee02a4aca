"""Which settings learn most in the same minutes: the runs behind docs/learning.md and the presets.

    python -m benchmarks.studies.learning study FOLDER
    python -m benchmarks.studies.learning bar FOLDER --peer CHECKOUT
    python -m benchmarks.studies.learning table

`study` tries one change at a time from a base, the preset `small`. `bar` trains `paper`, and
r9y9/wavenet_vocoder's module the way that project does. `table` prints what
docs/learning/runs.jsonl holds, as tables.

Every run appends a line with its whole curve to docs/learning/runs.jsonl, or to --runs FILE.
CHECKOUT is a clone of https://github.com/r9y9/wavenet_vocoder (a35fff7 was measured). Minutes are
those that the cores worked for the run (processor time over threads): what else the machine does
changes them little. Validation is not counted. The learning rate's schedule ends with the minutes.
Validation is `tails`: the last tenth of each file, predicted from what precedes it there.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peer import RATE, WINDOW, Training, module, one_hot
from benchmarks.studies.changes import CHANGES, Change
from wavenet.config import Config, loading
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.loader import to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.model.network import WaveNet
from wavenet.system.machine import machine
from wavenet.training.trainer import Trainer

RUNS = Path(__file__).parents[2] / "docs" / "learning" / "runs.jsonl"
# What the runs of one table have in common, besides their settings.
TABLE_KEYS = ("kind", "folder", "preset", "minutes", "threads", "machine")
CPU = torch.device("cpu")
# Decays of EMAs that are kept besides the trainer's own. 0 keeps the weights as they are.
EMA_DECAYS = (0.0, 0.9, 0.95, 0.98, 0.99)
EVALUATIONS = 6  # over a run
RECENT_STEPS = 20  # of which the curve shows the mean loss
COMMON = ("train.validation=tails", "train.precision=fp32", "train.validation_seconds=1000")
BASE = (
    "train.batch=2",
    "train.segment_seconds=0.5",
    "train.learning_rate=12e-3",
    "train.warmup_steps=50",
    "train.augment_gain_db=0",
)
# The windows that the peer's are cut from.
PEER_SETTINGS = ("train.batch=4", "train.segment_seconds=0.5", "train.augment_gain_db=0")


# --- a run ----------------------------------------------------------------------------------------


class Clock:
    """Minutes that the cores have worked for this process."""

    def __init__(self, threads: int) -> None:
        self.threads, self.used, self._since = threads, 0.0, 0.0

    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.used += (time.process_time() - self._since) / self.threads


def dataset_of(folder: Path, config: Config) -> WindowDataset:
    index = index_folder(folder, config.audio, trim=config.trims)
    return WindowDataset(Corpus.open(index, config))


@torch.no_grad()
def scored(model: WaveNet, settings: Config, dataset: WindowDataset) -> tuple[float, float]:
    """(bits per sample, bits per 16-bit sample) of all held-out audio."""
    distribution = model.distribution
    nats = samples = bits_to_16 = 0.0
    for batch in dataset.validation_batches():
        x, loss_mask, conditioning_input, *_ = to_device(settings, batch, CPU)
        targets = x[:, model.receptive_field :]  # (batch, segment)
        params = model(x[:, :-1], conditioning_input)  # (batch, segment, n_params)
        nats += float(distribution.loss(params, targets, loss_mask))
        extra = distribution.bits_to_16bit(targets.numpy())  # (batch, segment)
        bits_to_16 += float((extra * loss_mask.numpy()).sum())
        samples += float(loss_mask.sum())
    bits = nats / samples / math.log(2)
    return bits, bits + bits_to_16 / samples


def train(
    name: str, settings: Config, dataset: WindowDataset, change: Change, minutes: float
) -> dict[str, Any]:
    """Train for `minutes`. Returns the run's curve and figures."""
    trainer = Trainer(dataset, CPU)
    if change.apply:
        change.apply(trainer)
    emas = {d: [p.detach().clone() for p in trainer.model.parameters()] for d in EMA_DECAYS}
    clock, started = Clock(torch.get_num_threads()), time.monotonic()
    losses: list[float] = []
    curve: list[list[float]] = []
    # Seconds at which the EMA is evaluated; the end comes besides.
    due = [60 * minutes * (i + 1) / EVALUATIONS for i in range(EVALUATIONS - 1)]
    while True:
        with clock:
            losses.append(trainer.train_step())
            update(emas, trainer)
        if trainer.step > 3:
            # The schedule ends with the minutes, as far as the steps until now tell.
            steps = max(trainer.step + 1, round(60 * minutes / clock.used * trainer.step))
            trainer.config = replace(
                trainer.config, train=replace(trainer.config.train, steps=steps)
            )
        over = clock.used >= 60 * minutes
        if over or (due and clock.used >= due[0]):
            bits, bits_16 = scored(trainer.ema_network, settings, dataset)
            curve.append(point(clock, trainer.step, losses, bits))
            due = due[1:]
            print(
                f"  {name}: {clock.used / 60:.1f} min, step {trainer.step}: {bits:.3f}", flush=True
            )
        if over:
            break
    bits_of_emas = {}
    for decay, ema in emas.items():
        with torch.no_grad():
            for p, q in zip(trainer.ema_network.parameters(), ema, strict=True):
                p.copy_(q)
        bits_of_emas[f"{decay:g}"] = round(scored(trainer.ema_network, settings, dataset)[0], 4)
    return {
        "steps": trainer.step,
        "wall_minutes": round((time.monotonic() - started) / 60, 2),
        "bits": curve[-1][3],
        "bits_16": round(bits_16, 4),
        "averages": bits_of_emas,
        "curve": curve,
    }


def update(emas: dict[float, list[Tensor]], trainer: Trainer) -> None:
    """Move each EMA towards the new weights. Early on its decay grows, as the trainer's does."""
    for decay, ema in emas.items():
        weight = 1 - min(decay, (1 + trainer.step) / (10 + trainer.step))
        torch._foreach_lerp_(ema, list(trainer.model.parameters()), weight)


def point(clock: Clock, step: int, losses: list[float], bits: float) -> list[float]:
    """A point of the curve: seconds, step, recent loss and validation, both in bits per sample."""
    loss = statistics.mean(losses[-RECENT_STEPS:])
    return [round(clock.used, 1), step, round(loss, 4), round(bits, 4)]


# --- the peer -------------------------------------------------------------------------------------


def train_peer(
    checkout: str, rate: float, settings: Config, dataset: WindowDataset, minutes: float
) -> dict[str, Any]:
    """r9y9's module at these sizes, trained its own way.

    That is Adam at a constant rate, zero-padded windows of 8,000 samples, and no EMA.
    """
    torch.manual_seed(settings.train.seed)
    peer = module(checkout, settings.model)
    training = Training(peer, settings.model.levels, rate)
    clock, started = Clock(torch.get_num_threads()), time.monotonic()
    losses: list[float] = []
    curve: list[list[float]] = []
    due = [60 * minutes * (i + 1) / EVALUATIONS for i in range(EVALUATIONS)]
    step = 0
    while due:
        with clock:
            # Its own windows, with no context before them.
            x = torch.as_tensor(dataset.batch(step).x[:, -WINDOW - 1 :])
            losses.append(training.step(x) / math.log(2))
        step += 1
        if clock.used >= due[0]:
            bits = peer_bits(peer, settings, dataset)
            curve.append(point(clock, step, losses, bits))
            due = due[1:]
            print(f"  peer: {clock.used / 60:.1f} min, step {step}: {bits:.3f}", flush=True)
    return {
        "steps": step,
        "wall_minutes": round((time.monotonic() - started) / 60, 2),
        "bits": curve[-1][3],
        "curve": curve,
    }


@torch.no_grad()
def peer_bits(peer: nn.Module, settings: Config, dataset: WindowDataset) -> float:
    """Its bits per sample, each predicted from its exact context, as in `scored`."""
    field = settings.model.receptive_field
    nats = samples = 0.0
    peer.eval()
    for batch in dataset.validation_batches():
        x, loss_mask, *_ = to_device(settings, batch, CPU)
        logits = peer(one_hot(x[:, :-1], settings.model.levels))[:, :, field - 1 :]
        losses = nn.functional.cross_entropy(logits, x[:, field:], reduction="none")
        nats += float((losses * loss_mask).sum())
        samples += float(loss_mask.sum())
    peer.train()
    return nats / samples / math.log(2)


# --- all of them ----------------------------------------------------------------------------------


def record(file: Path, **run: Any) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps(run) + "\n")


def load(preset: str, seed: int, *settings: str) -> Config:
    """A preset with `key=value` settings. Of several for one key the last counts."""
    overrides = loading.parse_assignments([*COMMON, *settings, f"train.seed={seed}"])
    return loading.load(preset, overrides)


def study(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for name in options.only or CHANGES:
            change = CHANGES[name]
            settings = load(options.preset, seed, *BASE, *change.settings, *options.set)
            dataset = dataset_of(options.folder, settings)
            figures = train(name, settings, dataset, change, options.minutes)
            print(
                f"{name:40} seed {seed}: {figures['bits']:.3f} bits, "
                f"{figures['bits_16']:.3f} per 16-bit sample, {figures['steps']} steps",
                flush=True,
            )
            record(
                options.runs,
                kind="study",
                name=name,
                folder=options.folder.name,
                preset=options.preset,
                seed=seed,
                set=options.set,
                minutes=options.minutes,
                threads=torch.get_num_threads(),
                machine=machine(),
                **figures,
            )


def bar(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        our_settings = load(options.preset, seed, *options.set)
        peer_settings = load(options.preset, seed, *PEER_SETTINGS)
        common = {
            "folder": options.folder.name,
            "preset": options.preset,
            "seed": seed,
            "minutes": options.minutes,
            "threads": torch.get_num_threads(),
            "machine": machine(),
        }
        for name in options.only or ("peer", "ours"):
            settings = peer_settings if name == "peer" else our_settings
            dataset = dataset_of(options.folder, settings)
            if name == "peer":
                figures = train_peer(
                    options.peer, options.peer_rate, settings, dataset, options.minutes
                )
            else:
                figures = train(name, settings, dataset, Change(), options.minutes)
            print(
                f"{name} seed {seed}: {figures['bits']:.3f} bits after {figures['steps']} steps",
                flush=True,
            )
            suffix = ""
            if name == "peer" and options.peer_rate != RATE:
                suffix = f" at {options.peer_rate:g}"
            record(
                options.runs,
                kind="bar",
                name=name + suffix,
                set=options.set if name == "ours" else [],
                **common,
                **figures,
            )


def table(options: argparse.Namespace) -> None:
    """Every group of comparable runs, as the document shows it: the ends, then the curves."""
    runs = [json.loads(line) for line in options.runs.read_text().splitlines()]
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for run in runs:
        key = (*(run[k] for k in TABLE_KEYS), *run["set"])
        groups.setdefault(key, []).append(run)
    for group in groups.values():
        first, minutes = group[0], group[0]["minutes"]
        print(
            f"\n{first['kind']}: {first['preset']} on {first['folder']}, {minutes:g} minutes, "
            f"{first['threads']} thread(s)"
        )
        print(f"{first['machine']}\n")
        ends(group)
        due = [f"{minutes * (i + 1) / EVALUATIONS:.1f}" for i in range(EVALUATIONS)]
        print(f"\n| | {' | '.join(due)} minutes | steps |")
        print("|---" * (EVALUATIONS + 2) + "|")
        for run in sorted(group, key=lambda r: (r["name"], r["seed"])):
            bits = [f"{c[3]:.3f}" for c in run["curve"]]
            name = f"{run['name']}, seed {run['seed']}"
            print(f"| {name} | {' | '.join(bits)} | {run['steps']} |")


def ends(group: list[dict[str, Any]]) -> None:
    """A row for every change, the best first."""
    base = {r["seed"]: final(r) for r in group if r["name"] in ("base", "peer")}
    rows = []
    for name in dict.fromkeys(r["name"] for r in group):
        runs = [r for r in group if r["name"] == name]
        against = [final(r) - base[r["seed"]] for r in runs if r["seed"] in base]
        is_base = name in ("base", "peer")
        cells = [
            spread([r["bits"] for r in runs]),
            spread([r["bits_16"] for r in runs if "bits_16" in r]),
            spread([best(r) for r in runs]),
            f"{statistics.mean(against):+.3f}" if against and not is_base else "",
            str(round(statistics.mean(r["steps"] for r in runs))),
            ", ".join(str(seed) for seed in sorted(r["seed"] for r in runs)),
        ]
        rows.append((statistics.mean(final(r) for r in runs), f"| {name} | {' | '.join(cells)} |"))
    print(
        "| | bits per sample | per 16-bit sample | at its best | against the base | steps "
        "| seeds |\n|---|---|---|---|---|---|---|"
    )
    print("\n".join(row for _, row in sorted(rows)))


def final(run: dict[str, Any]) -> float:
    """What compares: in the study, whose outputs differ in kind, bits per 16-bit sample."""
    return float(run["bits_16" if run["kind"] == "study" else "bits"])


def best(run: dict[str, Any]) -> float:
    return float(min(c[3] for c in run["curve"]))


def spread(values: list[float]) -> str:
    """The mean, and how far the values lie apart."""
    if not values:
        return ""
    extent = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{extent}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["study", "bar", "table"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--preset", default="")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--peer", default="")
    parser.add_argument("--peer-rate", type=float, default=RATE)
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_intermixed_args()
    if options.what == "bar" and "peer" in (options.only or ["peer"]) and not options.peer:
        parser.error("bar needs --peer CHECKOUT, or --only ours")
    known = CHANGES if options.what == "study" else ("peer", "ours")
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {unknown.pop()}: none of {', '.join(known)}")
    if options.what != "table" and options.folder is None:
        parser.error("name a folder of recordings")
    return options


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.preset = options.preset or ("small" if options.what == "study" else "paper")
    options.minutes = options.minutes or (3.5 if options.what == "study" else 10)
    {"study": study, "bar": bar, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
