"""What the terminal shows while a model is trained."""

import math
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wavenet.arithmetic import ceil_div
from wavenet.cli import terminal
from wavenet.cli.corpus_lines import corpus_lines
from wavenet.cli.option_names import with_options
from wavenet.cli.values import duration
from wavenet.config import ModelConfig
from wavenet.data.corpus import Corpus
from wavenet.errors import reason_of
from wavenet.generation.provenance import model_name
from wavenet.model.checkpoint import Training
from wavenet.model.cost import model_cost
from wavenet.system.device import peak_bytes
from wavenet.system.shell import command
from wavenet.system.text import counted
from wavenet.training.bars import Bars
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer


def size(count: float) -> str:
    """Bytes: 31_000_000 -> '31 MB', 1_100_000_000 -> '1.10 GB'."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class ConsoleReport(Bars):
    """Prints one session of training, with a progress bar."""

    name = "this display"

    def __init__(self) -> None:
        super().__init__()
        self._is_resumed = False
        # Whether nobody reads the lines any more.
        self._unread = False
        # Whether a signal ended it before its last step.
        self.interrupted = False

    def note(self, text: str) -> None:
        self._show(text, terminal.status)

    def warning(self, text: str) -> None:
        self._show(f"warning: {text}", terminal.warn)

    def _result(self, text: str) -> None:
        """Show what the command is about, with --quiet too."""
        self._show(text, terminal.result)

    def _show(self, text: str, show: Callable[[str], None]) -> None:
        if self._unread:
            return
        try:
            show(text)
        except OSError as e:
            self._unread = True
            _discard_output()
            with suppress(OSError):
                why = f"these lines can be shown no more ({reason_of(e)})"
                terminal.warn(f"warning: {why}; training goes on")

    def resumed(self, trainer: Trainer, run: Run, before: Training) -> None:
        import torch

        self._is_resumed = True
        self.note(f"resuming {run.folder} at step {trainer.step}")
        threads = torch.get_num_threads()
        is_same = (before.torch, before.threads) == (torch.__version__, threads)
        if trainer.device.type == "cpu" and not is_same:
            was = f"torch {before.torch} on {before.threads} threads"
            now = f"torch {torch.__version__} on {threads}"
            effect = "results may differ in the last bits from an uninterrupted run"
            self.note(f"note: it was trained with {was}, now {now}: {effect}")
        was, now = before.precision, f"{trainer.precision} (train.precision)"
        if was not in ("", trainer.precision):
            self.note(f"note: it was trained in {was} so far, from now on in {now}")

    def nothing_left(self, trainer: Trainer, run: Run, until: int) -> None:
        step = trainer.step
        if trainer.out_of_patience:
            why = f"ended at step {step} because nothing since step {trainer.best_step} was better"
            more = ("--set", "train.patience=0", "--accept-changes")
            advice = f"; to go on: {_go_on(trainer, run, *more)}"
        elif step >= trainer.config.train.steps:
            why = f"is at step {step} already"
            more = ("--steps", "N", "--accept-changes")
            advice = f"; to go on, give a longer schedule: {_go_on(trainer, run, *more)}"
        else:
            why, advice = f"is at step {step} already, past --stop-at {until}", ""
        self.note(f"{run.folder}: {why}{advice}")

    def prepared(self, run: Run, corpus: Corpus) -> None:
        config = corpus.config
        cost = model_cost(config.model, config.audio.sample_rate)
        network = f"{len(cost.layers)} layers, {cost.parameters:,} parameters"
        hears = f"{cost.receptive_field:,} samples ({cost.receptive_field_ms:.0f} ms)"
        self.note(f"model      {config.name}: {network}, hears {hears}")
        if source := config.train.init_from:
            self.note(f"weights    begun from {model_name(Path(source))} (train.init_from)")
        for line in corpus_lines(corpus, not self._is_resumed):
            self.note(line)
        self.note(f"run        {run.folder}")

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        last = trainer.config.train.steps
        upto = f"{until} of {last}"
        if trainer.estimates_steps:
            upto = f"{until} of about {last}" if until < last else f"about {last}"
        steps = f"steps {trainer.step + 1} to {upto}"
        left = duration((until - trainer.step) * seconds_per_step)
        speed = f"{seconds_per_step:.2f} s a step, about {left} plus evaluations"
        self.note(f"training   {steps} {_where(trainer)}: {speed}")
        super().starting(trainer, until, seconds_per_step)

    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None:
        config, train = trainer.config, trainer.config.train
        # The windows that a forward pass of this rank takes.
        windows = ceil_div(ceil_div(train.batch, trainer.processes.world_size), train.accumulate)
        parts = f", {windows} at a time" if windows < train.batch else ""
        context = f"each after {trainer.model.receptive_field:,} of context"
        step = f"{train.batch} windows of {config.segment_samples:,} samples, {context}"
        self._result(f"step       {step}{parts}, {_where(trainer)}")
        if (used := peak_bytes(trainer.device)) is not None:
            what = "tensors" if trainer.device.type == "cuda" else "the whole process"
            self._result(f"memory     {size(used)} at the most, for {what}")
        rate = train.batch * config.segment_samples / seconds_per_step
        speed = f"{seconds_per_step:.3g} s a step, {rate / 1000:.1f}k samples/s"
        length = f"{train.steps:,} steps take about {duration(train.steps * seconds_per_step)}"
        if train.minutes:
            steps = max(1, round(60 * train.minutes / seconds_per_step))
            length = f"{train.minutes:g} minutes are about {steps:,} steps"
        self._result(f"time       {speed}; {length} plus evaluations")
        self._result("dry run    nothing was written but the cache of decoded recordings")

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        super().evaluated(trainer, sample)
        line = "no held-out audio"
        bits, ignorance = trainer.validation_bits, math.log2(trainer.model.distribution.levels)
        if bits is not None:
            line = f"validation {bits:.3f} bits per sample"
        if bits is not None and bits >= ignorance:
            line += f", no better than knowing nothing ({ignorance:g} bits)"
        elif trainer.best_step == trainer.step:
            line += ", the best so far"
        if sample:
            line += f"; {sample}"
        self.note(f"step {trainer.step:>6}  {line}")

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        super().finished(trainer, run, interrupted)
        self.interrupted = interrupted
        early = trainer.out_of_patience and not interrupted
        why = f"stopped at step {trainer.step}, everything is saved"
        next_command = f"Go on with: {_go_on(trainer, run)}"
        if early or not (interrupted or trainer.step < trainer.config.train.steps):
            why, next_command = "done", f"Hear it with: {first_audio(trainer.config.model, run)}"
        if early:
            why = f"ended early: nothing since step {trainer.best_step} was better (train.patience)"
        self._result(f"{why}. {next_command}")


def _discard_output() -> None:
    """Let standard output go nowhere from here on, with what it still holds."""
    with suppress(OSError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())


def _go_on(trainer: Trainer, run: Run, *more: str) -> str:
    """The command that goes on with a run."""
    return with_options(run.command_to_go_on(trainer.corpus.index.cache.parent, *more))


def first_audio(model: ModelConfig, run: Run) -> str:
    """The command that makes the first audio with a run."""
    if not (kinds := {*model.conditioning} - {"label"}):
        return command("wavenet", "generate", run.folder)
    if "mel" in kinds:
        return command("wavenet", "vocode", run.folder, "RECORDING")
    source = "RECORDING"
    if kinds == {"features"}:
        source = "FEATURES.npy"
    elif kinds == {"segments"}:
        # Labels of several words cannot be typed.
        first, is_word = model.segment_labels[0], re.compile(r"[^\s,|]+").fullmatch
        source = f"{first}:0.5" if is_word(first) else "LABELS.csv"
    elif "pitch" in kinds and kinds <= {"pitch", "loudness"}:
        source = "C4:0.5 E4 G4:1"
    label = ("--label", model.labels[0]) if model.labels else ()
    return command("wavenet", "play", run.folder, source, *label)


def _where(trainer: Trainer) -> str:
    """The precision, the device, and how many threads and processes work on it."""
    import torch

    where = f"in {trainer.precision} on {trainer.device}"
    if trainer.device.type == "cpu":
        where += f" ({counted(torch.get_num_threads(), 'thread')})"
    if trainer.processes.world_size > 1:
        where += f" in each of {trainer.processes.world_size} processes"
    return where
