"""Bits per sample of recordings under a model, each sample predicted from its exact context.

Recordings are scored in blocks, so that the memory does not grow with their length. The baselines
of `wavenet.data.baselines` are computed from the same samples.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from wavenet.config import Config
from wavenet.data import baselines, labels
from wavenet.data.discovery import Skipped
from wavenet.data.pcm_cache import Index
from wavenet.data.split import TAILS_MIN_SECONDS, Span, tails
from wavenet.data.tracks import Tracks, source_of
from wavenet.errors import CorpusError
from wavenet.evaluation.copy_synthesis import CopySynthesisScore
from wavenet.evaluation.scorers import ScoredSegment, Scorer
from wavenet.glossary import Array, Samples, Wav
from wavenet.model import known_labels
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.target import target_of
from wavenet.system.text import counted

BLOCK_SAMPLES = 1 << 15
SPLITS = ("all", "tails")
# Of a recording, what is predicted of samples from one to before another.
Target = Callable[[int, int], Wav]


@dataclass(frozen=True)
class FileScore:
    """The score of one recording, by the name of its file in the folder."""

    file: str
    samples: int
    bits_per_sample: float


@dataclass(frozen=True, repr=False)
class Score:
    """How well recordings are predicted, in bits per sample. `wavenet.score` makes it.

    >>> import numpy as np, wavenet
    >>> model = wavenet.Model.from_network(wavenet.WaveNet(wavenet.ModelConfig(layers=2)))
    >>> noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3000)
    >>> result = wavenet.score(model, noise)  # untrained, it knows nothing
    >>> print(f"{result.bits_per_sample:.2f}, and by frequency {result.unigram_bits:.2f}")
    8.01, and by frequency 6.85
    >>> result
    <wavenet.Score: 8.005 bits per sample of 3,000 samples in 1 recording, 0 skipped>
    """

    bits_per_sample: float
    """Of all scored samples together, or of their excitations with `model.linear_prediction`."""

    bits_per_16bit_sample: float
    """With the bits that tell the 16-bit samples of one code apart."""

    unigram_bits: float
    """Of a baseline that knows how often each code occurs."""

    bigram_bits: float
    """Of one that knows how often it follows the code before."""

    lpc_bits: float
    """Of linear prediction."""

    samples: int
    """How many were scored."""

    files: tuple[FileScore, ...]
    """Of each recording its `file`, `samples` and `bits_per_sample`."""

    skipped: tuple[Skipped, ...]
    """Of each file that could not be used its `name` and the `reason`."""

    vocoded: CopySynthesisScore | None = None
    """Of recordings that `wavenet evaluate` resynthesised."""

    def __repr__(self) -> str:
        bits = f"{self.bits_per_sample:.3f} bits per sample of {self.samples:,} samples"
        recordings = counted(len(self.files), "recording")
        return f"<wavenet.Score: {bits} in {recordings}, {len(self.skipped):,} skipped>"


class Likelihood:
    """How well a model predicts recordings of a folder: `add` them, then take the `summary`."""

    def __init__(
        self,
        index: Index,
        config: Config,
        scorer: Scorer,
        tracks: Tracks | None = None,
    ) -> None:
        """`tracks` are what the model follows that is not computed from the audio."""
        self._index, self._config, self._scorer = index, config, scorer
        self._tracks = tracks or {}
        self._distribution = distribution_for(config.model)
        self._files: list[FileScore] = []
        # Sums over the recordings so far.
        self._nats = self._bits_to_16bit = self._lpc_bits = 0.0
        levels = self._distribution.baseline_codes.levels
        # Counts of pairs of baseline codes: those to learn frequencies from, and those scored.
        self._pairs = np.zeros((2, levels, levels))
        # Frequencies learnt on other samples must leave no pair impossible.
        self._prior = 0.0

    def add(self, span: Span, advance: Callable[[int], object] = lambda _: None) -> FileScore:
        """Score the end of a recording, all after its beginning as context.

        `advance` is called with the number of samples of each block.
        """
        model, rate = self._config.model, self._config.audio.sample_rate
        source = source_of(self._index, span, self._tracks)
        nats = bits_to_16bit = 0.0
        for at in range(span.start, span.stop, BLOCK_SAMPLES):
            begin = max(0, at - model.receptive_field)
            # Where the model follows frames, a segment begins with one.
            begin -= begin % model.frame_spacing
            end = min(span.stop, at + BLOCK_SAMPLES)
            x = self._distribution.encode(target_of(model, rate, source, begin, end))
            nats += self._scorer(ScoredSegment(source, begin, x, at - begin))
            bits_to_16bit += float(self._distribution.bits_to_16bit(x[at - begin :]).sum())
            advance(end - at)
        target = partial(target_of, model, rate, source)
        pairs, lpc_bits = self._baselines(target, span.start, span.recording.samples)
        # All at once, so that an interrupted recording counts nowhere.
        self._nats += nats
        self._bits_to_16bit += bits_to_16bit
        self._pairs += pairs
        self._lpc_bits += lpc_bits
        score = FileScore(span.recording.name, len(span), nats / len(span) / math.log(2))
        self._files.append(score)
        return score

    def _baselines(self, target: Target, start: int, stop: int) -> tuple[Array, float]:
        """What the baselines need of a recording that is scored from sample `start` to `stop`."""
        distribution, codes = self._distribution, self._distribution.baseline_codes
        # They learn from what comes before the scored part, or else from the recording itself.
        learnt, scored = (0, start or stop), (max(0, start - 1), stop)
        if start:
            self._prior = 0.1
        pairs = np.stack(
            [
                baselines.pairs(_encoded_blocks(target, *part, codes, overlap=1), codes.levels)
                for part in (learnt, scored)
            ]
        )
        decoded = (
            distribution.decode(x).astype(np.float64)
            for x in _encoded_blocks(target, *learnt, distribution)
        )
        coefficients = baselines.predictor(baselines.autocorrelation(decoded))
        blocks = _encoded_blocks(target, 0, stop, distribution)
        at, lpc_bits = 0, 0.0
        for bits in baselines.lpc_bits(blocks, coefficients, distribution):
            lpc_bits += float(bits[max(0, start - at) :].sum())
            at += len(bits)
        return pairs, lpc_bits

    def summary(self) -> Score:
        """The scores of all recordings that were added, of which there must be one."""
        samples = sum(file.samples for file in self._files)
        bits = self._nats / samples / math.log(2)
        bits_16bit, lpc = bits + self._bits_to_16bit / samples, self._lpc_bits / samples
        learnt, scored = self._pairs
        unigram, bigram = baselines.pair_bits(learnt, scored, self._distribution, self._prior)
        files, skipped = tuple(self._files), self._index.skipped
        return Score(bits, bits_16bit, unigram, bigram, lpc, samples, files, skipped)


def _encoded_blocks(
    target: Target, start: int, stop: int, distribution: Distribution, overlap: int = 0
) -> Iterator[Samples]:
    """The codes of samples; each block begins with `overlap` samples of the one before."""
    for at in range(start, stop - overlap, BLOCK_SAMPLES):
        yield distribution.encode(target(at, min(stop, at + BLOCK_SAMPLES + overlap)))


def spans_to_score(index: Index, split: str, label_ids: Mapping[str, int]) -> list[Span]:
    """What `split`, one of SPLITS, scores of each recording. Raises CorpusError for nothing."""
    starts = [(recording, 0) for recording in index.recordings]
    if split == "tails":
        starts = tails(index.recordings, index.sample_rate)
    if not starts:
        reason = f"`split` tails needs recordings over {TAILS_MIN_SECONDS:g} s"
        raise CorpusError(index.selection.subject, reason, "use `split` all")
    return [Span(r, start, r.samples, label_ids.get(r.name, 0)) for r, start in starts]


def label_ids(
    index: Index, config: Config, label_from: str | None, label: str | None
) -> dict[str, int]:
    """The number of each recording's label among the model's, by name; {} for one without labels.

    Recordings are labelled as in training, by another rule `label_from`, or all with one `label`.
    Raises WavenetError.
    """
    known = config.model.labels
    names = [recording.name for recording in index.recordings]
    if label is not None:
        return dict.fromkeys(names, known_labels.choose([label], known)[0])
    if not known:
        return {}
    try:
        rule, depth = label_from or config.train.label_from, config.train.label_depth
        by_name = labels.read(names, index.folder, rule, depth)
    except CorpusError as e:
        parts = (e.advice, "or `label` with one for all of them")
        raise CorpusError(e.subject, e.reason, "; ".join(filter(None, parts))) from None
    return labels.label_ids(by_name, index.folder, known, "`label` gives one to all")
