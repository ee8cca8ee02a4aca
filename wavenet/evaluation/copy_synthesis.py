"""Copy synthesis: recordings resynthesised by a vocoder from their own mel frames.

How close that comes to the recordings is measured beside Griffin-Lim from the same frames.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavenet.audio.quantization import as_wav
from wavenet.engines.options import EngineOptions
from wavenet.evaluation.metrics import CopyMetrics, compare, griffin_lim
from wavenet.generation.mel_input import MelInput
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Wav
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

MAX_SECONDS = 10.0  # of each recording
MAX_RECORDINGS = 32  # all in one batch
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
    model: Checkpoint,
    recordings: Sequence[tuple[NDArray[np.int16], int]],
    engine: str,
    options: EngineOptions,
) -> CopySynthesisScore:
    """Resynthesise up to MAX_SECONDS of each recording from its start, and compare.

    `recordings` are (samples, label id), the samples at the model's level.
    """
    config, rate = model.config, model.config.audio.sample_rate
    references = [as_wav(pcm[: round(MAX_SECONDS * rate)]) for pcm, _ in recordings]
    mel_inputs = [MelInput.from_cached(wav, config) for wav in references]
    names = config.model.labels
    labels = [names[label_id] for _, label_id in recordings] if names else []
    engine = "auto" if engine == "parallel" else engine
    sampler = Sampler(
        model, seed=SEED, engine=engine, options=options, labels=labels, mel_inputs=mel_inputs
    )
    lengths = [len(wav) for wav in references]
    blocks_of: list[list[Wav]] = [[] for _ in references]
    with bar(
        sum(lengths), desc="saying again ", layout=LAYOUT_WITHOUT_COUNT, leave=False
    ) as progress:
        for blocks in sampler.variable_length_blocks(lengths):
            for stream, block in blocks:
                blocks_of[stream].append(block)
                progress.update(len(block))
    by_model, by_griffin_lim = [], []
    for wav, mel_input, parts in zip(references, mel_inputs, blocks_of, strict=True):
        by_model.append(compare(wav, np.concatenate(parts), rate, config.model))
        inverted = griffin_lim(mel_input.frames, len(wav), rate, config.model)
        by_griffin_lim.append(compare(wav, inverted, rate, config.model))
    seconds = sum(lengths) / rate
    return CopySynthesisScore(len(references), seconds, _mean(by_model), _mean(by_griffin_lim))


def _mean(metrics: Sequence[CopyMetrics]) -> CopyMetrics:
    """Metric by metric, over the recordings that have it."""
    rows = [asdict(one) for one in metrics]
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return CopyMetrics(**means)
