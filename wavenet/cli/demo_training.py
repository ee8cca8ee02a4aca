"""What the demo notes of its training, and prints of it."""

from wavenet.cli.console import ConsoleReport
from wavenet.data.corpus import Corpus
from wavenet.training.events import TrainingListener
from wavenet.training.run_folder import Run
from wavenet.training.trainer import Trainer


class KeepCorpus(TrainingListener):
    """Keeps the recordings that training has read, because the demo goes on with them."""

    corpus: Corpus

    def prepared(self, run: Run, corpus: Corpus) -> None:
        self.corpus = corpus


class DemoReport(ConsoleReport):
    """Leaves it to the demo to say how a training that was stopped goes on."""

    def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
        if not interrupted and trainer.step >= trainer.config.train.steps:
            return super().finished(trainer, run, interrupted)
        self.close()
        self.interrupted = interrupted
        self.note(f"stopped at step {trainer.step}, everything is saved")
