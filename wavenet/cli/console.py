"""What the command line shows of a sitting of training. Only this module and `cli` print."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wavenet.config import Config
from wavenet.data.dataset import Corpus
from wavenet.data.pcm_cache import Index
from wavenet.model.cost import model_cost as receptive_report
from wavenet.system.device import peak_bytes
from wavenet.system.progress import bar
from wavenet.training.events import TrainingListener
from wavenet.training.memory import estimate
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

SKIPPED_SHOWN = 8
LABELS_SHOWN = 12
QUIET_DBFS = -30.0  # a folder whose loudest moment lies below this is worth a word


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
    """Prints one sitting of training."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._smooth: float | None = None

    def note(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)

    def indexing(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = bar(total, desc="reading ", unit="recordings", leave=False, aside=True)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._close()

    def prepared(self, config: Config, run: Run, corpus: Corpus) -> None:
        r = receptive_report(config.model, config.audio.sample_rate)
        self.note(
            f"model      {config.name}: {len(r.layers)} layers, {r.parameters:,} parameters, "
            f"hears {r.receptive_field:,} samples ({r.receptive_field_ms:.0f} ms)"
        )
        for line in corpus_lines(corpus):
            self.note(line)
        self.note(f"run        {run.folder}")

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        left = until - trainer.step
        self.note(
            f"training   steps {trainer.step + 1} to {until} of {trainer.config.train.steps} {_where(trainer)}: "
            f"{seconds_per_step:.2f} s a step, about {duration(left * seconds_per_step)} plus evaluations"
        )
        self._bar = bar(until, unit="steps", initial=trainer.step)
        self._levels = trainer.model.distribution.levels
        self._seconds, self._first_step = trainer.seconds, trainer.step

    def dry_run_done(self, trainer: Trainer, seconds_per_step: float) -> None:
        config, train = trainer.config, trainer.config.train
        number = 4 if trainer.precision == "fp32" else 2
        share = -(-train.batch // trainer.processes.world_size)
        mine = replace(
            config, train=replace(train, batch=share, accumulate=min(share, train.accumulate))
        )
        needed = estimate(mine, number, blocks=trainer.device.type == "cpu")
        used = peak_bytes(trainer.device)
        whole = "measured" if trainer.device.type == "cuda" else "the whole process has used"
        windows = -(-share // train.accumulate)
        parts = f", {windows} at a time" if windows < train.batch else ""
        rate = train.batch * config.segment_samples / seconds_per_step
        self.note(
            f"step       {train.batch} windows of {config.segment_samples:,} samples, each after "
            f"{trainer.model.receptive_field:,} of context{parts}, {_where(trainer)}"
        )
        self.note(
            f"memory     {size(needed.total)} estimated: {size(needed.weights)} for weights, gradients, average and moments, "
            f"{size(needed.activations)} for activations"
            + ("" if used is None else f"; {whole} {size(used)}")
        )
        self.note(
            f"time       {seconds_per_step:.3g} s a step, {rate / 1000:.1f}k samples/s; {train.steps:,} steps take about "
            f"{duration(train.steps * seconds_per_step)} plus evaluations"
        )
        self.note("dry run    nothing was written but the cache of decoded recordings")

    def stepped(self, trainer: Trainer, bits: float) -> None:
        assert self._bar is not None
        self._smooth = bits if self._smooth is None else 0.95 * self._smooth + 0.05 * bits
        config = trainer.config
        per_step = config.train.batch * config.segment_samples
        rate = (
            per_step
            * (trainer.step - self._first_step)
            / max(1e-9, trainer.seconds - self._seconds)
        )
        self._bar.set_postfix_str(
            f"{self._smooth:.2f} of {math.log2(self._levels):g} bits, {rate / 1000:.1f}k samples/s",
            refresh=False,
        )
        self._bar.update()

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        valid = (
            "no held-out audio"
            if trainer.validation_bits is None
            else f"validation {trainer.validation_bits:.3f} bits per sample"
        )
        best = ", the best so far" if trainer.best and trainer.best[1] == trainer.step else ""
        self.note(f"step {trainer.step:>6}  {valid}{best}{f'; {sample}' if sample else ''}")

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        self._close()
        early = trainer.out_of_patience and not interrupted
        if not early and (interrupted or trainer.step < trainer.config.train.steps):
            self.note(
                f"stopped at step {trainer.step}, everything is saved. Go on with: wavenet train --out {run.folder}"
            )
            return
        hear = (
            f"vocode {run.folder} RECORDING"
            if trainer.config.model.mel_bands
            else f"generate {run.folder}"
        )
        why = (
            f"ended early: nothing since step {trainer.best_step} was better (train.patience)"
            if early
            else "done"
        )
        self.note(f"{why}. Hear it with: wavenet {hear}")

    def close(self) -> None:
        """Leave the terminal tidy, whatever happened."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _where(trainer: Trainer) -> str:
    import torch

    threads = f" ({torch.get_num_threads()} threads)" if trainer.device.type == "cpu" else ""
    together = (
        f" in each of {trainer.processes.world_size} processes"
        if trainer.processes.world_size > 1
        else ""
    )
    return f"in {trainer.precision} on {trainer.device}{threads}{together}"


def corpus_lines(corpus: Corpus) -> list[str]:
    """What was kept, trimmed and skipped, and why."""
    index, config = corpus.index, corpus.config
    files = (
        f"{len(index.recordings)} recordings, {duration(index.seconds)} at {index.sample_rate} Hz"
    )
    twins = sum(r.duplicate_of is not None for r in index.recordings)
    lines = [f"recordings {index.folder}: {files}" + (f"; {twins} duplicates" if twins else "")]
    if config.trims:
        lines.append(
            f"trimmed    {duration(sum(r.trimmed_seconds for r in index.recordings))} of silence at their ends (audio.trim)"
        )
    lines.append(f"level      {level_line(index, config)}")
    lines += told_lines(corpus)
    if index.skipped:
        lines.append(
            f"skipped    {len(index.skipped)} files; recordings.csv in the run folder lists all"
        )
        lines += [f"           {s.name}: {s.reason}" for s in index.skipped[:SKIPPED_SHOWN]]
    if index.ignored:
        lines.append(f"ignored    {index.ignored} other files: hidden, or not audio by their names")
    held = sum(len(s) for s in corpus.validation) / index.sample_rate
    what = (
        f"{len(corpus.held_out)} whole recordings"
        if corpus.held_out
        else "the last tenth of each recording"
    )
    lines.append(f"held out   {duration(held)} for validation: {what}")
    lines += [f"note       {n}" for n in corpus.notes]
    lines.append(
        f"cache      {index.cache} ({cache_bytes(index) / 1e6:.1f} MB, {index.decoded} files decoded now)"
    )
    return lines


def told_lines(corpus: Corpus) -> list[str]:
    """What the network is told besides the past; of labels, how much there is to train on."""
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
    if model.mel_bands:
        every = f"every {model.mel_hop} samples ({1000 * model.mel_hop / rate:.1f} ms)"
        lines.append(
            f"frames     {model.mel_bands} mel bands from {model.mel_low_hz:g} to {model.mel_high_hz:g} Hz {every}"
        )
    return lines


def level_line(index: Index, config: Config) -> str:
    loud = max(r.loudest_db for r in index.recordings)
    if config.audio.level == "peak":
        gains = [r.gain_db for r in index.recordings]
        return f"each peak brought to {config.audio.peak_db:g} dBFS: {min(gains):+.1f} to {max(gains):+.1f} dB (audio.level)"
    advice = "; very quiet: consider --set audio.level=peak" if loud < QUIET_DBFS else ""
    scaled = sum(r.gain_db != 0 for r in index.recordings)
    return (
        f"as recorded, loudest moment at {loud:.0f} dBFS (audio.level)"
        + (f"; {scaled} scaled down to fit" if scaled else "")
        + advice
    )


def cache_bytes(index: Index) -> int:
    return sum(p.stat().st_size for p in index.cache.iterdir())
