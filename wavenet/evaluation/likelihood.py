"""Bits per sample of recordings under a model, each sample predicted from its exact context.

Recordings are scored in blocks, so that one of any length passes at flat memory. The yardsticks of `baselines` stand beside.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavenet.arrays import Array, Samples
from wavenet.audio.quantization import as_wav
from wavenet.config import Config
from wavenet.data import baselines, labels
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.engines.options import EngineOptions
from wavenet.errors import CorpusError
from wavenet.evaluation.copy_synthesis import CopySynthesisScore
from wavenet.evaluation.scorers import ScoredSegment, Scorer
from wavenet.model import known_labels
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.registry import distribution_for
from wavenet.training.run_folder import Run

BLOCK_SAMPLES = 1 << 15  # scored at once
SPLITS = ("all", "tails")


@dataclass(frozen=True)
class EvaluateOptions:
    """What the user asked `wavenet evaluate` for."""

    model: Path
    folder: Path
    split: str = "all"
    engine: str = "parallel"
    device: str = "auto"
    cache: Path | None = None
    label_from: str | None = None  # how recordings are labelled, if not as in training
    label: str | None = None  # one label for all of them instead
    vocoded: int = 8  # recordings that a vocoder says again, to be compared with
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True)
class FileScore:
    """One recording's figure."""

    file: str
    samples: int
    bits_per_sample: float


@dataclass
class Totals:
    """Sums over recordings so far."""

    samples: int = 0
    nats: float = 0.0
    bits_to_16bit: float = 0.0  # between the codes and 16-bit samples
    lpc_bits: float = 0.0
    learnt: Array = field(
        default_factory=lambda: np.zeros(())
    )  # pairs of codes that the frequencies are counted on
    scored: Array = field(default_factory=lambda: np.zeros(()))


@dataclass(frozen=True)
class Score:
    """A folder's figures, in bits per sample; those of `baselines` are of the same samples."""

    bits_per_sample: float
    bits_per_16bit_sample: float  # the same where the codes are 16-bit samples, else what telling those of a code apart would add
    unigram_bits: float
    bigram_bits: float
    lpc_bits: float
    samples: int
    files: tuple[FileScore, ...]
    skipped: tuple[Skipped, ...]
    vocoded: CopySynthesisScore | None = None


def recording_labels(request: EvaluateOptions, index: Index, config: Config) -> dict[str, int]:
    """Which of the model's labels each recording has. Raises WavenetError."""
    known, names = config.model.labels, [r.name for r in index.recordings]
    if request.label is not None:
        return dict.fromkeys(names, known_labels.choose([request.label], known)[0])
    if not known:
        return {}
    try:
        found = labels.read(names, index.folder, request.label_from or config.train.label_from)
    except CorpusError as e:
        raise CorpusError(f"{e}; or --label with one for all of them") from None
    for name, label in found.items():
        if label not in known:
            raise CorpusError(
                f"{index.folder}: {name} has the label {label}, and the model knows {known_labels.labels_line(known)}; --label gives one to all"
            )
    return {name: known.index(label) for name, label in found.items()}


def score_recordings(
    name: str,
    pcm: NDArray[np.int16],
    start: int,
    label: int,
    config: Config,
    nats: Scorer,
    totals: Totals,
    advance: Callable[[int], object],
) -> FileScore:
    """Score one recording from sample `start` on, and add what the yardsticks need to the totals."""
    reach, stop = config.model.receptive_field, len(pcm)
    distribution = distribution_for(config.model)
    coarse = distribution.baseline_codes
    hop = config.model.mel_hop if config.model.mel_bands else 1

    def blocks(kind: Distribution, begin: int, end: int, overlap: int = 0) -> Iterator[Samples]:
        for at in range(begin, end, BLOCK_SAMPLES):
            yield kind.encode(as_wav(pcm[max(0, at - overlap) : min(end, at + BLOCK_SAMPLES)]))

    found = 0.0
    for at in range(start, stop, BLOCK_SAMPLES):
        begin, end = max(0, at - reach) // hop * hop, min(stop, at + BLOCK_SAMPLES)
        x = distribution.encode(as_wav(pcm[begin:end]))
        found += nats(ScoredSegment(x, at - begin, pcm, begin, label))
        totals.bits_to_16bit += float(distribution.bits_to_16bit(x[at - begin :]).sum())
        advance(end - at)
    known = (
        start or stop
    )  # what frequencies and predictors are learnt from: what came before, else the recording itself
    totals.learnt = totals.learnt + baselines.pairs(
        blocks(coarse, 1, known, overlap=1), coarse.levels
    )
    totals.scored = totals.scored + baselines.pairs(
        blocks(coarse, max(1, start), stop, overlap=1), coarse.levels
    )
    sums = baselines.autocorrelation(
        distribution.decode(x).astype(np.float64) for x in blocks(distribution, 0, known)
    )
    bits, at = (
        baselines.lpc_bits(blocks(distribution, 0, stop), baselines.predictor(sums), distribution),
        0,
    )
    for block in bits:
        totals.lpc_bits += float(block[max(0, start - at) :].sum())
        at += len(block)
    totals.nats += found
    totals.samples += stop - start
    return FileScore(name, stop - start, found / (stop - start) / math.log(2))


def trained_on(request: EvaluateOptions, index: Index, config: Config) -> int:
    """How many of the recordings the run has trained on, as far as its folder tells; with tails held out, none."""
    if request.split == config.train.validation == "tails":
        return 0
    known = Run(request.model if request.model.is_dir() else request.model.parent.parent).corpus()
    unused = {*known.get("held_out", []), *known.get("left_out", [])}
    trained = {sha for name, sha in known.get("recordings", {}).items() if name not in unused}
    return sum(r.sha256 in trained for r in index.recordings)
