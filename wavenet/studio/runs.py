"""Runs as the page shows them: which there are, how far each is, and how its curves grow."""

import math
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from wavenet.arithmetic import ceil_div
from wavenet.errors import printable
from wavenet.generation.provenance import model_name
from wavenet.model.cost import model_cost
from wavenet.studio.places import name_of, run_folders
from wavenet.studio.processes import Training, Trainings, reason_of_failure
from wavenet.studio.recordings import identity
from wavenet.studio.studio import Studio
from wavenet.training.run_folder import Run
from wavenet.training.run_summary import RunSummary, summary_of

# Of each curve, in one answer.
MOST_POINTS = 1000
# Folders are searched for runs this often, and an unchanged run is looked at again.
SEARCH_SECONDS, LOOK_SECONDS = 4.0, 10.0
_SAMPLE = re.compile(r"step-(\d{1,12})\.wav")
# (step, hours, bits per sample)
Point = tuple[int, float, float]


@dataclass(frozen=True)
class Known:
    """What was read of a run, and when its files were as they were then."""

    signature: tuple[object, ...]
    # A new one when a run forgets what a crash undid: its log is then another file.
    edition: str
    summary: RunSummary
    read_at: float


class Runs:
    """The runs of a studio. Reading is cheap where nothing has changed."""

    def __init__(self, studio: Studio, trainings: Trainings) -> None:
        self.studio, self.trainings = studio, trainings
        self.problems: list[str] = []
        self._found: dict[str, Path] = {}
        self._searched = -math.inf
        self._known: dict[Path, Known] = {}
        self._lock = threading.Lock()

    @property
    def home(self) -> Path:
        """Where new runs are made."""
        return self.studio.root / "runs"

    def all(self) -> dict[str, Path]:
        """The folders of all runs, by what pages call them."""
        with self._lock:
            if time.monotonic() - self._searched > SEARCH_SECONDS:
                self._found = {identity(folder): folder for folder in self._search()}
                self._searched = time.monotonic()
            started = {identity(folder): folder for folder in self.trainings.folders()}
            return self._found | started

    def folder(self, name: str) -> Path:
        """The folder of a run. Raises HTTPException."""
        try:
            return self.all()[name]
        except KeyError:
            raise HTTPException(404, "no such run") from None

    def known(self, folder: Path) -> Known:
        """What is known of a run."""
        with self._lock:
            before, signature = self._known.get(folder), _signature(folder)
            training = self.trainings.of(folder)
            if before and before.signature == signature:
                # To look whether another process trains it is to take its lock for a moment, which
                # a training that starts now must not meet.
                is_ours = training is not None and training.is_alive
                if is_ours or time.monotonic() - before.read_at < LOOK_SECONDS:
                    return before
            known = Known(signature, _edition(folder), summary_of(folder), time.monotonic())
            self._known[folder] = known
            return known

    def look_again(self, folder: Path) -> Known:
        """What is known of a run, with what changes no file: whether another process trains it."""
        with self._lock:
            self._known.pop(folder, None)
        return self.known(folder)

    def _search(self) -> list[Path]:
        self.problems = []
        return run_folders(self.studio, self.problems.append)

    def name(self, folder: Path) -> str:
        """What a run is called on the page."""
        return name_of(self.studio, folder)

    def head(self, folder: Path) -> dict[str, Any]:
        """How far a run is, for a line of a list."""
        training = self.trainings.of(folder)
        about = {"id": identity(folder), "name": self.name(folder)}
        if training and not Run(folder).config_file.exists():
            # Nothing is read before training has locked the run, and then described it.
            return about | _not_begun(training)
        summary = self.known(folder).summary
        if training and summary.is_training and not training.is_alive:
            # What is known may be of a moment ago, when it was still alive.
            summary = self.look_again(folder).summary
            if summary.is_training:
                self.trainings.forget(folder)
        state, is_ours = _state(summary, training)
        config, best = summary.config, summary.best
        steps = config.train.steps if config else None
        return about | {
            "state": state,
            "is_ours": is_ours,
            "error": reason_of_failure(folder) if state == "failed" else "",
            "can_stop": is_ours and state != "stopping",
            "can_resume": state in ("stopped", "failed") and bool(config),
            "config": config.name if config else "",
            "step": summary.step,
            "steps": steps,
            "best_step": best[0] if best else None,
            "best_bits": best[1] if best else None,
            "hours": _finite(summary.hours),
            "recordings": printable("/".join(Path(summary.recordings).parts[-2:])),
            "changed": summary.changed,
            "problems": [printable(problem) for problem in summary.problems],
        }


def _not_begun(training: Training) -> dict[str, Any]:
    """The line of a run that has no folder yet, or never got one."""
    state = "stopped"
    if training.is_alive:
        state = "stopping" if training.is_stopping else "starting"
    elif training.has_failed:
        state = "failed"
    return {
        "state": state,
        "is_ours": training.is_alive,
        "error": reason_of_failure(training.folder) if state == "failed" else "",
        "can_stop": state == "starting",
        "can_resume": False,
        **{"config": "", "step": 0, "steps": None, "best_step": None, "best_bits": None},
        **{"hours": 0.0, "recordings": "", "changed": training.began, "problems": []},
    }


def _state(summary: RunSummary, training: Training | None) -> tuple[str, bool]:
    """What becomes of a run at the moment, and whether the studio can stop it."""
    if training and training.is_alive:
        if training.is_stopping:
            return "stopping", True
        with suppress(OSError):
            # Written once recordings are read and the run is locked.
            if Run(summary.folder).config_file.stat().st_mtime >= training.began:
                return "training", True
        return "starting", True
    if summary.is_training:
        return "training", False
    if training and training.has_failed:
        return "failed", False
    steps = summary.config.train.steps if summary.config else math.inf
    # A training that came to its end may have done so early, for want of patience.
    ended = training is not None and training.process is not None and not training.was_interrupted
    return "done" if ended or summary.step >= steps else "stopped", False


def details(folder: Path, summary: RunSummary) -> dict[str, Any]:
    """What does not change as a run grows: its settings and its recordings."""
    config = summary.config
    facts: dict[str, Any] = {}
    if config:
        cost = model_cost(config.model, config.audio.sample_rate)
        begun_from = config.train.init_from
        facts = {
            "purpose": config.purpose,
            "layers": len(cost.layers),
            "parameters": cost.parameters,
            "hears_ms": cost.receptive_field_ms,
            "sample_rate": config.audio.sample_rate,
            "begun_from": printable(model_name(Path(begun_from))) if begun_from else "",
            "settings": config.to_toml(),
        }
    return {
        "path": printable(folder),
        "model": facts,
        "data": {
            "folder": printable(summary.recordings),
            "count": summary.count,
            "seconds": None if summary.seconds is None else _finite(summary.seconds),
            "held_out": summary.held_out,
            "labels": [printable(label) for label in summary.labels],
        },
    }


def curves(known: Known, after: int, edition: str) -> dict[str, Any]:
    """The points that a page lacks which has seen `after` lines of the log of an `edition`.

    All of them for another edition.
    """
    lines = known.summary.metrics
    is_whole = edition != known.edition or not 0 < after <= len(lines)
    new = lines if is_whole else lines[after:]
    return {
        "edition": known.edition,
        "lines": len(lines),
        "is_whole": is_whole,
        "training": thinned(_points(new, "train_bits")),
        "validation": thinned(_points(new, "validation_bits")),
    }


def _points(lines: Sequence[dict[str, Any]], name: str) -> list[Point]:
    points = []
    for line in lines:
        bits, seconds = line.get(name), line["seconds"]
        if isinstance(bits, int | float) and math.isfinite(bits) and math.isfinite(seconds):
            points.append((line["step"], round(seconds / 3600, 6), bits))
    return points


def thinned(points: list[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points; each is then the mean of some, at the last one's step."""
    if len(points) <= most:
        return points
    size = ceil_div(len(points), most)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    means = (sum(bits for *_, bits in part) / len(part) for part in parts)
    return [(*part[-1][:2], round(mean, 5)) for part, mean in zip(parts, means, strict=True)]


def samples(folder: Path, first: int = 0) -> list[dict[str, Any]]:
    """The audio of each evaluation from step `first` on, with its picture if there is one."""
    found = []
    place = Run(folder).samples
    with suppress(OSError), os.scandir(place) as entries:
        files = {e.name for e in entries if e.is_file(follow_symlinks=False)}
        for name in files:
            match = _SAMPLE.fullmatch(name)
            if match and int(match[1]) >= first:
                picture = name.removesuffix(".wav") + ".png"
                found.append(
                    {
                        "step": int(match[1]),
                        "wav": name,
                        "picture": picture if picture in files else None,
                    }
                )
    return sorted(found, key=lambda sample: (sample["step"], sample["wav"]))


def sample_file(folder: Path, name: str) -> Path:
    """A wav or a picture of the samples that are listed. Raises HTTPException."""
    listed = {sample[kind] for sample in samples(folder) for kind in ("wav", "picture")}
    if name not in listed:
        raise HTTPException(404, "no such sample")
    return Run(folder).samples / name


def _finite(value: float) -> float:
    """What JSON can hold."""
    return value if math.isfinite(value) else 0.0


def _signature(folder: Path) -> tuple[object, ...]:
    """What changes when any file changes that tells of a run."""
    run, parts = Run(folder), list[object]()
    others = (folder / "corpus.json", folder / "recordings.csv", run.checkpoints)
    for path in (run.config_file, run.metrics_file, *others):
        try:
            status = path.stat()
            parts.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            parts.append(None)
    return tuple(parts)


def _edition(folder: Path) -> str:
    try:
        return str(Run(folder).metrics_file.stat().st_ino)
    except OSError:
        return ""
