"""What makes a vocoder speak: the runs behind docs/learning.md and `vocoder-small`.

    python -m benchmarks.studies.vocoders study FOLDER TEST [--only CHANGE ...] [--set KEY=VALUE]
    python -m benchmarks.studies.vocoders score MODEL TEST
    python -m benchmarks.studies.vocoders table

`study` trains the preset on FOLDER with each change of CHANGES, for --steps with a schedule of its
own, and makes the recordings of TEST again from their frames. Every run appends a line with its
curve to docs/learning/vocoders.jsonl, or to --runs FILE; `table` prints what is there. `score`
prints how a trained model makes the recordings of TEST again, each of them and their mean, beside
Griffin-Lim. Copies are made with one seed at each of the --temperatures. STOI and PESQ want the
extra `metrics`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

import wavenet
from benchmarks.studies.learning import record
from wavenet.config import loading
from wavenet.data.pcm_cache import index_folder
from wavenet.engines.options import EngineOptions
from wavenet.evaluation.copy_synthesis import MAX_SECONDS, CopySynthesisScore, resynthesize
from wavenet.evaluation.metrics import CopyMetrics
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import machine
from wavenet.training.run_folder import Run

RUNS = Path(__file__).parents[2] / "docs" / "learning" / "vocoders.jsonl"
COMMON = ("train.sample_seconds=0", "train.precision=fp32")
CHANGES: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "predicts audio": ("model.linear_prediction=0",),
    "no noise on what is heard": ("train.input_noise=0",),
    "noise of up to 16 levels": ("train.input_noise=16",),
    "noise of up to 16 levels, of 2 later": ("train.input_noise=16",),
    "256 mu-law levels": ("model.output=mulaw",),
    "hears 511 samples": ("model.layers=16", "model.dilation_cycle=128"),
    "hears 2,047 samples": ("model.layers=20", "model.dilation_cycle=512"),
    "64 residual channels": ("model.residual_channels=64", "model.gate_channels=128"),
    "pitch beside the mel frames": ("model.conditioning=['mel', 'pitch']",),
    "frames of 2,048 samples": ("model.frame_window=2048",),
    "a rate of 1e-2": ("train.learning_rate=1e-2",),
    "2 windows of half a second": ("train.batch=2", "train.segment_seconds=0.5"),
}
# What some set for the last LATER_SHARE of their steps.
LATER: dict[str, tuple[str, ...]] = {
    "noise of up to 16 levels, of 2 later": ("train.input_noise=2",),
}
LATER_SHARE = 0.4
FIGURES = {
    "stoi": "STOI",
    "pesq": "PESQ",
    "mel_db": "mel dB",
    "pitch_accuracy": "F0 %",
    "voicing_error": "V/UV %",
}
SHARES = ("pitch_accuracy", "voicing_error")

# By temperature, or of Griffin-Lim: the mean of each figure.
Figures = dict[str, dict[str, float | None]]


def copies(
    model: Model, test: Path, temperature: float
) -> Iterator[tuple[str, CopySynthesisScore]]:
    """The score of every recording in `test`, by its name, of which the beginning is made again."""
    index = index_folder(test, model.config.audio, trim=False)
    longest, sampling = round(MAX_SECONDS * index.sample_rate), Sampling(temperature=temperature)
    for recording in index.recordings:
        excerpt = [(index.pcm(recording)[:longest], 0)]
        options = EngineOptions(precision="auto")
        yield recording.name, resynthesize(model, excerpt, "numba", options, sampling=sampling)


def mean(scores: list[CopyMetrics]) -> dict[str, float | None]:
    """The figures, each the mean over the recordings that have it; None where none has."""
    rows = [asdict(score) for score in scores]
    return {name: _mean_of([row[name] for row in rows]) for name in FIGURES}


def _mean_of(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 4) if known else None


def figures_of(model: Model, test: Path, temperatures: list[float]) -> Figures:
    """The means at each temperature, and of Griffin-Lim."""
    means: Figures = {}
    for temperature in temperatures:
        scores = [score for _, score in copies(model, test, temperature)]
        means[f"{temperature:g}"] = mean([score.model for score in scores])
        means["Griffin-Lim"] = mean([score.griffin_lim for score in scores])
    return means


def trained(
    options: argparse.Namespace, out: Path, settings: list[str], seed: int, later: tuple[str, ...]
) -> Model:
    """A model with these settings, whose last steps have those of `later` besides."""
    train = partial(
        wavenet.train,
        options.folder,
        options.preset,
        init_from=options.begin,
        out=out,
        steps=options.steps,
        seed=seed,
    )
    overrides = loading.parse_assignments(settings)
    if not later:
        return train(overrides=overrides)
    first = round((1 - LATER_SHARE) * options.steps)
    train(overrides=overrides, on_step=lambda step, _: step >= first)
    overrides |= loading.parse_assignments(later)
    return train(overrides=overrides, accept_changes=True)


def study(options: argparse.Namespace) -> None:
    for change, seed in product(options.only or CHANGES, options.seeds):
        settings = [*COMMON, *CHANGES[change], *options.set]
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder) / "run")
            model = trained(options, run.folder, settings, seed, LATER.get(change, ()))
            curve = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
        minutes = (time.process_time() - began) / torch.get_num_threads() / 60
        means = figures_of(model, options.test, options.temperatures)
        name = ", ".join([change, *options.set])
        show(f"{name}, seed {seed}", means)
        record(
            options.runs,
            change=name,
            folder=options.folder.name,
            test=options.test.name,
            preset=options.preset,
            begin=options.begin,
            steps=options.steps,
            seed=seed,
            set=settings,
            minutes=round(minutes, 2),
            threads=torch.get_num_threads(),
            machine=machine(),
            figures=means,
            curve=[[line["step"], line["train_bits"]] for line in curve if "train_bits" in line],
        )


def score(options: argparse.Namespace) -> None:
    model = wavenet.load(options.folder)
    for temperature in options.temperatures:
        scores = dict(copies(model, options.test, temperature))
        for name, each in scores.items():
            show(name, {f"{temperature:g}": mean([each.model])})
        both = {
            f"{temperature:g}": mean([each.model for each in scores.values()]),
            "Griffin-Lim": mean([each.griffin_lim for each in scores.values()]),
        }
        show("mean", both)


def show(name: str, means: Figures) -> None:
    for temperature, figures in means.items():
        cells = (f"{title} {_cell(key, figures[key])}" for key, title in FIGURES.items())
        print(f"{name:32} {temperature:12} {'  '.join(cells)}", flush=True)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if name in SHARES else f"{value:.3f}"


def table(options: argparse.Namespace) -> None:
    """A table for what is made again, with a row for each change and temperature.

    A row is the mean over the seeds of runs that are alike else, with the least and the most; the
    last are Griffin-Lim's, each with the first change that has its frames. Minutes are of
    processor time, over the threads.
    """
    runs = [json.loads(line) for line in options.runs.read_text().splitlines()]
    for test in dict.fromkeys(run["test"] for run in runs):
        heads = ["learnt from", "after", "change", "steps", "seeds", "minutes", *FIGURES.values()]
        print(f"\n{test}:\n\n| {' | '.join(heads)} |\n{'| -- ' * len(heads)}|")
        rows: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        griffin_lim: dict[str, str] = {}
        for run in (run for run in runs if run["test"] == test):
            others = run["figures"].pop("Griffin-Lim")
            griffin_lim.setdefault(json.dumps(others), run["change"])
            for temperature, figures in run["figures"].items():
                at = "" if temperature == "1" else f", temperature {temperature}"
                begin, change = run["begin"] or "nothing", run["change"] + at
                row = rows[run["folder"], begin, change, str(run["steps"])]
                row.append(figures | {"minutes": run["minutes"]})
        for about, figures in rows.items():
            minutes = statistics.fmean(each["minutes"] for each in figures)
            _print_row([*about, str(len(figures)), f"{minutes:.1f}"], figures)
        for others, change in griffin_lim.items():
            _print_row(["Griffin-Lim", "", change, "", "", ""], [json.loads(others)])


def _print_row(about: list[str], figures: list[dict[str, float | None]]) -> None:
    cells = [_spread(key, [each[key] for each in figures]) for key in FIGURES]
    print(f"| {' | '.join([*about, *cells])} |")


def _spread(name: str, values: list[float | None]) -> str:
    """The mean, and where there is more than one value the least and the most."""
    known = [value for value in values if value is not None]
    both = f" ({_cell(name, min(known))} to {_cell(name, max(known))})" if len(known) > 1 else ""
    return _cell(name, _mean_of(values)) + both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["study", "score", "table"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("test", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--preset", default="vocoder-small")
    parser.add_argument("--begin", default=None)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_intermixed_args()
    if options.what != "table" and options.test is None:
        parser.error("name a folder or a model, and a folder of recordings to test it on")
    if options.threads:
        torch.set_num_threads(options.threads)
    {"study": study, "score": score, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
