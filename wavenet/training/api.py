"""Training from Python in one call, around `session.train`."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from wavenet.config import Config, TrainConfig
from wavenet.config.loading import as_name, require_overrides
from wavenet.data.corpus import Corpus
from wavenet.data.given_recordings import Recordings, are_files, as_files
from wavenet.errors import TrainingError, UsageError
from wavenet.generation.api import load
from wavenet.model import locate
from wavenet.model.arguments import require_integer, require_number
from wavenet.model.checkpoint import SUFFIX, Model
from wavenet.system.files import given_path
from wavenet.system.notices import tell, warn
from wavenet.system.text import counted
from wavenet.training import distributed, fine_tuning, session
from wavenet.training.bars import Bars
from wavenet.training.events import TrainingListener
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

MOST_MINUTES = 100_000  # that train.minutes may be


def train(
    recordings: Recordings,
    config: Config | str | Path | None = None,
    *,
    init_from: Model | str | Path | None = None,
    out: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    accept_changes: bool = False,
    device: str = "auto",
    cache: str | Path | None = None,
    on_step: Callable[[int, float], object] | None = None,
    progress: bool = False,
) -> Model:
    """Train on recordings as `wavenet train` does, and return the best model that was scored.

        recordings      a folder or a file, or a list of them; a wav (time,) in -1 ... 1 at the
                        config's rate or a tuple (wav, rate), or a list of them, which messages
                        call recordings[0].wav and so on
        config          a `Config`, or the name of a preset or a TOML file; by default "small", or
                        with `init_from` the network and windows of that model
        init_from       a trained model to begin from, or its name, run folder or checkpoint file
        out             the run folder, which is kept, with recordings that were in memory, and goes
                        on where it holds a run, as with `wavenet train --out`; without it the run
                        lies in a temporary folder
        steps, minutes  the length of the schedule, by one of them
        seed            of the initial weights and of what is trained on when
        overrides       other settings, by their full names: {"train.batch": 4}
        accept_changes  whether a run may go on with other settings or recordings
        device          "auto", "cpu", "cuda", "cuda:1", "mps"
        cache           where decoded files are kept
        on_step         is called after each step with its number, from 1, and the loss of its
                        batch in bits per sample; once it returns something true, training ends
        progress        whether to show a progress bar

    However it ends, the model is scored and saved first. But after a first Ctrl-C, or stop of a
    notebook, it is saved alone, and what was the best until then is returned: a warning says at
    which step. A second one is a KeyboardInterrupt. What `on_step` raises ends it at once. A run
    that has come to its end is only loaded. Recordings that were skipped or repaired, and warnings,
    go to the logger `wavenet`. Several processes, as torchrun starts them, need files and `out`.

    Raises WavenetError: UsageError for an argument, TrainingError when the loss is not finite any
    more, ChangedRunError for another config or other recordings than those of the run in `out`,
    ConfigError, CorpusError.

    >>> import numpy as np, wavenet
    >>> network = wavenet.ModelConfig(layers=4, residual_channels=8, skip_channels=8)
    >>> recipe = wavenet.TrainConfig(steps=4, batch=1, segment_seconds=0.05, sample_seconds=0)
    >>> config = wavenet.Config(name="sine", model=network, train=recipe)
    >>> wav = 0.5 * np.sin(0.05 * np.arange(16000))
    >>> losses = []
    >>> wavenet.train(wav, config, on_step=lambda step, bits: losses.append(bits))
    <wavenet.Model 'sine': 4 layers, 31,608 parameters, hears 16 samples (1 ms) at 16000 Hz, step 4>
    >>> len(losses)
    4
    """
    settings = dict(require_overrides(overrides)) | _schedule(steps, minutes, seed)
    source, listener = _source(config), _Caller(on_step)
    if distributed.world_size() > 1 and (out is None or not are_files(recordings)):
        name, what = ("out", "one run folder") if out is None else ("recordings", "files")
        raise UsageError(name, None, f"several processes need {what}")
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wavenet-")))
        run = Run(temporary / "run" if out is None else given_path("out", out))
        run.check()
        if init_from is not None:
            settings["train.init_from"] = _base(init_from, temporary)
        rate = _sample_rate(source, settings, run)
        listeners: list[TrainingListener] = [listener]
        if progress:
            listeners.append(stack.enter_context(closing(Bars())))
        stack.callback(_drop_unused, run, set(run.arrays.glob("*")))
        keep = None if out is None else run.arrays
        selection, place = stack.enter_context(as_files(recordings, rate, keep))
        try:
            session.train(
                selection,
                config=source,
                overrides=settings,
                out=run.folder,
                accept_changes=accept_changes,
                device=device,
                cache=place if cache is None else given_path("cache", cache),
                stop=lambda: listener.ended,
                listeners=listeners,
            )
        except TrainingError as e:
            if out is not None:
                raise
            advice = "lower train.learning_rate, or keep the run by `out` to go on from before"
            raise TrainingError(e.subject, e.reason, advice) from None
        model = load(run.folder)
        return replace(model, name=model.config.name) if out is None else model


def _schedule(steps: int | None, minutes: float | None, seed: int | None) -> dict[str, Any]:
    """The settings of these parameters, as far as they are given. Raises UsageError."""
    for name, value in (("steps", steps), ("seed", seed)):
        limits = TrainConfig.__dataclass_fields__[name].metadata["range"]
        if value is not None:
            require_integer(name, value, int(limits.low), int(limits.high), f"must be {limits}")
    if minutes is not None:
        require_number("minutes", minutes)
        if not 0 < minutes <= MOST_MINUTES:
            raise UsageError("minutes", minutes, f"must be above 0 and at most {MOST_MINUTES:,}")
    given = {"train.steps": steps, "train.minutes": minutes, "train.seed": seed}
    return {name: value for name, value in given.items() if value is not None}


def _source(config: Config | str | Path | None) -> Config | str | None:
    """What `session.train` takes for a config. Raises UsageError."""
    if config is None or isinstance(config, Config):
        return config
    if not isinstance(config, str | Path):
        rule = "must be a Config, or the name of a preset or a TOML file"
        raise UsageError("config", f"of type {type(config).__name__}", rule)
    return str(given_path("config", config))


def _base(init_from: Model | str | Path, folder: Path) -> str:
    """The name of a model to begin from; one in memory is written into a folder."""
    if not isinstance(init_from, Model):
        return fine_tuning.named_from_anywhere(str(given_path("init_from", init_from)))
    path = folder / f"{as_name(init_from.name)}{SUFFIX}"
    init_from.save(path)
    return str(path)


def _sample_rate(source: Config | str | None, settings: Mapping[str, Any], run: Run) -> int:
    """In Hz, of what is to be trained."""
    base = settings.get("train.init_from")
    if base:
        # Else it would be taken for a preset.
        locate.find(Path(str(base)))
    own = str(run.folder) if locate.is_run(run.folder) else None
    return locate.config_of(source or base or own, settings)[1].audio.sample_rate


def _drop_unused(run: Run, before: set[Path]) -> None:
    """Delete recordings that were kept for nothing, because the run was not begun on them."""
    for folder in set(run.arrays.glob("*")) - before:
        if run.corpus().get("folder") != str(folder.resolve()):
            shutil.rmtree(folder)
    with suppress(OSError):
        run.arrays.rmdir()
        run.folder.rmdir()


class _Caller(TrainingListener):
    """Calls a function of the user's after each step, and passes on what there is to say."""

    def __init__(self, on_step: Callable[[int, float], object] | None) -> None:
        if on_step is not None and not callable(on_step):
            rule = "must be a function of a step and its loss"
            raise UsageError("on_step", f"of type {type(on_step).__name__}", rule)
        self._on_step, self.ended = on_step, False

    def note(self, text: str) -> None:
        tell(text)

    def warning(self, text: str) -> None:
        warn(text)

    def prepared(self, run: Run, corpus: Corpus) -> None:
        skipped = [(s.name, s.reason) for s in corpus.index.skipped]
        noted = [(r.name, r.note) for r in corpus.index.recordings if r.note]
        for what, files in (("skipped", skipped), ("not as they should be", noted)):
            if files:
                more = ", ..." if len(files) > 1 else ""
                first = f"{files[0][0]} ({files[0][1]}){more}"
                warn(f"{counted(len(files), 'recording')} {what}: {first}")

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        if interrupted:
            which = "before the model was scored"
            if trainer.best_step is not None:
                which = f"and the model is that of step {trainer.best_step}, the best until then"
            warn(f"interrupted at step {trainer.step}, {which}")

    def stepped(self, trainer: Trainer, bits: float) -> None:
        if self._on_step is not None:
            self.ended = bool(self._on_step(trainer.step, bits))
