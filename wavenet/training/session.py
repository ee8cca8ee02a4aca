"""One session of training: opens or creates a run, indexes the recordings, trains, saves.

It prints nothing: each `TrainingListener` is told what happens, and the command line's prints it.
All ranks run these lines; rank 0 opens and writes the run folder, and alone has listeners.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wavenet.config import Config
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.pcm_cache import index_folder
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError, RunError, TrainingError, WavenetError
from wavenet.model.checkpoint import Model
from wavenet.model.compilation import reporting
from wavenet.system.device import PRECISIONS, check_compiler, pick_precision
from wavenet.system.interrupts import interrupts
from wavenet.system.memory import keep_freed_memory
from wavenet.training import distributed, fine_tuning
from wavenet.training.distributed import SingleProcess
from wavenet.training.events import TrainingListener, to_all
from wavenet.training.learning_check import LearningCheck
from wavenet.training.plan import Plan, changed_recordings, changed_settings, make_plan
from wavenet.training.preview import render_validation_sample
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer, learning_rate

LOG_EVERY = 10  # steps
DRY_RUN_STEPS = 3  # steps timed by a dry run
# Steps whose mean time says how many more fit into train.minutes.
PACE_STEPS = 50
# Where that number changes, config.toml says so after so many seconds at the latest.
DESCRIBE_SECONDS = 5.0
# What a validation scores depends on these, and on the recordings.
HELD_OUT_SETTINGS = {
    *("train.validation", "train.validation_fraction", "train.validation_seconds"),
    *("train.segment_seconds", "train.input_noise"),
}


def train(
    folder: Path | Sequence[Path] | Selection | None = None,
    *,
    config: Config | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Path | None = None,
    stop_at: int | None = None,
    max_hours: float | None = None,
    accept_changes: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
    listeners: Sequence[TrainingListener] = (),
) -> Run:
    """Train on a folder of recordings, or go on training, and return the run.

    `folder` may be a file too, or several of either. `config` is a preset, a TOML file or a config
    itself, and `overrides` has settings by their full names. `out` is the run folder; one that
    holds a run goes on, with its own config and recordings unless others are given, which takes
    `accept_changes`. Training ends at step `stop_at`, after `max_hours` of this session, or when
    `stop` returns True after a step; the schedule stays as it is. Decoded recordings are kept in
    `cache`. A `dry_run` times a few real steps and keeps nothing.

    Under torchrun, all its processes train together. Raises WavenetError; what was finished stays
    in the run folder.
    """
    deadline = time.monotonic() + (math.inf if max_hours is None else 3600 * max_hours)
    keep_freed_memory()

    def ended() -> bool:
        return time.monotonic() > deadline or stop()

    def session(processes: SingleProcess) -> Run:
        plan = processes.broadcast(
            lambda: make_plan(
                folder,
                config=config,
                overrides=overrides or {},
                out=out,
                stop_at=stop_at,
                max_hours=max_hours,
                accept_changes=accept_changes or dry_run,
                cache=cache,
                world_size=processes.world_size,
            )
        )
        listener = to_all(listeners if processes.rank == 0 else ())
        for note in plan.notes:
            listener.note(note)
        place = _choose_device(plan.config, device, processes)
        corpus = _read_corpus(plan, cache, listener, processes)
        trainer = Trainer(WindowDataset(corpus), place, processes)
        if dry_run:
            _time_steps(trainer, plan, listener)
            return plan.run
        if processes.rank == 0:
            listener = to_all([listener, LearningCheck(listener)])
        return _train(trainer, plan, listener, ended)

    with _torch_as_usual():
        return distributed.run(session)


@contextmanager
def _torch_as_usual() -> Iterator[None]:
    """Inside, gradients are computed, and new tensors are in float32, whatever holds outside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)


def _choose_device(config: Config, name: str, processes: SingleProcess) -> torch.device:
    """Where each process trains. Raises WavenetError where some cannot do as the others do."""

    def choose() -> tuple[torch.device, str]:
        device = processes.device(name)
        if config.train.compile:
            check_compiler(device)
        return device, pick_precision(config.train.precision, device)

    device, precision = processes.run_on_all_ranks(choose)
    how = f"{device.type} in {precision}"
    reason = f"would not train on {how} as process 0 does"
    error = RunError("", reason, "choose `device` and train.precision")
    processes.require_equal_on_all_ranks(how, error)
    return device


def _read_corpus(
    plan: Plan, cache: Path | None, listener: TrainingListener, processes: SingleProcess
) -> Corpus:
    def read() -> Corpus:
        index = index_folder(
            plan.recordings,
            plan.config.audio,
            trim=plan.config.trims,
            cache=cache,
            on_file=listener.indexing,
            version=plan.decoding,
            wait_seconds=-1,
            on_wait=listener.note,
        )
        return Corpus.open(index, plan.config, listener.extracting)

    corpus = processes.on_each_machine(read)
    reason, advice = "has other recordings than process 0", "copy the same to every machine"
    error = CorpusError(plan.recordings.subject, reason, advice)
    processes.require_equal_on_all_ranks((corpus.fingerprint, corpus.config), error)
    return corpus


def _reporting(trainer: Trainer, listener: TrainingListener) -> AbstractContextManager[object]:
    """Tells the listener of what the first step inside compiles."""
    return reporting(listener.note, trainer.device, PRECISIONS[trainer.precision])


def _time_steps(trainer: Trainer, plan: Plan, listener: TrainingListener) -> None:
    _begin(trainer, plan)
    listener.prepared(plan.run, trainer.corpus)
    step_seconds = []
    with _reporting(trainer, listener):
        for _ in range(1 + DRY_RUN_STEPS):
            before = trainer.seconds
            trainer.train_step()
            step_seconds.append(trainer.seconds - before)
    # The first step also warms up.
    listener.dry_run_done(trainer, statistics.median(step_seconds[1:]))


def _train(
    trainer: Trainer, plan: Plan, listener: TrainingListener, ended: Callable[[], bool]
) -> Run:
    processes = trainer.processes
    with ExitStack() as stack:

        def lock_and_resume() -> tuple[Run, Model | None]:
            run, lock = plan.lock_run()
            stack.callback(lock.release)
            return run, _resume(replace(plan, run=run), trainer.corpus)

        run, latest = processes.broadcast(lock_and_resume)
        if run.folder != plan.run.folder:
            listener.note(f"note: {plan.run.folder} has become a run of other recordings")
        if latest is not None:
            trainer.restore(latest)
            listener.resumed(trainer, run, latest.training)
        else:
            _begin(trainer, plan)
        if not any(trainer.statistics) and trainer.config.model.follows_frames:
            # A run of an earlier version gains them.
            trainer.statistics = processes.broadcast(trainer.corpus.statistics)
        listener.prepared(run, trainer.corpus)
        with _reporting(trainer, listener):
            if plan.times_steps:
                _estimate_steps(trainer, trainer.time_step())
                if processes.rank == 0:
                    run.describe(trainer.corpus)
            trainer.stop_at = plan.stop_at
            if trainer.step >= trainer.last_step or trainer.out_of_patience:
                listener.nothing_left(trainer, run, trainer.last_step)
                return run
            seconds = trainer.time_step()
        listener.starting(trainer, trainer.last_step, seconds)
        try:
            _fit(trainer, run, ended, listener)
        except TrainingError as e:
            advice = processes.broadcast(lambda: _divergence_advice(trainer, run))
            raise TrainingError(e.subject, e.reason, advice) from None
    return run


def _begin(trainer: Trainer, plan: Plan) -> None:
    """Take the weights of the model that the run begins from, if there is one."""
    if plan.base is not None:
        origin = fine_tuning.ancestry(plan.base, plan.config.train.init_from)
        trainer.begin_from(plan.base, origin)


def _is_due(trainer: Trainer) -> bool:
    """Whether the number of steps is estimated again: every ten, or where there are few, sooner."""
    return trainer.step % max(1, min(LOG_EVERY, trainer.config.train.steps // 10)) == 0


def _estimate_steps(trainer: Trainer, seconds_per_step: float, at_least: int = 1) -> None:
    """Set the steps that fit into train.minutes. All processes go by the time of the first."""

    def steps() -> int:
        return max(at_least, trainer.steps_in_minutes(seconds_per_step))

    trainer.estimate_steps(trainer.processes.broadcast(steps))


def _resume(plan: Plan, corpus: Corpus) -> Model | None:
    """The run's last checkpoint, with the folder made ready to go on from it.

    Raises ChangedRunError when the config or the recordings have changed and nobody accepted that.
    """
    run = plan.run
    latest = run.latest() if run.exists else None
    if latest is not None:
        changes = changed_settings(latest.config, corpus.config)
        is_same = corpus.fingerprint == latest.training.fingerprint
        recordings = "" if is_same else changed_recordings(run, corpus)
        plan.refuse(changes, recordings)
        if recordings or changes.keys() & HELD_OUT_SETTINGS:
            # The best score was measured on other audio.
            training = replace(
                latest.training, validation_bits=None, best_bits=None, best_step=None
            )
            latest = replace(latest, training=training)
    run.describe(corpus)
    step = latest.training.step if latest else 0
    # Step 0 is scored again when it has no score.
    is_scored = latest is not None and latest.training.validation_bits is not None
    run.forget_after(step if step or is_scored else -1)
    return latest


def _fit(
    trainer: Trainer,
    run: Run,
    ended: Callable[[], bool],
    listener: TrainingListener,
) -> None:
    """Train up to the last step, or until `ended`, a signal, or the end of patience."""
    processes, train = trainer.processes, trainer.config.train
    # The seconds trained before each of the last steps and after them.
    times: deque[float] = deque([trainer.seconds], maxlen=PACE_STEPS + 1)
    described = -math.inf
    recent: deque[float] = deque(maxlen=LOG_EVERY)  # bits per sample
    early = processes.any_rank(ended)
    saved = time.monotonic()
    with interrupts() as interrupted:
        stopped = processes.any_rank(interrupted)
        if trainer.ancestry and trainer.step == 0 and trainer.validation_bits is None:
            # What the model that the run begins from is worth on these recordings.
            trainer.evaluate()
            if processes.rank == 0:
                _save(trainer, run, True, listener)
        going = True
        while going:
            if trainer.estimates_steps and len(times) > 1 and _is_due(trainer):
                # A few steps at the start are a guess, and the machine may have slowed down since.
                seconds = (times[-1] - times[0]) / (len(times) - 1)
                _estimate_steps(trainer, seconds, trainer.step + 1)
                if processes.rank == 0 and time.monotonic() > described + DESCRIBE_SECONDS:
                    _show_estimate(trainer, run)
                    described = time.monotonic()
            bits = trainer.train_step()
            times.append(trainer.seconds)
            recent.append(bits)
            listener.stepped(trainer, bits)
            if trainer.step % LOG_EVERY == 0 or trainer.step == trainer.last_step:
                mean = round(sum(recent) / len(recent), 5)
                rate = learning_rate(trainer.step - 1, trainer.config.train)
                _log(trainer, run, listener, train_bits=mean, learning_rate=rate)
            over = trainer.step == trainer.last_step or early()
            evaluated = over or trainer.step % train.evaluate_every == 0
            if evaluated:
                trainer.evaluate()
            going = not (over or stopped() or (evaluated and trainer.out_of_patience))
            due = time.monotonic() - saved > 60 * train.checkpoint_minutes
            if evaluated or due or not going:
                if processes.rank == 0:
                    _save(trainer, run, evaluated, listener)
                saved = time.monotonic()
        listener.finished(trainer, run, stopped() and trainer.step < trainer.last_step)


def _show_estimate(trainer: Trainer, run: Run) -> None:
    """Let config.toml say how many steps there will be. A checkpoint has the number, too."""
    with suppress(WavenetError):
        run.write_config(trainer.config)


def _save(trainer: Trainer, run: Run, evaluated: bool, listener: TrainingListener) -> None:
    """Save a checkpoint; after an evaluation, also report it and render a sample."""
    checkpoint = trainer.checkpoint()
    run.save(checkpoint)
    if trainer.estimates_steps:
        _show_estimate(trainer, run)
    if evaluated:
        bits = trainer.validation_bits
        _log(trainer, run, listener, validation_bits=None if bits is None else round(bits, 5))
        sample = render_validation_sample(checkpoint, trainer.corpus, run.samples, listener.note)
        listener.evaluated(trainer, sample)


def _log(trainer: Trainer, run: Run, listener: TrainingListener, **values: float | None) -> None:
    metrics = {"step": trainer.step, "seconds": round(trainer.seconds, 2), **values}
    if trainer.processes.rank == 0:
        run.log(**metrics)
    listener.logged(metrics)


def _divergence_advice(trainer: Trainer, run: Run) -> str:
    """How to go on after weights or gradients stopped being finite."""
    # If the very next step fails, the checkpoint of this step is not one to go on from.
    run.set_aside(trainer.step)
    good = run.latest()
    if good is None:
        return "there is no checkpoint before it. Start again with a lower train.learning_rate"
    rate = f"train.learning_rate={trainer.config.train.learning_rate / 3:.1g}"
    cache = trainer.corpus.index.cache.parent
    go_on = run.command_to_go_on(cache, "`set`", rate, "`accept_changes`")
    return f"the last good checkpoint is of step {good.training.step}. Go on from it with: {go_on}"
