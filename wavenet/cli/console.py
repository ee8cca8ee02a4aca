"""What the terminal shows while a model is trained."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wavenet.config import Config
from wavenet.data.dataset import Corpus
from wavenet.data.pcm_cache import Index
from wavenet.model.cost import model_cost
from wavenet.system.device import peak_bytes
from wavenet.system.progress import bar
from wavenet.training.events import TrainingListener
from wavenet.training.memory import estimate
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

SKIPPED_SHOWN = 8
LABELS_SHOWN = 12
# A folder whose loudest moment lies below this gets advice.
QUIET_DBFS = -30.0


def duration(seconds: float) -> str:
    """90 -> '1:30', 4000 -> '1:06:40'; below a minute, '12.3 s'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def size(count: float) -> str:
    """Bytes: 31_000_000 -> '31 MB', 1_100_000_000 -> '1.10 GB'."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class ConsoleReport(TrainingListener):
    """Prints one session of training, with a progress bar."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        # Of the loss of the steps so far, in bits per sample.
        self._ema_bits: float | None = None

    def note(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)

    def indexing(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = bar(total, desc="reading ", unit="recordings", leave=False, aside=True)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._close()

    def prepared(self, config: Config, run: Run, corpus: Corpus) -> None:
        cost = model_cost(config.model, config.audio.sample_rate)
        self.note(
            f"model      {config.name}: {len(cost.layers)} layers, {cost.parameters:,} parameters, "
            f"hears {cost.receptive_field:,} samples ({cost.receptive_field_ms:.0f} ms)"
        )
        for line in corpus_lines(corpus):
            self.note(line)
        self.note(f"run        {run.folder}")

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        steps = f"steps {trainer.step + 1} to {until} of {trainer.config.train.steps}"
        left = duration((until - trainer.step) * seconds_per_step)
        self.note(
            f"training   {steps} {_where(trainer)}: {seconds_per_step:.2f} s a step, "
            f"about {left} plus evaluations"
        )
        self._bar = bar(until, unit="steps", initial=trainer.step)
        self._levels = trainer.model.distribution.levels
        self._seconds, self._first_step = trainer.seconds, trainer.step

    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None:
        config, train = trainer.config, trainer.config.train
        # The windows of this rank's shard, and of those, how many a forward pass takes.
        shard_windows = -(-train.batch // trainer.processes.world_size)
        windows = -(-shard_windows // train.accumulate)
        parts = f", {windows} at a time" if windows < train.batch else ""
        self.note(
            f"step       {train.batch} windows of {config.segment_samples:,} samples, each after "
            f"{trainer.model.receptive_field:,} of context{parts}, {_where(trainer)}"
        )
        self.note(f"memory     {_memory_line(trainer, shard_windows)}")
        rate = train.batch * config.segment_samples / seconds_per_step
        self.note(
            f"time       {seconds_per_step:.3g} s a step, {rate / 1000:.1f}k samples/s; "
            f"{train.steps:,} steps take about {duration(train.steps * seconds_per_step)} "
            "plus evaluations"
        )
        self.note("dry run    nothing was written but the cache of decoded recordings")

    def stepped(self, trainer: Trainer, bits: float) -> None:
        assert self._bar is not None
        self._ema_bits = bits if self._ema_bits is None else 0.95 * self._ema_bits + 0.05 * bits
        config = trainer.config
        steps, seconds = trainer.step - self._first_step, trainer.seconds - self._seconds
        rate = steps * config.train.batch * config.segment_samples / max(1e-9, seconds)
        progress = f"{self._ema_bits:.2f} of {math.log2(self._levels):g} bits"
        self._bar.set_postfix_str(f"{progress}, {rate / 1000:.1f}k samples/s", refresh=False)
        self._bar.update()

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        line = "no held-out audio"
        if trainer.validation_bits is not None:
            line = f"validation {trainer.validation_bits:.3f} bits per sample"
        if trainer.best and trainer.best[1] == trainer.step:
            line += ", the best so far"
        if sample:
            line += f"; {sample}"
        self.note(f"step {trainer.step:>6}  {line}")

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        self._close()
        early = trainer.out_of_patience and not interrupted
        if not early and (interrupted or trainer.step < trainer.config.train.steps):
            self.note(
                f"stopped at step {trainer.step}, everything is saved. "
                f"Go on with: wavenet train --out {run.folder}"
            )
            return
        why = "done"
        if early:
            why = f"ended early: nothing since step {trainer.best_step} was better (train.patience)"
        command = f"generate {run.folder}"
        if trainer.config.model.follows_frames:
            command = f"vocode {run.folder} RECORDING"
        self.note(f"{why}. Hear it with: wavenet {command}")

    def close(self) -> None:
        """Leave the terminal tidy, whatever happened."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _where(trainer: Trainer) -> str:
    """The precision, the device, and how many threads and processes work on it."""
    import torch

    where = f"in {trainer.precision} on {trainer.device}"
    if trainer.device.type == "cpu":
        where += f" ({torch.get_num_threads()} threads)"
    if trainer.processes.world_size > 1:
        where += f" in each of {trainer.processes.world_size} processes"
    return where


def _memory_line(trainer: Trainer, shard_windows: int) -> str:
    """The memory that a step of this rank takes: estimated, and as far as it can be measured."""
    config, train = trainer.config, trainer.config.train
    accumulate = min(shard_windows, train.accumulate)
    shard = replace(config, train=replace(train, batch=shard_windows, accumulate=accumulate))
    element_bytes = 4 if trainer.precision == "fp32" else 2
    memory = estimate(shard, element_bytes, blocks=trainer.device.type == "cpu")
    line = (
        f"{size(memory.total)} estimated: {size(memory.weights)} for weights, gradients, average "
        f"and moments, {size(memory.activations)} for activations"
    )
    used = peak_bytes(trainer.device)
    if used is None:
        return line
    measured = "measured" if trainer.device.type == "cuda" else "the whole process has used"
    return f"{line}; {measured} {size(used)}"


def corpus_lines(corpus: Corpus) -> list[str]:
    """What was kept, trimmed and skipped, and why."""
    index, config = corpus.index, corpus.config
    line = f"recordings {index.folder}: {len(index.recordings)} recordings"
    line += f", {duration(index.seconds)} at {index.sample_rate} Hz"
    duplicates = sum(r.duplicate_of is not None for r in index.recordings)
    if duplicates:
        line += f"; {duplicates} duplicates"
    lines = [line]
    if config.trims:
        trimmed = sum(r.trimmed_seconds for r in index.recordings)
        lines.append(f"trimmed    {duration(trimmed)} of silence at their ends (audio.trim)")
    lines.append(f"level      {level_line(index, config)}")
    lines += conditioning_lines(corpus)
    if index.skipped:
        lines.append(
            f"skipped    {len(index.skipped)} files; recordings.csv in the run folder lists all"
        )
        lines += [f"           {s.name}: {s.reason}" for s in index.skipped[:SKIPPED_SHOWN]]
    if index.ignored:
        lines.append(f"ignored    {index.ignored} other files: hidden, or not audio by their names")
    held_out_seconds = sum(map(len, corpus.validation)) / index.sample_rate
    what = "the last tenth of each recording"
    if corpus.held_out:
        what = f"{len(corpus.held_out)} whole recordings"
    lines.append(f"held out   {duration(held_out_seconds)} for validation: {what}")
    lines += [f"note       {note}" for note in corpus.notes]
    megabytes = cache_bytes(index) / 1e6
    lines.append(
        f"cache      {index.cache} ({megabytes:.1f} MB, {index.decoded} files decoded now)"
    )
    return lines


def conditioning_lines(corpus: Corpus) -> list[str]:
    """The labels, with the length of the recordings to train on of each, and the mel frames."""
    model, rate = corpus.config.model, corpus.index.sample_rate
    lines = []
    if model.labels:
        samples = [0] * len(model.labels)
        for span in corpus.training:
            samples[span.label] += len(span)
        each = [
            f"{label} {duration(count / rate)}"
            for label, count in zip(model.labels, samples, strict=True)
        ]
        more = f", ... ({len(each)} in all)" if len(each) > LABELS_SHOWN else ""
        lines.append(f"labels     {', '.join(each[:LABELS_SHOWN])}{more}")
    if model.follows_frames:
        every = f"every {model.mel_hop} samples ({1000 * model.mel_hop / rate:.1f} ms)"
        bands = f"{model.mel_bands} mel bands from {model.mel_low_hz:g} to {model.mel_high_hz:g} Hz"
        lines.append(f"frames     {bands} {every}")
    return lines


def level_line(index: Index, config: Config) -> str:
    """The gains that bring the recordings to the level of training."""
    gains_db = [r.gain_db for r in index.recordings]
    if config.audio.level == "peak":
        gains = f"{min(gains_db):+.1f} to {max(gains_db):+.1f} dB"
        return f"each peak brought to {config.audio.peak_db:g} dBFS: {gains} (audio.level)"
    loudest = max(r.loudest_db for r in index.recordings)
    line = f"as recorded, loudest moment at {loudest:.0f} dBFS (audio.level)"
    scaled = sum(gain_db != 0 for gain_db in gains_db)
    if scaled:
        line += f"; {scaled} scaled down to fit"
    if loudest < QUIET_DBFS:
        line += "; very quiet: consider --set audio.level=peak"
    return line


def cache_bytes(index: Index) -> int:
    return sum(p.stat().st_size for p in index.cache.iterdir())
