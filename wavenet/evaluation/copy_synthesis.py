"""Copy synthesis: recordings resynthesised by a vocoder from their own mel frames.

How close that comes to the recordings is measured beside Griffin-Lim from the same frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from wavenet.audio.quantization import from_pcm16
from wavenet.engines.options import EngineOptions
from wavenet.evaluation.metrics import CopyMetrics, compare, griffin_lim
from wavenet.generation.conditions import Conditions
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Pcm, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.base import Sampling

# The most that is resynthesised, because it is all one batch.
MAX_SECONDS = 10.0  # of each recording
MAX_RECORDINGS = 32
SEED = 0


@dataclass(frozen=True)
class CopySynthesisScore:
    """Means over recordings, each of which counts alike.

    A metric that could not be computed of a recording is left out of its mean.
    """

    recordings: int
    seconds: float
    model: CopyMetrics
    griffin_lim: CopyMetrics


def resynthesize(
    model: Model,
    recordings: Sequence[tuple[Pcm, int]],
    engine: str,
    options: EngineOptions,
    advance: Callable[[int], object] = lambda _: None,
    conditions: Sequence[Conditions] = (),
    sampling: Sampling | None = None,
) -> CopySynthesisScore:
    """Resynthesise recordings, and compare.

    `recordings` are (samples, label id), the samples at the model's level. `advance` is called with
    the number of samples of each block. `conditions` has frames of each that are not its own.
    """
    config, rate = model.config.model, model.config.audio.sample_rate
    wavs = [from_pcm16(pcm) for pcm, _ in recordings]
    conditions = conditions or [Conditions.from_cached(wav, model.config) for wav in wavs]
    known = config.labels
    sampler = Sampler(
        model,
        seed=SEED,
        engine="auto" if engine == "parallel" else engine,
        options=options,
        labels=[known[label_id] for _, label_id in recordings] if known else [],
        conditions=conditions,
        sampling=sampling,
    )
    by_model = sampler.collect([len(wav) for wav in wavs], advance)
    by_griffin_lim = [griffin_lim(c.values["mel"], c.samples, rate, config) for c in conditions]

    def score(copies: Sequence[Wav]) -> CopyMetrics:
        pairs = zip(wavs, copies, strict=True)
        return _mean([compare(wav, copy, rate, config) for wav, copy in pairs])

    seconds = sum(map(len, wavs)) / rate
    return CopySynthesisScore(len(wavs), seconds, score(by_model), score(by_griffin_lim))


def _mean(scores: Sequence[CopyMetrics]) -> CopyMetrics:
    """Metric by metric, over the recordings that have it."""
    means: list[Any] = []
    for column in zip(*map(astuple, scores), strict=True):
        values = [value for value in column if value is not None]
        means.append(float(np.mean(values)) if values else None)
    return CopyMetrics(*means)
