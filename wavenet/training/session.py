"""One session of training: opens or creates a run, indexes the recordings, trains, saves.

It prints nothing: a `TrainingListener` is told what happens, and the command line's prints it. All
ranks run these lines; rank 0 opens and writes the run folder, and alone has a listener.
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

from wavenet.config import Config, loading
from wavenet.data.dataset import Corpus, with_labels
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import ConfigError, CorpusError, LostProcessError, RunError, TrainingError
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning.registry import front_ends
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
RECENT_STEPS = 50  # averaged to judge whether anything is learnt

# Of the unigram entropy: above this fraction, nothing was learnt beyond how often each code occurs.
LEARNT_FRACTION = 0.97


def train(options: TrainOptions, listener: TrainingListener) -> Run:
    """Train, or go on training. Raises WavenetError; what was finished stays in the run folder."""
    with joined() as processes:
        return _train(options, listener if processes.rank == 0 else TrainingListener(), processes)


def _train(options: TrainOptions, listener: TrainingListener, processes: SingleProcess) -> Run:
    started = time.monotonic()
    options, run, corpus, device = _prepare(options, listener, processes)
    config = corpus.config
    with ExitStack() as stack:

        def lock() -> None:
            stack.callback(run.create().release)

        processes.broadcast_from_rank0(lock)
        trainer = _trainer(options, run, corpus, device, listener, processes)
        until = min(config.train.steps, options.stop_at or config.train.steps)
        listener.prepared(config, run, trainer.corpus)
        if trainer.out_of_patience:
            listener.note(
                f"{run.folder}: ended at step {trainer.step} because nothing since step "
                f"{trainer.best_step} was better; to go on: "
                "--set train.patience=0 --accept-changes"
            )
            return run
        if trainer.step >= config.train.steps:
            listener.note(
                f"{run.folder}: is at step {trainer.step} already; "
                "to go on, give a longer schedule: --steps N --accept-changes"
            )
            return run
        if trainer.step >= until:
            listener.note(
                f"{run.folder}: is at step {trainer.step} already, past --stop-at {until}"
            )
            return run
        listener.starting(trainer, until, trainer.time_step())
        hours = options.max_hours
        deadline = math.inf if hours is None else started + 3600 * hours
        _fit(trainer, run, until, listener, deadline)
    return run


def dry_run(options: TrainOptions, listener: TrainingListener) -> None:
    """Time real steps on the user's recordings and keep nothing of them. Raises WavenetError."""
    with joined() as processes:
        listener = listener if processes.rank == 0 else TrainingListener()
        _, run, corpus, device = _prepare(options, listener, processes)
        trainer = Trainer(corpus.config, corpus, device, processes)
        listener.prepared(corpus.config, run, corpus)
        step_seconds = []
        for _ in range(1 + DRY_RUN_STEPS):
            started = time.monotonic()
            trainer.train_step()
            step_seconds.append(time.monotonic() - started)
        # The first step also warms up.
        listener.dry_run_done(trainer, statistics.median(step_seconds[1:]))


def _prepare(
    options: TrainOptions, listener: TrainingListener, processes: SingleProcess
) -> tuple[TrainOptions, Run, Corpus, torch.device]:
    """Check what can be checked before recordings are read, then read them.

    The options returned are those of rank 0, but for the folders, which are this process's own.
    """
    shared_options, run, config, folder = processes.broadcast_from_rank0(
        lambda: _open(options, processes.world_size),
        _pack_opened,
        partial(_unpack_opened, options),
    )
    options = replace(shared_options, folder=options.folder or folder)

    def choose_device() -> tuple[torch.device, str]:
        device = processes.device(options.device)
        if config.train.compile:
            check_compiler(device)
        return device, pick_precision(config.train.precision, device)

    def read_corpus() -> Corpus:
        index = index_folder(
            options.folder or folder,
            config.audio,
            trim=config.trims,
            cache=options.cache,
            on_file=listener.indexing,
            wait_seconds=processes.wait_seconds,
        )
        return Corpus(index, with_labels(config, index), config.model.receptive_field)

    device, precision = processes.run_on_all_ranks(choose_device)
    how = f"{device.type} in {precision}"
    processes.require_equal_on_all_ranks(
        how,
        lambda name: RunError(
            f"{name} would not train on {how} as process 0 does; "
            "choose --device and train.precision"
        ),
    )
    corpus = processes.on_each_machine(read_corpus)
    processes.require_equal_on_all_ranks(
        (corpus.fingerprint, corpus.config.to_dict()),
        lambda name: CorpusError(
            f"{folder}: {name} has other recordings than process 0; copy the same to every machine"
        ),
    )
    return options, run, corpus, device


def _open(options: TrainOptions, world_size: int) -> tuple[TrainOptions, Run, Config, Path]:
    """The options, checked, with the run and config that they mean and the recordings' folder."""
    if options.stop_at is not None and options.stop_at < 1:
        raise RunError(f"--stop-at {options.stop_at}: must be a step from 1 on")
    if options.max_hours is not None and not 0 < options.max_hours < math.inf:
        raise RunError(f"--max-hours {options.max_hours:g}: must be above 0")
    run, config = open_run(options)
    sets_labels = any(s.startswith("train.label_from") for s in options.settings)
    if sets_labels and not config.model.label_channels:
        raise ConfigError(
            "train.label_from: this configuration takes no labels; "
            "use --config voices or --set model.label_channels=16"
        )
    if config.train.batch < world_size:
        raise ConfigError(
            f"train.batch = {config.train.batch}: leaves some of {world_size} processes "
            "without a window; raise it"
        )
    for front_end in front_ends(config.model):
        front_end.check(config.audio.sample_rate)
    run.check()
    return options, run, config, recordings_folder(options, run)


def _pack_opened(opened: tuple[TrainOptions, Run, Config, Path]) -> bytes:
    """What `_open` returned, as JSON; of the options those that have to be the same everywhere."""
    options, run, config, folder = opened
    shared = {name: getattr(options, name) for name in ("stop_at", "max_hours", "accept_changes")}
    return json.dumps([shared, str(run.folder), config.to_dict(), str(folder)]).encode()


def _unpack_opened(options: TrainOptions, packed: bytes) -> tuple[TrainOptions, Run, Config, Path]:
    """What `_pack_opened` packed; the rest of the options are this process's own."""
    shared, run, config, folder = json.loads(packed)
    return replace(options, **shared), Run(Path(run)), loading.parse(config), Path(folder)


def _trainer(
    options: TrainOptions,
    run: Run,
    corpus: Corpus,
    device: torch.device,
    listener: TrainingListener,
    processes: SingleProcess,
) -> Trainer:
    """A trainer at the run's last checkpoint.

    Raises ChangedRunError when this would not continue the same run and nobody accepted that.
    """

    def pack(latest: Checkpoint | None) -> bytes:
        return b"" if latest is None else checkpoint.pack(latest)

    latest = processes.broadcast_from_rank0(
        lambda: _resume(options, run, corpus),
        pack,
        lambda data: checkpoint.unpack(data) if data else None,
    )
    trainer = Trainer(corpus.config, corpus, device, processes)
    if latest is None:
        return trainer
    trainer.restore(latest)
    listener.note(f"resuming {run.folder} at step {trainer.step}")
    before = latest.training
    torch_and_threads = (torch.__version__, torch.get_num_threads())
    if device.type == "cpu" and (before.torch, before.threads) != torch_and_threads:
        listener.note(
            f"note: it was trained with torch {before.torch} on {before.threads} threads, "
            f"now torch {torch.__version__} on {torch.get_num_threads()}: "
            "results may differ in the last bits from an uninterrupted run"
        )
    if before.precision and before.precision != trainer.precision:
        listener.note(
            f"note: it was trained in {before.precision} so far, "
            f"from now on in {trainer.precision} (train.precision)"
        )
    return trainer


def _resume(options: TrainOptions, run: Run, corpus: Corpus) -> Checkpoint | None:
    """The run's last checkpoint, with the folder made ready to go on from it.

    Raises ChangedRunError when the config or the recordings have changed and nobody accepted that.
    """
    latest = run.latest() if run.exists else None
    if latest is not None:
        changes = loading.differences(latest.config, corpus.config)
        if corpus.fingerprint != latest.training.fingerprint:
            before = run.corpus()
            recordings = changed_recordings(before.get("recordings", {}), corpus.contents)
            relabelled = changed_labels(before.get("labels", {}), corpus.labels)
            changes.append(f"recordings: {recordings}" + (f", {relabelled}" if relabelled else ""))
        refuse_changes(run, changes, options)
        held_out_keys = ("recordings", "train.validation", "train.segment_seconds")
        if any(c.startswith(held_out_keys) for c in changes):
            # The best score was measured on other audio.
            training = replace(latest.training, best_bits=None, best_step=None)
            latest = replace(latest, training=training)
    run.describe(corpus)
    run.forget_after(latest.training.step if latest else 0)
    return latest


# --- fitting -------------------------------------------------------------------------------------


def _fit(
    trainer: Trainer, run: Run, until: int, listener: TrainingListener, deadline: float
) -> None:
    """Train up to step `until`, or until time.monotonic() passes `deadline`.

    Raises TrainingError, which says how to go on.
    """
    processes = trainer.processes
    on_step, on_checkpoint = (
        _recorders(trainer, run, until, listener) if processes.rank == 0 else (_ignore, _ignore)
    )
    deadline_reached = processes.any_rank(lambda: time.monotonic() > deadline)
    try:
        with interrupts() as interrupted, processes.translate_peer_loss():
            stop = processes.any_rank(interrupted)
            trainer.fit(
                until,
                on_step=on_step,
                on_checkpoint=on_checkpoint,
                stop=stop,
                deadline_reached=deadline_reached,
            )
            processes.broadcast_from_rank0(
                lambda: listener.finished(trainer, run, stop() and trainer.step < until)
            )
    except LostProcessError as e:
        raise TrainingError(f"{e}; {_last_checkpoint_hint(run)}") from None
    except TrainingError as e:
        problem = str(e)
        processes.broadcast_from_rank0(lambda: _raise_diverged(problem, trainer, run))


def _recorders(
    trainer: Trainer, run: Run, until: int, listener: TrainingListener
) -> tuple[Callable[[float], None], Callable[[bool], None]]:
    """(on_step, on_checkpoint) for `Trainer.fit`: they write to the run and tell the listener."""
    recent: deque[float] = deque(maxlen=RECENT_STEPS)
    unigram = trainer.corpus.unigram_bits()

    def log(**values: float | None) -> None:
        metrics = {"step": trainer.step, "seconds": round(trainer.seconds, 2)} | values
        run.log(**metrics)
        listener.logged(metrics)

    def on_step(bits: float) -> None:
        recent.append(bits)
        listener.stepped(trainer, bits)
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
            sample = render_validation_sample(saved, trainer.corpus, run.samples, listener.note)
            listener.evaluated(trainer, sample)
            if warning := nothing_learnt(trainer.step, list(recent), unigram, trainer.config):
                listener.note(warning)

    return on_step, on_checkpoint


def _ignore(_: float) -> None: ...


def _last_checkpoint_hint(run: Run) -> str:
    """How to go on after a process has ended."""
    steps = locate.steps(run.checkpoints)
    if not steps:
        return "there is no checkpoint of it here yet"
    return f"the last checkpoint is of step {steps[-1]}. Go on with the same command"


def _raise_diverged(problem: str, trainer: Trainer, run: Run) -> None:
    raise TrainingError(f"{problem}; {_divergence_hint(trainer, run)}")


def _divergence_hint(trainer: Trainer, run: Run) -> str:
    """How to go on after weights or gradients stopped being finite."""
    # If the very next step fails, the checkpoint of this step is not one to go on from.
    run.set_aside(trainer.step)
    good = run.latest()
    if good is None:
        return "there is no checkpoint before it. Start again with a lower train.learning_rate"
    rate = f"train.learning_rate={trainer.config.train.learning_rate / 3:.1g}"
    return (
        f"the last good checkpoint is of step {good.training.step}. Go on from it with: "
        f"wavenet train --out {run.folder} --set {rate} --accept-changes"
    )


def nothing_learnt(step: int, recent: list[float], unigram: float, config: Config) -> str | None:
    """A warning when, well after warm-up, the loss is no better than that of a unigram model.

    `recent` are the losses of the last steps and `unigram` is what guessing each sample by how
    often its code occurs costs, all in bits per sample.
    """
    bits = sum(recent) / max(1, len(recent))
    if step < 2 * config.train.warmup_steps + RECENT_STEPS or bits < LEARNT_FRACTION * unigram:
        return None
    return (
        f"warning: nothing has been learnt by step {step}: {bits:.2f} bits per sample, "
        f"and guessing by frequency alone takes {unigram:.2f}. "
        "Are these recordings noise, or badly clipped? "
        f"Else change train.learning_rate (now {config.train.learning_rate:g}) "
        "by a factor of 3 either way"
    )
