"""One sitting of training: opens or creates a run, indexes the recordings, lets the trainer fit, saves what it makes.

It prints nothing: a `Report` is told what happens, and the command line's prints it. Of several processes all run these lines; the
first one opens and writes the run folder, and is the only one with a report.
"""

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from wavenet.audio import mel
from wavenet.config import Config, loading
from wavenet.data.dataset import Corpus, with_labels
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import ConfigError, CorpusError, LostProcessError, RunError, TrainingError
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.device import check_compiler, pick_precision
from wavenet.system.interrupts import interrupts
from wavenet.training.distributed import SingleProcess, joined
from wavenet.training.events import TrainingListener
from wavenet.training.preview import render_validation_sample
from wavenet.training.resume import (
    TrainOptions,
    changed_labels,
    changed_recordings,
    open_run,
    recordings_folder,
    refuse_changes,
)
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer, learning_rate

LOG_EVERY = 10  # steps
DRY_RUN_STEPS = 3  # steps timed by a dry run
RECENT = 50  # steps averaged before judging whether anything is learnt
LEARNT_SHARE = (
    0.97  # of the unigram entropy: above it, nothing beyond how often each code occurs was learnt
)


def train(request: TrainOptions, report: TrainingListener) -> Run:
    """Train, or go on training. Raises WavenetError; what was finished stays in the run folder."""
    with joined() as processes:
        return _train(request, report if processes.rank == 0 else TrainingListener(), processes)


def _train(request: TrainOptions, report: TrainingListener, processes: SingleProcess) -> Run:
    started = time.monotonic()
    request, run, corpus, device = _prepare(request, report, processes)
    wanted = corpus.config
    with ExitStack() as held:

        def lock() -> None:
            held.callback(run.create().release)

        processes.broadcast_from_rank0(lock)
        trainer = _trainer(request, run, corpus, device, report, processes)
        until = min(wanted.train.steps, request.stop_at or wanted.train.steps)
        report.prepared(wanted, run, trainer.corpus)
        if trainer.out_of_patience:
            report.note(
                f"{run.folder}: ended at step {trainer.step} because nothing since step {trainer.best_step} was better; to go on: "
                "--set train.patience=0 --accept-changes"
            )
            return run
        if trainer.step >= until:
            report.note(
                f"{run.folder}: is at step {trainer.step} already; to go on, give a longer schedule: --steps N --accept-changes"
                if trainer.step >= wanted.train.steps
                else f"{run.folder}: is at step {trainer.step} already, past --stop-at {until}"
            )
            return run
        report.starting(trainer, until, trainer.time_step())
        _fit(
            trainer,
            run,
            until,
            report,
            math.inf if request.max_hours is None else started + 3600 * request.max_hours,
        )
    return run


def dry_run(request: TrainOptions, report: TrainingListener) -> None:
    """Real steps on the user's recordings, of which nothing is kept: what training would take. Raises WavenetError."""
    with joined() as processes:
        report = report if processes.rank == 0 else TrainingListener()
        _, run, corpus, device = _prepare(request, report, processes)
        trainer = Trainer(corpus.config, corpus, device, processes)
        report.prepared(corpus.config, run, corpus)
        taken = []
        for _ in range(1 + DRY_RUN_STEPS):
            started = time.monotonic()
            trainer.train_step()
            taken.append(time.monotonic() - started)
        report.dry_run_done(trainer, statistics.median(taken[1:]))


def _prepare(
    request: TrainOptions, report: TrainingListener, processes: SingleProcess
) -> tuple[TrainOptions, Run, Corpus, torch.device]:
    """Check what can be checked before recordings are read, then read them. The request is the first process's, in its own places."""
    asked, run, wanted, folder = processes.broadcast_from_rank0(
        lambda: _opened(request, processes.world_size),
        _pack_opened,
        partial(_unpack_opened, request),
    )
    request = replace(asked, folder=request.folder or folder)

    def place() -> tuple[torch.device, str]:
        device = processes.device(request.device)
        if wanted.train.compile:
            check_compiler(device)
        return device, pick_precision(wanted.train.precision, device)

    def read() -> Corpus:
        index = index_folder(
            request.folder or folder,
            wanted.audio,
            trim=wanted.trims,
            cache=request.cache,
            on_file=report.indexing,
            wait_seconds=processes.wait_seconds,
        )
        return Corpus(index, with_labels(wanted, index), wanted.model.receptive_field)

    device, precision = processes.run_on_all_ranks(place)
    how = f"{device.type} in {precision}"
    processes.require_equal_on_all_ranks(
        how,
        lambda name: RunError(
            f"{name} would not train on {how} as process 0 does; choose --device and train.precision"
        ),
    )
    corpus = processes.on_each_machine(read)
    processes.require_equal_on_all_ranks(
        (corpus.fingerprint, corpus.config.to_dict()),
        lambda name: CorpusError(
            f"{folder}: {name} has other recordings than process 0; copy the same to every machine"
        ),
    )
    return request, run, corpus, device


def _opened(request: TrainOptions, processes: int) -> tuple[TrainOptions, Run, Config, Path]:
    """What is wanted, and where its recordings are."""
    if request.stop_at is not None and request.stop_at < 1:
        raise RunError(f"--stop-at {request.stop_at}: must be a step from 1 on")
    if request.max_hours is not None and not 0 < request.max_hours < math.inf:
        raise RunError(f"--max-hours {request.max_hours:g}: must be above 0")
    run, wanted = open_run(request)
    if (
        any(s.startswith("train.label_from") for s in request.settings)
        and not wanted.model.label_channels
    ):
        raise ConfigError(
            "train.label_from: this configuration takes no labels; use --config voices or --set model.label_channels=16"
        )
    if wanted.train.batch < processes:
        raise ConfigError(
            f"train.batch = {wanted.train.batch}: leaves some of {processes} processes without a window; raise it"
        )
    if wanted.model.mel_bands:
        mel.filters(wanted.audio.sample_rate, wanted.model)  # says whether all bands hear something
    run.check()
    return request, run, wanted, recordings_folder(request, run)


def _pack_opened(opened: tuple[TrainOptions, Run, Config, Path]) -> bytes:
    request, run, wanted, folder = opened
    asked = {name: getattr(request, name) for name in ("stop_at", "max_hours", "accept_changes")}
    return json.dumps([asked, str(run.folder), wanted.to_dict(), str(folder)]).encode()


def _unpack_opened(request: TrainOptions, packed: bytes) -> tuple[TrainOptions, Run, Config, Path]:
    asked, run, wanted, folder = json.loads(packed)
    return replace(request, **asked), Run(Path(run)), loading.parse(wanted), Path(folder)


def _trainer(
    request: TrainOptions,
    run: Run,
    corpus: Corpus,
    device: torch.device,
    report: TrainingListener,
    processes: SingleProcess,
) -> Trainer:
    """A trainer at the run's last checkpoint. Raises RunError when this would not continue the same run and nobody said so."""

    def pack(latest: Checkpoint | None) -> bytes:
        return b"" if latest is None else checkpoint.pack(latest)

    latest = processes.broadcast_from_rank0(
        lambda: _taken_up(request, run, corpus),
        pack,
        lambda data: checkpoint.unpack(data) if data else None,
    )
    trainer = Trainer(corpus.config, corpus, device, processes)
    if latest is None:
        return trainer
    trainer.restore(latest)
    report.note(f"resuming {run.folder} at step {trainer.step}")
    was = latest.training
    if device.type == "cpu" and (was.torch, was.threads) != (
        torch.__version__,
        torch.get_num_threads(),
    ):
        report.note(
            f"note: it was trained with torch {was.torch} on {was.threads} threads, now torch {torch.__version__} on "
            f"{torch.get_num_threads()}: results may differ in the last bits from an uninterrupted run"
        )
    if was.precision and was.precision != trainer.precision:
        report.note(
            f"note: it was trained in {was.precision} so far, from now on in {trainer.precision} (train.precision)"
        )
    return trainer


def _taken_up(request: TrainOptions, run: Run, corpus: Corpus) -> Checkpoint | None:
    """The run's last checkpoint, the folder made ready to go on from it. Raises RunError."""
    latest = run.latest() if run.exists else None
    if latest is not None:
        changes = loading.differences(latest.config, corpus.config)
        if corpus.fingerprint != latest.training.fingerprint:
            before = run.corpus()
            changes.append(
                f"recordings: {changed_recordings(before.get('recordings', {}), corpus.contents)}"
            )
            if relabelled := changed_labels(before.get("labels", {}), corpus.labels):
                changes[-1] += f", {relabelled}"
        refuse_changes(run, changes, request)
        if any(
            c.startswith(("recordings", "train.validation", "train.segment_seconds"))
            for c in changes
        ):
            latest = replace(
                latest, training=replace(latest.training, best_bits=None, best_step=None)
            )  # measured on other audio
    run.describe(corpus)
    run.forget_after(latest.training.step if latest else 0)
    return latest


# --- fitting ---------------------------------------------------------------------------------------------------------


def _fit(trainer: Trainer, run: Run, until: int, report: TrainingListener, deadline: float) -> None:
    processes = trainer.processes
    on_step, on_checkpoint = (
        _records(trainer, run, until, report) if processes.rank == 0 else (_nothing, _nothing)
    )
    late = processes.any_rank(lambda: time.monotonic() > deadline)
    try:
        with interrupts() as interrupted, processes.translate_peer_loss():
            stop = processes.any_rank(interrupted)
            trainer.fit(until, on_step=on_step, on_checkpoint=on_checkpoint, stop=stop, late=late)
            processes.broadcast_from_rank0(
                lambda: report.finished(trainer, run, stop() and trainer.step < until)
            )
    except LostProcessError as e:
        raise TrainingError(f"{e}; {_kept(run)}") from None
    except TrainingError as e:
        problem = str(e)
        processes.broadcast_from_rank0(lambda: _diverged(problem, trainer, run))


def _records(
    trainer: Trainer, run: Run, until: int, report: TrainingListener
) -> tuple[Callable[[float], None], Callable[[bool], None]]:
    """What writes down and tells a step, and a checkpoint."""
    recent: deque[float] = deque(maxlen=RECENT)
    unigram = trainer.corpus.unigram_bits()

    def log(**values: float | None) -> None:
        metrics = {"step": trainer.step, "seconds": round(trainer.seconds, 2)} | values
        run.log(**metrics)
        report.logged(metrics)

    def on_step(bits: float) -> None:
        recent.append(bits)
        report.stepped(trainer, bits)
        if trainer.step % LOG_EVERY == 0 or trainer.step == until:
            mean = sum(list(recent)[-LOG_EVERY:]) / min(LOG_EVERY, len(recent))
            rate = learning_rate(trainer.step - 1, trainer.config.train)
            log(train_bits=round(mean, 5), learning_rate=rate)

    def on_checkpoint(evaluated: bool) -> None:
        saved = trainer.checkpoint()
        run.save(saved)
        if evaluated:
            bits = trainer.validation_bits
            log(validation_bits=None if bits is None else round(bits, 5))
            report.evaluated(
                trainer, render_validation_sample(saved, trainer.corpus, run.samples, report.note)
            )
            if warning := nothing_learnt(trainer.step, list(recent), unigram, trainer.config):
                report.note(warning)

    return on_step, on_checkpoint


def _nothing(_: float) -> None: ...


def _kept(run: Run) -> str:
    """How to go on after a process has ended."""
    steps = locate.steps(run.checkpoints)
    return (
        f"the last checkpoint is of step {steps[-1]}. Go on with the same command"
        if steps
        else "there is no checkpoint of it here yet"
    )


def _diverged(problem: str, trainer: Trainer, run: Run) -> None:
    raise TrainingError(f"{problem}; {_way_back(trainer, run)}")


def _way_back(trainer: Trainer, run: Run) -> str:
    """How to go on after weights or gradients stopped being finite."""
    run.set_aside(
        trainer.step
    )  # if the very next step fails, that checkpoint is none to go on from
    good = run.latest()
    if good is None:
        return "there is no checkpoint before it. Start again with a lower train.learning_rate"
    rate = f"train.learning_rate={trainer.config.train.learning_rate / 3:.1g}"
    return (
        f"the last good checkpoint is of step {good.training.step}. Go on from it with: "
        f"wavenet train --out {run.folder} --set {rate} --accept-changes"
    )


def nothing_learnt(step: int, recent: list[float], unigram: float, settings: Config) -> str | None:
    """A warning when, well after warm-up, the loss is no better than guessing each sample by how often its code occurs."""
    bits = sum(recent) / max(1, len(recent))
    if step < 2 * settings.train.warmup_steps + RECENT or bits < LEARNT_SHARE * unigram:
        return None
    return (
        f"warning: nothing has been learnt by step {step}: {bits:.2f} bits per sample, and guessing by frequency alone takes "
        f"{unigram:.2f}. Are these recordings noise, or badly clipped? Else change train.learning_rate (now "
        f"{settings.train.learning_rate:g}) by a factor of 3 either way"
    )
