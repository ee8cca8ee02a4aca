"""What is known of runs from their folders, without their recordings and without torch."""

import csv
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wavenet.config import Config
from wavenet.errors import RunError, WavenetError
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Training
from wavenet.training.run_folder import Run, read_metrics


@dataclass(frozen=True)
class RunSummary:
    """A run, or a trained model that is left of one; what is not known is None or empty."""

    folder: Path
    config: Config | None = None
    training: Training | None = None
    """The state of training in the newest checkpoint."""

    metrics: Sequence[dict[str, Any]] = ()
    """The logged lines."""

    recordings: str = ""
    """The folder of the recordings."""

    count: int | None = None
    """Of the recordings."""

    seconds: float | None = None
    """Their length."""

    held_out: int = 0
    """How many of them are never trained on."""

    labels: tuple[str, ...] = ()
    is_training: bool = False
    """Whether a process trains it now."""

    changed: float = 0.0
    """When it was last written to, in seconds since 1970."""

    problems: tuple[str, ...] = ()
    """What is damaged."""

    @property
    def step(self) -> int:
        """Steps done, as far as logged or saved."""
        saved = self.training.step if self.training else 0
        return max([saved, *(int(m["step"]) for m in self.metrics)])

    @property
    def hours(self) -> float:
        """Spent training."""
        saved = self.training.seconds if self.training else 0.0
        return max([saved, *(float(m["seconds"]) for m in self.metrics)]) / 3600

    @property
    def validations(self) -> list[tuple[int, float]]:
        """(step, bits per sample) of each validation."""
        return [
            (m["step"], m["validation_bits"])
            for m in self.metrics
            if isinstance(m.get("validation_bits"), int | float)
        ]

    @property
    def best(self) -> tuple[int, float] | None:
        """The step and the bits per sample of the best validation."""
        points = self.validations
        saved = self.training
        if saved and saved.best_bits is not None and saved.best_step is not None:
            points.append((saved.best_step, saved.best_bits))
        # Of a run that diverged some may be NaN, which compares with nothing.
        points = [(step, bits) for step, bits in points if math.isfinite(bits)]
        return min(points, key=lambda point: (point[1], point[0]), default=None)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, or one that has lost its checkpoints."""
    has_log = (folder / "config.toml").is_file() and (folder / "metrics.jsonl").is_file()
    return locate.is_run(folder) or has_log


def runs_in(folder: Path) -> Iterator[Path]:
    """A folder if it is a run, or else all runs in it and in its folders, by name.

    Raises RunError when there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(folder, "no such folder", "`wavenet train` makes runs")
    for place, folders, _ in os.walk(folder):
        if is_run(Path(place)):
            yield Path(place)
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def summary_of(folder: Path) -> RunSummary:
    """What is known of a run. What is damaged is among the `problems`, and nothing is raised."""
    run, problems = Run(folder), list[str]()
    summary = RunSummary(folder, is_training=_is_training(folder), changed=_changed(run))
    for read in (_with_checkpoint, _with_config, _with_metrics, _with_recordings):
        try:
            summary = read(summary, run)
        except (WavenetError, OSError) as e:
            problems.append(str(e))
    # Two may say the same.
    return replace(summary, problems=tuple(dict.fromkeys(problems)))


def summary_of_model(path: Path) -> RunSummary:
    """What is known of a checkpoint file: of its run, or of what lies beside it.

    Raises CheckpointError.
    """
    model = checkpoint.load(path, arrays=False)
    summary = RunSummary(path, model.config, model.training, changed=path.stat().st_mtime)
    folder = path.absolute().parent
    if folder.name == "checkpoints" and is_run(folder.parent):
        about = summary_of(folder.parent)
        until = [m for m in about.metrics if m["step"] <= model.training.step]
        return replace(
            about, folder=path, config=model.config, training=model.training, metrics=until
        )
    with suppress(RunError, OSError):
        summary = replace(summary, metrics=read_metrics(path.with_suffix(".jsonl")))
    summary = replace(summary, labels=model.config.model.labels, recordings=model.training.folder)
    return _with_table(summary, path.with_suffix(".csv"))


def _with_checkpoint(summary: RunSummary, run: Run) -> RunSummary:
    latest = locate.load_latest(run.checkpoints, arrays=False)
    if latest is None:
        return summary
    return replace(summary, config=latest.config, training=latest.training)


def _with_config(summary: RunSummary, run: Run) -> RunSummary:
    return replace(summary, config=run.config())


def _with_metrics(summary: RunSummary, run: Run) -> RunSummary:
    return replace(summary, metrics=run.metrics())


def _with_recordings(summary: RunSummary, run: Run) -> RunSummary:
    """With what corpus.json and recordings.csv say."""
    about = run.corpus()
    labels = about.get("labels", {}).values()
    known = summary.config.model.labels if summary.config else ()
    held_out = about.get("held_out", [])
    summary = replace(
        summary,
        recordings=about.get("folder") or (summary.training.folder if summary.training else ""),
        count=len(about["recordings"]) if about.get("recordings") else None,
        held_out=len(held_out) if isinstance(held_out, list) else 0,
        labels=known or tuple(sorted(set(labels))),
    )
    return _with_table(summary, run.folder / "recordings.csv")


def _with_table(summary: RunSummary, path: Path) -> RunSummary:
    """With the number and length of the recordings that a table such as recordings.csv lists."""
    seconds = []
    held_out = 0
    with suppress(OSError, ValueError, KeyError, csv.Error), open(path, encoding="utf-8-sig") as f:
        for row in csv.DictReader(f):
            if row["use"] in ("training", "validation", "left out"):
                seconds.append(float(row["seconds"]))
                held_out += row["use"] == "validation"
    if not seconds:
        return summary
    return replace(summary, count=len(seconds), seconds=sum(seconds), held_out=held_out)


def _changed(run: Run) -> float:
    """When a run was last written to."""
    times = [0.0]
    for path in (run.metrics_file, run.config_file, run.checkpoints):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def _is_training(folder: Path) -> bool:
    """Whether another process holds the lock of a run."""
    path = folder / ".lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        # Of somebody else's, who may train it or not.
        return False
