"""Which settings learn most in the same minutes: the runs behind docs/learning.md and the presets.

    python benchmarks/learning.py study FOLDER                   one change at a time from a base, the preset `small`
    python benchmarks/learning.py bar FOLDER --peer CHECKOUT     `paper` against r9y9/wavenet_vocoder's module trained its own way
    python benchmarks/learning.py table                          what docs/learning/runs.jsonl holds, as tables

Every run appends a line with its whole curve to docs/learning/runs.jsonl, or to --runs FILE. CHECKOUT is a clone of
https://github.com/r9y9/wavenet_vocoder (a35fff7 was measured). Minutes are those that the cores worked for the run (processor
time over threads): what else the machine does changes them little. Validation is not counted. The learning rate's schedule ends with the
minutes. Validation is `tails`: the last tenth of each file, heard with its own past.
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
from changes import CHANGES, Change
from peer import RATE, WINDOW, Training, module, one_hot
from torch import nn

from wavenet.config import Config, loading
from wavenet.data.dataset import Corpus
from wavenet.data.loader import to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.model.network import WaveNet
from wavenet.system.machine import machine
from wavenet.training.trainer import Trainer

RUNS = Path(__file__).parent.parent / "docs" / "learning" / "runs.jsonl"
GROUP = (
    "kind",
    "folder",
    "preset",
    "minutes",
    "threads",
    "machine",
)  # and settings; what runs of one table have in common
CPU = torch.device("cpu")
AVERAGES = (
    0.0,
    0.9,
    0.95,
    0.98,
    0.99,
)  # decays that are kept besides the trainer's own; 0 is the weights as they are
EVALUATIONS = 6  # over a run
COMMON = ("train.validation=tails", "train.precision=fp32", "train.validation_seconds=1000")
BASE = (
    "train.batch=2",
    "train.segment_seconds=0.5",
    "train.learning_rate=12e-3",
    "train.warmup_steps=50",
    "train.augment_gain_db=0",
)
THEIRS = (
    "train.batch=4",
    "train.segment_seconds=0.5",
    "train.augment_gain_db=0",
)  # the windows that the peer's are cut from


# --- a run --------------------------------------------------------------------------------------------------------------


class Clock:
    """Minutes that the cores have worked for this process."""

    def __init__(self, threads: int) -> None:
        self.threads, self.used, self._since = threads, 0.0, 0.0

    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.used += (time.process_time() - self._since) / self.threads


def corpus_of(folder: Path, wanted: Config) -> Corpus:
    return Corpus(
        index_folder(folder, wanted.audio, trim=wanted.trims), wanted, wanted.model.receptive_field
    )


@torch.no_grad()
def scored(model: WaveNet, settings: Config, corpus: Corpus) -> tuple[float, float]:
    """(bits per sample, bits per 16-bit sample) of all held-out audio."""
    nats = samples = finer = 0.0
    for batch in corpus.validation_batches():
        x, counts, given, _ = to_device(settings, batch, CPU)
        target = x[:, model.receptive_field :]
        nats += float(model.distribution.loss(model(x[:, :-1], given), target, counts))
        finer += float((model.distribution.bits_to_16bit(target.numpy()) * counts.numpy()).sum())
        samples += float(counts.sum())
    bits = nats / samples / math.log(2)
    return bits, bits + finer / samples


def train(
    name: str, settings: Config, corpus: Corpus, change: Change, minutes: float
) -> dict[str, Any]:
    """Train for so many minutes. Returns the run's curve and figures."""
    trainer = Trainer(settings, corpus, CPU)
    if change.apply:
        change.apply(trainer)
    averages = {d: [p.detach().clone() for p in trainer.model.parameters()] for d in AVERAGES}
    clock, started, losses, curve = Clock(torch.get_num_threads()), time.monotonic(), [], []
    due = [60 * minutes * (i + 1) / EVALUATIONS for i in range(EVALUATIONS - 1)]
    while True:
        with clock:
            losses.append(trainer.train_step())
            for decay, kept in averages.items():
                torch._foreach_lerp_(
                    kept,
                    list(trainer.model.parameters()),
                    1 - min(decay, (1 + trainer.step) / (10 + trainer.step)),
                )
        if trainer.step > 3:  # the schedule ends with the minutes
            steps = max(trainer.step + 1, round(60 * minutes / clock.used * trainer.step))
            trainer.config = replace(
                trainer.config, train=replace(trainer.config.train, steps=steps)
            )
        over = clock.used >= 60 * minutes
        if over or (due and clock.used >= due[0]):
            bits, bits_16 = scored(trainer.ema_network, settings, corpus)
            curve.append(
                [
                    round(clock.used, 1),
                    trainer.step,
                    round(statistics.mean(losses[-20:]), 4),
                    round(bits, 4),
                ]
            )
            due = due[1:]
            print(
                f"  {name}: {clock.used / 60:.1f} min, step {trainer.step}: {bits:.3f}", flush=True
            )
        if over:
            break
    others = {}
    for decay, kept in averages.items():
        with torch.no_grad():
            for p, q in zip(trainer.ema_network.parameters(), kept, strict=True):
                p.copy_(q)
        others[f"{decay:g}"] = round(scored(trainer.ema_network, settings, corpus)[0], 4)
    return {
        "steps": trainer.step, "wall_minutes": round((time.monotonic() - started) / 60, 2), "bits": curve[-1][3],
        "bits_16": round(bits_16, 4), "averages": others, "curve": curve,
    }  # fmt: skip


# --- the peer -----------------------------------------------------------------------------------------------------------


def train_peer(
    checkout: str, rate: float, settings: Config, corpus: Corpus, minutes: float
) -> dict[str, Any]:
    """r9y9's module at these sizes, trained its own way: Adam at a constant rate, zero-padded windows of 8,000 samples, no averaging."""
    torch.manual_seed(settings.train.seed)
    peer = module(checkout, settings.model)
    training = Training(peer, settings.model.levels, rate)
    clock, started, losses, curve = Clock(torch.get_num_threads()), time.monotonic(), [], []
    due = [60 * minutes * (i + 1) / EVALUATIONS for i in range(EVALUATIONS)]
    step = 0
    while due:
        with clock:
            x = torch.as_tensor(
                corpus.batch(step).x[:, -WINDOW - 1 :]
            )  # its own windows: no context before them
            losses.append(training.step(x) / math.log(2))
        step += 1
        if clock.used >= due[0]:
            bits = peer_bits(peer, settings, corpus)
            curve.append(
                [
                    round(clock.used, 1),
                    step,
                    round(statistics.mean(losses[-20:]), 4),
                    round(bits, 4),
                ]
            )
            due = due[1:]
            print(f"  peer: {clock.used / 60:.1f} min, step {step}: {bits:.3f}", flush=True)
    return {
        "steps": step,
        "wall_minutes": round((time.monotonic() - started) / 60, 2),
        "bits": curve[-1][3],
        "curve": curve,
    }


@torch.no_grad()
def peer_bits(peer: nn.Module, settings: Config, corpus: Corpus) -> float:
    """With each sample's exact context, as ours is scored."""
    nats = samples = 0.0
    peer.eval()
    for batch in corpus.validation_batches():
        x, counts, _, _ = to_device(settings, batch, CPU)
        field = settings.model.receptive_field
        logits = peer(one_hot(x[:, :-1], settings.model.levels))[:, :, field - 1 :]
        nats += float(
            (nn.functional.cross_entropy(logits, x[:, field:], reduction="none") * counts).sum()
        )
        samples += float(counts.sum())
    peer.train()
    return nats / samples / math.log(2)


# --- all of them ---------------------------------------------------------------------------------------------------------


def record(file: Path, **run: Any) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps(run) + "\n")


def study(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for name in options.only or CHANGES:
            change = CHANGES[name]
            settings = loading.load(
                options.preset,
                [*COMMON, *BASE, *change.settings, *options.set, f"train.seed={seed}"],
            )
            found = train(
                name, settings, corpus_of(options.folder, settings), change, options.minutes
            )
            print(
                f"{name:40} seed {seed}: {found['bits']:.3f} bits, {found['bits_16']:.3f} per 16-bit sample, {found['steps']} steps",
                flush=True,
            )
            record(options.runs, kind="study", name=name, folder=options.folder.name, preset=options.preset, seed=seed, set=options.set,
                   minutes=options.minutes, threads=torch.get_num_threads(), machine=machine(), **found)  # fmt: skip


def bar(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        settings = loading.load(options.preset, [*COMMON, *options.set, f"train.seed={seed}"])
        theirs = loading.load(options.preset, [*COMMON, f"train.seed={seed}", *THEIRS])
        common = {"folder": options.folder.name, "preset": options.preset, "seed": seed, "minutes": options.minutes,
                  "threads": torch.get_num_threads(), "machine": machine()}  # fmt: skip
        for name in options.only or ("peer", "ours"):
            wanted = theirs if name == "peer" else settings
            corpus = corpus_of(options.folder, wanted)
            if name == "peer":
                found = train_peer(options.peer, options.peer_rate, wanted, corpus, options.minutes)
            else:
                found = train(name, wanted, corpus, Change(), options.minutes)
            print(
                f"{name} seed {seed}: {found['bits']:.3f} bits after {found['steps']} steps",
                flush=True,
            )
            as_told = (
                "" if name == "ours" or options.peer_rate == RATE else f" at {options.peer_rate:g}"
            )
            record(
                options.runs,
                kind="bar",
                name=name + as_told,
                set=options.set if name == "ours" else [],
                **common,
                **found,
            )


def table(options: argparse.Namespace) -> None:
    """Every group of runs on one folder, as the document shows it: the ends, then the curves."""
    found = [json.loads(line) for line in options.runs.read_text().splitlines()]
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for run in found:
        groups.setdefault((*(run[k] for k in GROUP), *run["set"]), []).append(run)
    for group in groups.values():
        first, minutes = group[0], group[0]["minutes"]
        print(
            f"\n{first['kind']}: {first['preset']} on {first['folder']}, {minutes:g} minutes, {first['threads']} thread(s)"
        )
        print(f"{first['machine']}\n")
        ends(group)
        print(
            f"\n| | {' | '.join(f'{minutes * (i + 1) / EVALUATIONS:.1f}' for i in range(EVALUATIONS))} minutes |"
        )
        print("|---" * (EVALUATIONS + 1) + "|")
        for run in sorted(group, key=lambda r: (r["name"], r["seed"])):
            print(
                f"| {run['name']}, seed {run['seed']} | {' | '.join(f'{c[3]:.3f}' for c in run['curve'])} |"
            )


def ends(group: list[dict[str, Any]]) -> None:
    """A row for every change, the best first."""
    base = {r["seed"]: final(r) for r in group if r["name"] in ("base", "peer")}
    rows = []
    for name in dict.fromkeys(r["name"] for r in group):
        same = [r for r in group if r["name"] == name]
        against = [final(r) - base[r["seed"]] for r in same if r["seed"] in base]
        cells = [
            spread([r["bits"] for r in same]),
            spread([r["bits_16"] for r in same if "bits_16" in r]),
            spread([best(r) for r in same]),
        ]
        cells.append(
            "" if name in ("base", "peer") or not against else f"{statistics.mean(against):+.3f}"
        )
        cells += [
            str(round(statistics.mean(r["steps"] for r in same))),
            ", ".join(str(seed) for seed in sorted(r["seed"] for r in same)),
        ]
        rows.append((statistics.mean(final(r) for r in same), f"| {name} | {' | '.join(cells)} |"))
    print(
        "| | bits per sample | per 16-bit sample | at its best | against the base | steps | seeds |\n|---|---|---|---|---|---|---|"
    )
    print("\n".join(row for _, row in sorted(rows)))


def final(run: dict[str, Any]) -> float:
    """What compares: in the study, whose outputs differ in kind, bits per 16-bit sample."""
    return float(run["bits_16" if run["kind"] == "study" else "bits"])


def best(run: dict[str, Any]) -> float:
    return float(min(c[3] for c in run["curve"]))


def spread(values: list[float]) -> str:
    """The mean, and how far the values lie apart."""
    return (
        f"{statistics.mean(values):.3f}"
        + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "")
        if values
        else ""
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
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
