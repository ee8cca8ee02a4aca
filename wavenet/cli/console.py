"""What the terminal shows while a model is trained."""

import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

from wavenet.arithmetic import ceil_div
from wavenet.cli import terminal
from wavenet.cli.option_names import with_options
from wavenet.cli.values import duration
from wavenet.config import Config, ModelConfig
from wavenet.config.loading import load, preset_names
from wavenet.data.corpus import Corpus
from wavenet.data.labels import outer_folders
from wavenet.data.pcm_cache import Index
from wavenet.errors import reason_of
from wavenet.generation.provenance import model_name
from wavenet.model.checkpoint import Training
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.model.cost import model_cost
from wavenet.model.known_labels import labels_line
from wavenet.system.device import peak_bytes
from wavenet.system.progress import Progress, bar
from wavenet.system.shell import command
from wavenet.system.text import counted
from wavenet.training.events import Display
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

FILES_SHOWN = 8
RATES_SHOWN = 3
LABELS_SHOWN = 12
# A folder whose loudest moment lies below this gets advice.
QUIET_DBFS = -30.0


def size(count: float) -> str:
    """Bytes: 31_000_000 -> '31 MB', 1_100_000_000 -> '1.10 GB'."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class Smoothed:
    """An exponential moving average of the loss in bits per sample, unbiased from the first on."""

    decay = 0.9

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, bits: float) -> None:
        self._sum = self.decay * self._sum + (1 - self.decay) * bits
        self._weight = self.decay * self._weight + 1 - self.decay

    @property
    def mean(self) -> float:
        return self._sum / self._weight


class ConsoleReport(Display):
    """Prints one session of training, with a progress bar."""

    name = "this display"

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._loss = Smoothed()
        # When this session began, and how many evaluations it has had.
        self._began, self._evaluations = 0.0, 0
        # Where this session began: the step, and the seconds trained before it.
        self._first_step, self._first_seconds = 0, 0.0
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

    def indexing(self, done: int, total: int) -> None:
        self._count(done, total, "reading ")

    def extracting(self, done: int, total: int) -> None:
        self._count(done, total, "pitch of ")

    def _count(self, done: int, total: int, what: str) -> None:
        if self._bar is None:
            self._bar = bar(total, desc=what, unit="recordings", leave=False, aside=True)
        self._bar.update(done - self._bar.n)
        if done == total:
            self.close()

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
        steps = f"steps {trainer.step + 1} to {until} of {trainer.config.train.steps}"
        left = duration((until - trainer.step) * seconds_per_step)
        speed = f"{seconds_per_step:.2f} s a step, about {left} plus evaluations"
        self.note(f"training   {steps} {_where(trainer)}: {speed}")
        self._first_step, self._first_seconds = trainer.step, trainer.seconds
        self._began = time.monotonic()
        self._bar = bar(until, unit="steps", initial=trainer.step)

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

    def stepped(self, trainer: Trainer, bits: float) -> None:
        assert self._bar is not None
        self._loss.add(bits)
        config, seconds = trainer.config, trainer.seconds - self._first_seconds
        steps = trainer.step - self._first_step
        rate = steps * config.train.batch * config.segment_samples / max(1e-9, seconds)
        loss = f"{self._loss.mean:.2f} of {math.log2(trainer.model.distribution.levels):g} bits"
        self._bar.set_postfix_str(f"{loss}, {rate / 1000:.1f}k samples/s", refresh=False)
        self._bar.remaining = self._seconds_left(trainer, seconds / steps)
        self._bar.update()

    def _seconds_left(self, trainer: Trainer, seconds_per_step: float) -> float:
        """Until the last step, with the evaluations until then as far as their length is known."""
        assert self._bar is not None
        last, every = int(self._bar.total or 0), trainer.config.train.evaluate_every
        left = (last - trainer.step) * seconds_per_step
        if self._evaluations:
            trained = trainer.seconds - self._first_seconds
            besides = time.monotonic() - self._began - trained
            to_come = ceil_div(last, every) - trainer.step // every
            left += to_come * besides / self._evaluations
        return left

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        self._evaluations += 1
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
        self.close()
        self.interrupted = interrupted
        early = trainer.out_of_patience and not interrupted
        why = f"stopped at step {trainer.step}, everything is saved"
        next_command = f"Go on with: {_go_on(trainer, run)}"
        if early or not (interrupted or trainer.step < trainer.config.train.steps):
            why, next_command = "done", f"Hear it with: {first_audio(trainer.config.model, run)}"
        if early:
            why = f"ended early: nothing since step {trainer.best_step} was better (train.patience)"
        self._result(f"{why}. {next_command}")

    def close(self) -> None:
        """Leave the terminal tidy, whatever happened."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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


def corpus_lines(corpus: Corpus, is_new: bool = True) -> Iterator[str]:
    """What was kept, trimmed and skipped, and why. A run that `is_new` may still change more."""
    index, config = corpus.index, corpus.config
    count = counted(len(index.recordings), "recording")
    duplicates = sum(r.duplicate_of is not None for r in index.recordings)
    more = f"; {counted(duplicates, 'duplicate')}" if duplicates else ""
    length = f"{duration(index.seconds)} at {index.sample_rate} Hz"
    yield f"recordings {index.selection}: {count}, {length}{more}"
    yield from rate_lines(index, config)
    if config.trims:
        trimmed = sum(r.trimmed_seconds for r in index.recordings)
        yield f"trimmed    {duration(trimmed)} of silence at their ends (audio.trim)"
    elif config.audio.trim:
        why = "train.validation = tails scores whole files"
        if config.train.frames_from:
            why = "frames are of whole files (train.frames_from)"
        elif beside := [k for k in ("features", "segments") if k in config.model.conditioning]:
            why = f"{beside[0]} are of whole files"
        yield f"trimmed    nothing, because {why}"
    yield f"level      {level_line(index, config)}"
    yield from conditioning_lines(corpus, is_new)
    if order := config.model.linear_prediction:
        yield f"predicts   what excites a filter of {order} taps (model.linear_prediction)"
    if most := config.train.input_noise:
        where = "what the network reads, in validation too (train.input_noise)"
        yield f"noise      of up to {most:g} mu-law levels on {where}"
    noted = [(r.name, r.note) for r in index.recordings if r.note and not r.duplicate_of]
    yield from _listed("noted", noted)
    yield from _listed("skipped", [(s.name, s.reason) for s in index.skipped])
    used = sum(len(corpus.contents_beside.get(kind, ())) for kind in ("features", "segments"))
    if index.ignored > used:
        others = counted(index.ignored - used, "other file")
        yield f"ignored    {others}: hidden, or not audio by their names"
    what = "the last tenth of each recording"
    if corpus.held_out:
        what = counted(len(corpus.held_out), "whole recording")
    held_out_seconds = sum(map(len, corpus.validation)) / index.sample_rate
    yield f"held out   {duration(held_out_seconds)} for validation: {what}"
    for note in corpus.notes:
        yield f"note       {note}"
    megabytes = sum(p.stat().st_size for p in index.cache.iterdir()) / 1e6
    decoded = f"{counted(index.decoded, 'file')} decoded now"
    yield f"cache      {index.cache} ({megabytes:.1f} MB, {decoded})"


def _listed(heading: str, files: list[tuple[str, str]]) -> Iterator[str]:
    """Some of the files that something is to be said of, each with what that is."""
    shown = len(files) if terminal.verbosity.verbose else FILES_SHOWN
    if files:
        more = "; recordings.csv in the run folder lists all" if len(files) > shown else ""
        yield f"{heading:10} {counted(len(files), 'file')}{more}"
    for name, reason in files[:shown]:
        yield f"           {name}: {reason}"


def rate_lines(index: Index, config: Config) -> Iterator[str]:
    """What was resampled, and which presets would keep what that takes away."""
    rates = Counter(r.rate for r in index.recordings if r.rate not in (0, index.sample_rate))
    if not rates:
        return
    each = [f"{count} from {rate} Hz" for rate, count in rates.most_common(RATES_SHOWN)]
    more = f", and from {len(rates) - RATES_SHOWN} other rates" if len(rates) > RATES_SHOWN else ""
    yield f"resampled  {', '.join(each)}{more}"
    usual = rates.most_common(1)[0][0]
    others = ((name, load(name)) for name in preset_names())
    is_kind = attrgetter("model.conditioning")
    keep = [
        name
        for name, other in others
        if index.sample_rate < other.audio.sample_rate <= usual
        and is_kind(other) == is_kind(config)
    ]
    if keep and 2 * rates[usual] > len(index.recordings):
        lost = f"what lies above {index.sample_rate / 2000:g} kHz is lost"
        yield f"           {lost}: --config {' or '.join(keep)} keeps more of it"


def conditioning_lines(corpus: Corpus, is_new: bool = True) -> Iterator[str]:
    """The labels, with the length of the recordings to train on of each, and what is followed."""
    model, rate = corpus.config.model, corpus.index.sample_rate
    if model.labels:
        samples = Counter[int]()
        for span in corpus.training:
            samples[span.label] += len(span)
        each = [f"{label} {duration(samples[i] / rate)}" for i, label in enumerate(model.labels)]
        shown = len(each) if terminal.verbosity.verbose else LABELS_SHOWN
        more = f", ... ({len(each)} in all)" if len(each) > shown else ""
        yield f"labels     {', '.join(each[:shown])}{more}"
        outer = outer_folders(model.labels) if is_new else []
        if outer and corpus.config.train.label_from == "folder":
            yield (
                "           each folder within a folder is a label; to take the "
                f"{len(outer)} outer ones ({labels_line(outer)}), add --label-depth 1"
            )
    if model.follows_frames:
        every = f"every {model.frame_hop} samples ({1000 * model.frame_hop / rate:.1f} ms)"
        origin = f", from {corpus.config.train.frames_from}" if "mel" in corpus.tracks else ""
        kinds = ", ".join(f.description for f in frame_front_ends(model))
        yield f"frames     {kinds}, {every}{origin}"


def level_line(index: Index, config: Config) -> str:
    """The gains that bring the recordings to the level of training."""
    gains_db = [r.gain_db for r in index.recordings]
    if config.audio.level == "peak":
        gains = f"{min(gains_db):+.1f} to {max(gains_db):+.1f} dB"
        return f"each peak brought to {config.audio.peak_db:g} dBFS: {gains} (audio.level)"
    loudest = max(r.loudest_db for r in index.recordings)
    line = f"as recorded, loudest moment at {loudest:.0f} dBFS (audio.level)"
    if scaled := sum(gain_db != 0 for gain_db in gains_db):
        line += f"; {scaled} scaled down to fit"
    if loudest < QUIET_DBFS:
        line += "; very quiet: consider --set audio.level=peak"
    return line
