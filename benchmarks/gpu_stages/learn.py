"""A run of given seconds on a folder of recordings: its curve, its model, and what it sounds like.

The schedule is fitted to the time: a few steps are timed first. Everything goes into the folder
`learn` beside the report, the model as `best.safetensors`, which `wavenet generate` takes.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import soundfile as sf
import torch

from benchmarks.gpu_stages.report import Column, Report
from benchmarks.studies.bundle import slim_best
from wavenet.config.loading import parse_assignments
from wavenet.data.corpus import Corpus
from wavenet.model import checkpoint
from wavenet.plotting.sound import Clip, sample
from wavenet.training.events import TrainingListener
from wavenet.training.run_folder import Run
from wavenet.training.session import train
from wavenet.training.trainer import Trainer

# For the audio and its picture.
RENDERING_SECONDS = 30.0
CLIP_SECONDS = 5.0
# A step of a session, with its logging, takes longer than one that is timed alone.
SLACK = 1.1
EVALUATIONS = 12
CURVE = (
    Column("minutes", "minutes", 7, ".2f"),
    Column("step", "step", 7, ",d"),
    Column("train_bits", "training", 8, ".3f"),
    Column("validation_bits", "validation", 10, ".3f"),
)


class StepSeconds(TrainingListener):
    """Remembers what a dry run measured."""

    seconds = 0.0

    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None:
        self.seconds = seconds_per_step


class Curve(TrainingListener):
    """A row for every evaluation. Keeps the recordings that training has read."""

    corpus: Corpus

    def __init__(self, report: Report) -> None:
        self._report = report
        self._train_bits: float | None = None

    def prepared(self, run: Run, corpus: Corpus) -> None:
        self.corpus = corpus
        self._table = self._report.table("learn", CURVE, "bits per sample")

    def logged(self, metrics: dict[str, Any]) -> None:
        self._train_bits = metrics.get("train_bits", self._train_bits)
        if "validation_bits" in metrics:
            values = {k: metrics[k] for k in ("step", "validation_bits")}
            minutes = metrics["seconds"] / 60
            self._table.row(minutes=minutes, train_bits=self._train_bits, **values)


def run(
    report: Report, device: torch.device, folder: Path, preset: str, settings: list[str]
) -> None:
    """Train for what is left of the stage's time, and render."""
    where = report.path.parent / "learn"
    if where.exists():
        # Of an earlier call: a run there would go on with its own schedule.
        shutil.rmtree(where)
    overrides = {"train.sample_seconds": 0, "train.validation": "tails"}
    overrides |= parse_assignments(settings)

    def session(listener: TrainingListener, **more: Any) -> Run:
        return train(
            folder,
            config=preset,
            overrides=overrides,
            out=where / "run",
            device=device.type,
            cache=where / "cache",
            listeners=[listener],
            **more,
        )

    timed, curve = StepSeconds(), Curve(report)
    session(timed, dry_run=True)
    steps = planned_steps(report.left - RENDERING_SECONDS, timed.seconds)
    overrides |= {"train.steps": steps, "train.evaluate_every": max(1, steps // EVALUATIONS)}
    report.say(f"{preset}: {1e3 * timed.seconds:.1f} ms a step, so {steps:,} steps")
    report.keep("plan", {"preset": preset, "seconds_per_step": timed.seconds, "steps": steps})
    trained = session(curve, max_hours=max(1.0, report.left - RENDERING_SECONDS) / 3600)
    model = where / "best.safetensors"
    checkpoint.save(model, slim_best(trained))
    shutil.copyfile(trained.metrics_file, where / trained.metrics_file.name)
    render(report, where, model, curve.corpus)


def planned_steps(seconds: float, seconds_per_step: float) -> int:
    """So many that the schedule ends with the time."""
    return max(2, int(seconds / (SLACK * seconds_per_step)))


def render(report: Report, where: Path, model: Path, corpus: Corpus) -> None:
    """Clips of the model beside a recording that it never heard, and pictures of both.

    The clips are made by the machine's fastest engine, or by the CPU's if that fails.
    """
    rate = corpus.config.audio.sample_rate
    held_out = where / "held-out.wav"
    wav = corpus.wav(max(corpus.validation, key=len))[: round(CLIP_SECONDS * rate)]
    sf.write(held_out, wav, rate)
    picture = held_out.with_suffix(".png")
    sample(picture, Clip.recording(wav), rate, "a recording that it never heard")
    clip = where / "clip.wav"
    what = ["vocode", model, held_out]
    if not corpus.config.model.follows_frames:
        what = ["generate", model, f"--seconds={CLIP_SECONDS}"]
    for engine in ("auto", "numba"):
        how = ["--seed=1", f"--engine={engine}", "--force", f"-o{clip}"]
        if succeeded(report, [*map(str, what), *how]):
            made, _ = sf.read(clip, dtype="float32")
            sample(clip.with_suffix(".png"), Clip(made), rate, "made by the model")
            return


def succeeded(report: Report, arguments: list[str]) -> bool:
    """Whether a command of the program ended well. What it printed is reported."""
    command = [sys.executable, "-m", "wavenet", *arguments]
    limit = max(5.0, report.left)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        report.say(f"{' '.join(arguments[:2])}: no end in {limit:.0f} s")
        return False
    # A bar on standard error is of no use here, and the reason of a failure is its last line.
    printed = done.stdout if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]
    report.say(printed.rstrip())
    return done.returncode == 0
