"""Bits per sample of recordings under a model, each sample predicted from its exact context.

Recordings are scored in blocks, so that the memory does not grow with their length. The baselines
of `wavenet.data.baselines` are computed from the same samples.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavenet.audio.quantization import as_wav
from wavenet.config import Config
from wavenet.data import baselines, labels
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.engines.options import EngineOptions
from wavenet.errors import CorpusError
from wavenet.evaluation.copy_synthesis import CopySynthesisScore
from wavenet.evaluation.scorers import ScoredSegment, Scorer
from wavenet.glossary import Array, Samples
from wavenet.model import known_labels
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.registry import distribution_for
from wavenet.training.run_folder import Run

BLOCK_SAMPLES = 1 << 15
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
    # How recordings are labelled, if not as in training.
    label_from: str | None = None
    # One label for all of them instead.
    label: str | None = None
    # How many recordings a vocoder resynthesises.
    vocoded: int = 8
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True)
class FileScore:
    """The score of one recording."""

    file: str
    samples: int
    bits_per_sample: float


@dataclass
class Totals:
    """Sums over recordings so far."""

    samples: int = 0
    nats: float = 0.0
    # What it takes to tell the 16-bit samples of a code apart.
    bits_to_16bit: float = 0.0
    lpc_bits: float = 0.0
    # Counts of pairs of baseline codes: those that frequencies are learnt from, and those scored.
    learnt_pairs: Array = field(default_factory=lambda: np.zeros(()))
    scored_pairs: Array = field(default_factory=lambda: np.zeros(()))


@dataclass(frozen=True)
class Score:
    """The scores of a folder in bits per sample; those of the baselines are of the same samples."""

    bits_per_sample: float
    # With the bits that tell the 16-bit samples of one code apart.
    bits_per_16bit_sample: float
    unigram_bits: float
    bigram_bits: float
    lpc_bits: float
    samples: int
    files: tuple[FileScore, ...]
    skipped: tuple[Skipped, ...]
    vocoded: CopySynthesisScore | None = None


def recording_label_ids(request: EvaluateOptions, index: Index, config: Config) -> dict[str, int]:
    """The number of each recording's label among the model's. Raises WavenetError."""
    known = config.model.labels
    names = [recording.name for recording in index.recordings]
    if request.label is not None:
        return dict.fromkeys(names, known_labels.choose([request.label], known)[0])
    if not known:
        return {}
    try:
        by_name = labels.read(names, index.folder, request.label_from or config.train.label_from)
    except CorpusError as e:
        raise CorpusError(f"{e}; or --label with one for all of them") from None
    for name, label in by_name.items():
        if label not in known:
            raise CorpusError(
                f"{index.folder}: {name} has the label {label}, and the model knows "
                f"{known_labels.labels_line(known)}; --label gives one to all"
            )
    return {name: known.index(label) for name, label in by_name.items()}


def score_recording(
    name: str,
    pcm: NDArray[np.int16],
    start: int,
    label_id: int,
    config: Config,
    scorer: Scorer,
    totals: Totals,
    advance: Callable[[int], object],
) -> FileScore:
    """Score one recording from sample `start` on, and add it to the totals.

    `advance` is called with the number of samples that each block scored.
    """
    receptive_field, stop = config.model.receptive_field, len(pcm)
    distribution = distribution_for(config.model)
    # Where the model takes mel frames, a segment begins with a frame.
    hop = config.model.frame_hop
    nats = 0.0
    for at in range(start, stop, BLOCK_SAMPLES):
        begin, end = max(0, at - receptive_field) // hop * hop, min(stop, at + BLOCK_SAMPLES)
        x = distribution.encode(as_wav(pcm[begin:end]))
        nats += scorer(ScoredSegment(x, at - begin, pcm, begin, label_id))
        totals.bits_to_16bit += float(distribution.bits_to_16bit(x[at - begin :]).sum())
        advance(end - at)
    _add_baselines(totals, pcm, start, distribution)
    totals.nats += nats
    totals.samples += stop - start
    return FileScore(name, stop - start, nats / (stop - start) / math.log(2))


def _add_baselines(
    totals: Totals, pcm: NDArray[np.int16], start: int, distribution: Distribution
) -> None:
    """Add what the baselines need of a recording that is scored from sample `start` on."""
    stop, codes = len(pcm), distribution.baseline_codes
    # The baselines learn from what comes before the scored part, or else from the recording itself.
    learnt = start or stop
    learnt_blocks = _encoded_blocks(pcm, codes, 1, learnt, overlap=1)
    scored_blocks = _encoded_blocks(pcm, codes, max(1, start), stop, overlap=1)
    totals.learnt_pairs = totals.learnt_pairs + baselines.pairs(learnt_blocks, codes.levels)
    totals.scored_pairs = totals.scored_pairs + baselines.pairs(scored_blocks, codes.levels)
    learnt_wavs: Iterator[Array] = (
        distribution.decode(x).astype(np.float64)
        for x in _encoded_blocks(pcm, distribution, 0, learnt)
    )
    coefficients = baselines.predictor(baselines.autocorrelation(learnt_wavs))
    all_blocks = _encoded_blocks(pcm, distribution, 0, stop)
    at = 0
    for bits in baselines.lpc_bits(all_blocks, coefficients, distribution):
        totals.lpc_bits += float(bits[max(0, start - at) :].sum())
        at += len(bits)


def _encoded_blocks(
    pcm: NDArray[np.int16], distribution: Distribution, begin: int, end: int, overlap: int = 0
) -> Iterator[Samples]:
    """The codes of samples begin ... end - 1; blocks repeat `overlap` samples of the one before."""
    for at in range(begin, end, BLOCK_SAMPLES):
        block = pcm[max(0, at - overlap) : min(end, at + BLOCK_SAMPLES)]
        yield distribution.encode(as_wav(block))


def trained_on(request: EvaluateOptions, index: Index, config: Config) -> int:
    """How many of the recordings the run has trained on, as far as its folder says.

    With tails held out and scored, none.
    """
    if request.split == config.train.validation == "tails":
        return 0
    model = request.model
    corpus = Run(model if model.is_dir() else model.parent.parent).corpus()
    unused = {*corpus.get("held_out", []), *corpus.get("left_out", [])}
    trained = {sha for name, sha in corpus.get("recordings", {}).items() if name not in unused}
    return sum(recording.sha256 in trained for recording in index.recordings)
