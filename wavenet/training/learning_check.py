"""A warning for whoever trains on noise, or at a rate at which nothing is learnt."""

from collections import deque
from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.data.statistics import unigram_bits
from wavenet.training.events import Display, TrainingListener
from wavenet.training.trainer import Trainer

RECENT_STEPS = 50  # averaged to judge whether anything is learnt

# Of the unigram entropy: above this fraction, nothing was learnt beyond how often each code occurs.
LEARNT_FRACTION = 0.97


class LearningCheck(Display):
    """Tells another listener at an evaluation when nothing has been learnt so far."""

    name = "the check that something is learnt"

    def __init__(self, listener: TrainingListener) -> None:
        self._listener = listener
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._unigram = 0.0

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        self._unigram = unigram_bits(trainer.corpus)

    def stepped(self, trainer: Trainer, bits: float) -> None:
        self._recent.append(bits)

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        if not self._recent:
            return
        bits = sum(self._recent) / len(self._recent)
        if warning := nothing_learnt(trainer.step, bits, self._unigram, trainer.config.train):
            self._listener.note(warning)


def nothing_learnt(step: int, bits: float, unigram: float, train: TrainConfig) -> str | None:
    """A warning when, well after warm-up, the loss is no better than that of a unigram model.

    `bits` is the mean loss of the last steps and `unigram` what guessing each sample by how often
    its code occurs costs, both in bits per sample.
    """
    if step < 2 * train.warmup_steps + RECENT_STEPS or bits < LEARNT_FRACTION * unigram:
        return None
    now = f"{bits:.2f} bits per sample, and guessing by frequency alone takes {unigram:.2f}"
    advice = f"Else change train.learning_rate (now {train.learning_rate:g}) by a factor of 3"
    question = f"Are these recordings noise, or badly clipped? {advice} either way"
    return f"warning: nothing has been learnt by step {step}: {now}. {question}"
