"""Recordings said again by a vocoder from their own mel frames, and how close that comes; Griffin-Lim from the same frames beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from wavenet.arrays import Wav
from wavenet.audio.quantization import as_wav
from wavenet.engines.options import EngineOptions
from wavenet.evaluation.metrics import CopyMetrics, compare, griffin_lim
from wavenet.generation.mel_input import mel_input_from_cache
from wavenet.generation.sampler import Sampler
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

MOST_SECONDS = 10.0  # of each recording
MOST_VOCODED = 32  # recordings, all said at once
SEED = 0


@dataclass(frozen=True)
class CopySynthesisScore:
    """Means over recordings, each of which counts alike; what could not be had of one is left out."""

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
    """Of each recording, (samples at the model's level, its label), up to MOST_SECONDS from its start."""
    config, rate = model.config, model.config.audio.sample_rate
    wavs = [as_wav(pcm[: round(MOST_SECONDS * rate)]) for pcm, _ in recordings]
    guides = [mel_input_from_cache(wav, config) for wav in wavs]
    labels = [config.model.labels[label] for _, label in recordings] if config.model.labels else []
    engine = "auto" if engine == "parallel" else engine
    sampler = Sampler(
        model, seed=SEED, engine=engine, options=options, labels=labels, guides=guides
    )
    parts: list[list[Wav]] = [[] for _ in wavs]
    with bar(
        sum(map(len, wavs)), desc="saying again ", layout=LAYOUT_WITHOUT_COUNT, leave=False
    ) as progress:
        for blocks in sampler.variable_length_blocks([len(wav) for wav in wavs]):
            for stream, block in blocks:
                parts[stream].append(block)
                progress.update(len(block))
    ours = [
        compare(wav, np.concatenate(part), rate, config.model)
        for wav, part in zip(wavs, parts, strict=True)
    ]
    yardstick = []
    for wav, guide in zip(wavs, guides, strict=True):
        yardstick.append(
            compare(
                wav, griffin_lim(guide.frames, len(wav), rate, config.model), rate, config.model
            )
        )
    return CopySynthesisScore(len(wavs), sum(map(len, wavs)) / rate, _mean(ours), _mean(yardstick))


def _mean(found: Sequence[CopyMetrics]) -> CopyMetrics:
    columns = {
        name: [v for f in found if (v := asdict(f)[name]) is not None] for name in asdict(found[0])
    }
    return CopyMetrics(
        **{name: float(np.mean(values)) if values else None for name, values in columns.items()}
    )  # type: ignore[arg-type]
