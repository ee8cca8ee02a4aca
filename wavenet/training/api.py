"""Training from Python in one call, around `session.train`."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from wavenet.config import Config
from wavenet.data.given_recordings import Recordings, as_files
from wavenet.errors import TrainingError
from wavenet.generation.api import load
from wavenet.model import locate
from wavenet.model.checkpoint import Model
from wavenet.system.notices import tell
from wavenet.training import fine_tuning, session
from wavenet.training.events import Display, TrainingListener
from wavenet.training.trainer import Trainer


def train(
    recordings: Recordings,
    config: Config | str | Path | None = None,
    *,
    init_from: str | Path | None = None,
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

        recordings      a folder; a file; a wav (time,) in -1 ... 1 at the config's rate;
                        (wav, rate); or a list of these
        config          a `Config`, or the name of a preset or a TOML file; by default "small", or
                        with `init_from` the network and windows of that model
        init_from       a trained model to begin from: a name, a run folder or a checkpoint file
        out             the run folder, which is kept, and goes on where it holds a run; without it
                        the run lies in a temporary folder
        steps, minutes  the length of the schedule, by one of them
        seed            of the initial weights and of what is trained on when
        overrides       other settings, by their full names: {"train.batch": 4}
        accept_changes  whether a run may go on with other settings or recordings
        device          "auto", "cpu", "cuda", "cuda:1", "mps"
        cache           where decoded files are kept
        on_step         is called after each step with its number, from 1, and the loss of its
                        batch in bits per sample; once it returns something true, training ends
        progress        whether to show a progress bar

    However it ends, the model is scored and saved first, but for the first Ctrl-C, or stop of a
    notebook, after which it is saved alone; a second one is a KeyboardInterrupt. What `on_step`
    raises ends it at once. A run that has come to its end is only loaded.

    Raises WavenetError: TrainingError when the loss is not finite any more, ChangedRunError for
    another config or other recordings than those of the run in `out`, ConfigError, CorpusError.

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
    given = {
        "train.init_from": init_from and fine_tuning.named_from_anywhere(str(init_from)),
        "train.steps": steps,
        "train.minutes": minutes,
        "train.seed": seed,
    }
    settings = {**(overrides or {}), **{k: v for k, v in given.items() if v is not None}}
    listener = _Caller(on_step)
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wavenet-")))
        source = _config_file(config, temporary)
        own = str(out) if out is not None and locate.is_run(Path(out)) else None
        _, about = locate.config_of(source or settings.get("train.init_from") or own, settings)
        listeners: list[TrainingListener] = [listener]
        if progress:
            listeners.append(stack.enter_context(closing(_Bars())))
        selection, place = stack.enter_context(as_files(recordings, about.audio.sample_rate))
        try:
            run = session.train(
                selection,
                config=source,
                overrides=settings,
                out=temporary / "run" if out is None else Path(out),
                accept_changes=accept_changes,
                device=device,
                cache=Path(cache) if cache else place,
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


def _config_file(config: Config | str | Path | None, folder: Path) -> str | None:
    """What `session.train` takes for a config; one in memory is written into a folder."""
    if not isinstance(config, Config):
        return None if config is None else str(config)
    path = folder / f"{config.name}.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    return str(path)


class _Caller(TrainingListener):
    """Calls a function of the user's after each step, and passes notes on."""

    def __init__(self, on_step: Callable[[int, float], object] | None) -> None:
        self._on_step, self.ended = on_step, False

    def note(self, text: str) -> None:
        tell(text)

    def stepped(self, trainer: Trainer, bits: float) -> None:
        if self._on_step is not None:
            self.ended = bool(self._on_step(trainer.step, bits))


class _Bars(Display):
    """A progress bar for recordings that are read and one for steps, as notebooks have them too."""

    name = "the progress bar"

    def __init__(self) -> None:
        self._bar: Any = None

    def _show(self, at: int, total: int, unit: str) -> None:
        from tqdm.auto import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, initial=at, unit=f" {unit}")
        self._bar.update(at - self._bar.n)
        if at == total:
            self.close()

    def indexing(self, done: int, total: int) -> None:
        self._show(done, total, "recordings")

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        self._until = until

    def stepped(self, trainer: Trainer, bits: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{bits:.2f} bits", refresh=False)
        self._show(trainer.step, self._until, "steps")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
