"""Training for TensorBoard: scalars, audio and spectrograms, in the run's folder `tensorboard`."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from wavenet.audio import reading
from wavenet.data.corpus import Corpus
from wavenet.errors import UsageError, reason_of
from wavenet.system.shell import command
from wavenet.training.events import Display
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer

TAGS = {
    "train_bits": "bits per sample/training",
    "validation_bits": "bits per sample/validation",
    "learning_rate": "learning rate",
}


class TensorBoardReport(Display):
    """Writes for TensorBoard; `note` prints where. Raises UsageError where it cannot be loaded."""

    name = "TensorBoard"

    def __init__(self, note: Callable[[str], None]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            advice = "pip install tensorboard, or leave it out"
            raise UsageError("tensorboard", None, "is not installed", advice) from None
        except Exception as e:
            reason = f"cannot be loaded ({reason_of(e)})"
            raise UsageError("tensorboard", None, reason, "leave it out") from None
        self._note, self._folder = note, Path()
        self._writer_class: Any = SummaryWriter
        self._writer: Any = None
        self._usual_hook = threading.excepthook
        threading.excepthook = self._quiet_hook

    def prepared(self, run: Run, corpus: Corpus) -> None:
        self._folder = run.folder / "tensorboard"

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        # Steps that a crash undid are trained again, and must not be shown twice.
        self._writer = self._writer_class(self._folder, purge_step=trainer.step + 1)
        self._note(f"board      {command('tensorboard', '--logdir', self._folder)}")

    def logged(self, metrics: dict[str, Any]) -> None:
        for key, tag in TAGS.items():
            if metrics.get(key) is not None:
                self._writer.add_scalar(tag, metrics[key], metrics["step"])

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        if sample is not None:
            import matplotlib.image
            import numpy as np

            rate = trainer.config.audio.sample_rate
            wav = np.concatenate(list(reading.read_blocks(sample, rate)))
            picture = matplotlib.image.imread(sample.with_suffix(".png"))[..., :3]
            self._writer.add_audio("sample", wav[None], trainer.step, sample_rate=rate)
            self._writer.add_image("sample", picture, trainer.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        # The last evaluation is on the disk, and what failed before was said.
        with suppress(Exception):
            self._writer.close()
        threading.excepthook = self._usual_hook

    def _quiet_hook(self, error: threading.ExceptHookArgs) -> None:
        """Show no traceback of the thread that writes: the next call raises what ended it."""
        if not type(error.thread).__module__.startswith("tensorboard."):
            self._usual_hook(error)
