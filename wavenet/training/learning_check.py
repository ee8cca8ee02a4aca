"""A warning for whoever trains on noise, or at a rate at which nothing is learnt."""

import math
from collections import deque
from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.data.statistics import unigram_bits
from wavenet.training.events import Display, TrainingListener
from wavenet.training.trainer import Trainer

RECENT_STEPS = 50  # averaged to judge whether anything is learnt

# Of the unigram entropy: above this fraction, nothing was learnt beyond how often each code occurs.
LEARNT_FRACTION = 0.97
# Of the loss to begin with: above this multiple it has gone up.
RISEN = 1.02


class LearningCheck(Display):
    """Tells another listener at an evaluation when nothing has been learnt so far."""

    name = "the check that something is learnt"

    def __init__(self, listener: TrainingListener) -> None:
        self._listener = listener
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._unigram = 0.0
        # The least that the loss was to begin with.
        self._before = math.inf

    def starting(self, trainer: Trainer, until: int, seconds_per_step: float) -> None:
        self._unigram = unigram_bits(trainer.corpus)
        # An untrained network knows nothing.
        self._before = math.log2(trainer.model.distribution.levels)

    def stepped(self, trainer: Trainer, bits: float) -> None:
        if not self._recent:
            self._before = min(self._before, bits)
        self._recent.append(bits)

    def evaluated(self, trainer: Trainer, sample: Path | None) -> None:
        if not self._recent:
            return
        bits = sum(self._recent) / len(self._recent)
        train = trainer.config.train
        if warning := nothing_learnt(trainer.step, bits, self._unigram, train, self._before):
            self._listener.warning(warning)


def nothing_learnt(
    step: int, bits: float, unigram: float, train: TrainConfig, before: float = math.inf
) -> str | None:
    """A warning when, well after warm-up, the loss is no better than that of a unigram model.

    `bits` is the mean loss of the last steps, `unigram` what guessing each sample by how often its
    code occurs costs, and `before` the loss to begin with, all in bits per sample.
    """
    if step < 2 * train.warmup_steps + RECENT_STEPS or bits < LEARNT_FRACTION * unigram:
        return None
    now = f"{bits:.2f} bits per sample, and guessing by frequency alone takes {unigram:.2f}"
    rate = f"train.learning_rate (now {train.learning_rate:g})"
    advice = (
        "Are these recordings noise, or badly clipped? "
        f"Else change {rate} by a factor of 3 either way"
    )
    if bits > RISEN * before:
        advice = f"The loss has gone up: start again with {rate} at a third of that, or less"
    return f"nothing has been learnt by step {step}: {now}. {advice}"
