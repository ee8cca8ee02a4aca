"""What beginning from a trained model is worth: the runs behind docs/learning.md.

    python -m benchmarks.studies.fine_tuning study FOLDER --from base-speech nothing --preset small
    python -m benchmarks.studies.fine_tuning table

`study` trains on FOLDER from each of the models named, with `fine_tuning.RECIPE`, and from random
weights with the preset of the same sizes, for each of the --steps with a schedule of its own. Every
run appends a line to docs/learning/fine-tuning.jsonl, or to --runs FILE; `table` prints what is
there. Minutes are those that the cores worked for a run, without validation, as in `learning`.
Validation is `tails`: the last tenth of each file, predicted from what precedes it there.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.studies.learning import COMMON, CPU, Clock, dataset_of, record, scored
from wavenet.config import Config, loading
from wavenet.system.machine import machine
from wavenet.training import fine_tuning
from wavenet.training.trainer import Trainer

RUNS = Path(__file__).parents[2] / "docs" / "learning" / "fine-tuning.jsonl"
STEPS = (25, 50, 100, 200, 400, 800)
NOTHING = "nothing"


def settings_for(base: str, preset: str, assignments: list[str]) -> Config:
    overrides = loading.parse_assignments([*COMMON, *assignments])
    if base == NOTHING:
        return loading.load(preset, overrides)
    return fine_tuning.config_from(fine_tuning.load(base).config, base, preset or None, overrides)


def run(base: str, settings: Config, folder: Path) -> dict[str, Any]:
    """Train once, to the end of the schedule."""
    dataset = dataset_of(folder, settings)
    trainer, clock = Trainer(dataset, CPU), Clock(torch.get_num_threads())
    if base != NOTHING:
        trainer.begin_from(fine_tuning.load(base), ())
    with clock:
        while trainer.step < settings.train.steps:
            trainer.train_step()
    bits, _ = scored(trainer.ema_network, settings, dataset)
    return {"bits": round(bits, 4), "minutes": round(clock.used / 60, 3)}


def study(options: argparse.Namespace) -> None:
    for base in options.bases:
        for steps in options.steps:
            for seed in options.seeds:
                assignments = [*options.set, f"train.steps={steps}", f"train.seed={seed}"]
                settings = settings_for(base, options.preset, assignments)
                figures = run(base, settings, options.folder)
                name = Path(base).stem
                print(
                    f"{options.folder.name:12} from {name:12} {steps:>4} steps, seed {seed}: "
                    f"{figures['bits']:.3f} bits, {figures['minutes']:.2f} minutes",
                    flush=True,
                )
                record(
                    options.runs,
                    folder=options.folder.name,
                    base=name,
                    preset=options.preset,
                    steps=steps,
                    seed=seed,
                    set=options.set,
                    threads=torch.get_num_threads(),
                    machine=machine(),
                    **figures,
                )


def table(options: argparse.Namespace) -> None:
    """A row for each folder and beginning, a column for each length."""
    runs = [json.loads(line) for line in options.runs.read_text().splitlines()]
    rows: dict[tuple[str, ...], dict[int, list[dict[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in runs:
        begun = ", ".join([each["base"], *each["set"]])
        rows[each["folder"], begun][each["steps"]].append(each)
    lengths = sorted({each["steps"] for each in runs})
    print(f"| recordings | begun from | {' | '.join(map(str, lengths))} steps |")
    print("| -- " * (len(lengths) + 2) + "|")
    for (folder, begun), by_steps in sorted(rows.items()):
        cells = [_cell(by_steps.get(steps, [])) for steps in lengths]
        print(f"| {folder} | {begun} | {' | '.join(cells)} |")


def _cell(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return ""
    bits = statistics.mean(each["bits"] for each in runs)
    minutes = statistics.mean(each["minutes"] for each in runs)
    return f"{bits:.3f} ({minutes:.1f} min)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["study", "table"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--from", dest="bases", nargs="+", default=["base-speech", NOTHING])
    parser.add_argument("--preset", default="")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_intermixed_args()
    if options.what == "study" and options.folder is None:
        parser.error("name a folder of recordings")
    if options.what == "study" and NOTHING in options.bases and not options.preset:
        parser.error("nothing needs a --preset")
    if options.threads:
        torch.set_num_threads(options.threads)
    {"study": study, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
