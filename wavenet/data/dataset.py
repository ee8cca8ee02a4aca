"""Windows of recordings for training and validation.

A window holds `receptive_field` samples of context and then the segment to predict, all from one
recording; what lies before its start is silence. Window i of step s is a pure function of
(seed, s, i), so a resumed run needs to know nothing but its step.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavenet.audio.gain import peak, scaled
from wavenet.audio.quantization import as_wav
from wavenet.config import Config
from wavenet.data import baselines, labels
from wavenet.data.pcm_cache import Index, Recording
from wavenet.data.split import Span, split
from wavenet.errors import CorpusError
from wavenet.glossary import Samples, Wav
from wavenet.model import known_labels
from wavenet.model.conditioning import windows
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.distributions.registry import distribution_for

BLOCK_SAMPLES = 1 << 18
# The unigram figure is counted on about this many samples, from the middles of this many
# recordings.
STATISTICS_SAMPLES = 4_000_000
STATISTICS_SPANS = 400


class Batch(NamedTuple):
    """Windows on the host.

    `loss_mask` is 1 where a predicted sample is real audio. Where this is one rank's shard,
    `global_count` is the sum of the masks of the whole batch.
    """

    x: Samples  # (batch, receptive_field + segment)
    loss_mask: NDArray[np.float32]  # (batch, segment)
    conditioning_input: ConditioningInput = ConditioningInput({})
    global_count: int = 0


def with_labels(config: Config, index: Index) -> Config:
    """The config with the labels that the recordings have, when it wants labels and knows none yet.

    Raises CorpusError.
    """
    if not config.model.label_channels or config.model.labels:
        return config
    names = [r.name for r in index.recordings]
    by_name = labels.read(names, index.folder, config.train.label_from)
    known = tuple(sorted(set(by_name.values())))
    return replace(config, model=replace(config.model, labels=known))


class Corpus:
    """An indexed folder, split into what is trained on and what is held out."""

    def __init__(self, index: Index, config: Config, receptive_field: int) -> None:
        self.index = index
        self.config = config
        self.receptive_field = receptive_field
        self.distribution = distribution_for(config.model)
        self._front_ends = front_ends(config.model)
        self._pcm = index.pcm()
        self._silence = self.distribution.silence
        self._labels = self._read_labels()
        parts = split(index.recordings, config.train, index.sample_rate, self._labels, index.folder)
        self.training, self.validation = parts.training, parts.validation
        self.held_out, self.left_out, self.notes = parts.held_out, parts.left_out, parts.notes
        self._require_every_label()
        # Where each training span ends, were they laid end to end.
        self._ends = np.cumsum([len(s) for s in self.training])

    def _require_every_label(self) -> None:
        if not self._labels:
            return
        everything = {self._labels[r.name] for r in self.index.recordings}
        untrained = everything - {span.label for span in self.training}
        if untrained:
            names = [self.config.model.labels[i] for i in sorted(untrained)]
            raise CorpusError(
                f"{self.index.folder}: validation leaves nothing to train on of "
                f"{known_labels.labels_line(names)}; give it longer recordings, or more of them"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Another whenever a recording is added, removed, changed, relabelled or decoded anew."""
        content = sorted((r.sha256, r.samples, *self._label_of(r)) for r in self.index.recordings)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def contents(self) -> dict[str, str]:
        """Every recording's name and SHA-256."""
        return {r.name: r.sha256 for r in self.index.recordings}

    @property
    def labels(self) -> dict[str, str]:
        """Every recording's label, where the network is conditioned on any."""
        return {r.name: label for r in self.index.recordings for label in self._label_of(r)}

    @property
    def training_samples(self) -> int:
        """Samples that are trained on."""
        return int(self._ends[-1])

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The windows of one training step, or one rank's shard: windows `rank`, rank + ranks, ...

        Every recorded sample is about equally likely to be predicted.
        """
        places = [self._place(step, i) for i in range(self.config.train.batch)]
        batch = _stacked([self.window(*place) for place in places[rank::ranks]])
        if ranks == 1:
            return batch
        return batch._replace(global_count=sum(self._counted(*place) for place in places))

    def _place(self, step: int, i: int) -> tuple[Span, int, float]:
        """Where the i-th window of a step begins to predict, and the gain that it is played at."""
        train, segment = self.config.train, self.config.segment_samples
        rng = np.random.Generator(np.random.Philox(key=train.seed, counter=[0, 0, step, i]))
        at = int(rng.integers(self.training_samples))
        which = int(np.searchsorted(self._ends, at, side="right"))
        span = self.training[which]
        # The chosen sample is the segment's middle, where the span reaches that far.
        start = at - int(self._ends[which] - len(span)) - segment // 2
        start = span.start + min(max(start, 0), len(span) - segment)
        most = train.augment_gain_db
        gain = 10 ** (rng.uniform(-most, most) / 20) if most else 1.0
        return span, self._on_a_frame(start, up=True), gain

    def _counted(self, span: Span, start: int, _gain: float) -> int:
        """The sum of a window's loss mask."""
        return max(0, min(start + self.config.segment_samples, span.stop) - max(start, span.start))

    def validation_batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Every held-out sample once with its exact context, or one rank's shard of them.

        When that is over `train.validation_seconds`, evenly chosen windows.
        """
        segment, train = self.config.segment_samples, self.config.train
        # What fits in memory in training fits here.
        size = -(-train.batch // (ranks * train.accumulate))
        starts = [
            (span, at)
            for span in self.validation
            for at in range(self._on_a_frame(span.start), span.stop, segment)
        ]
        most = max(1, int(train.validation_seconds * self.config.audio.sample_rate) // segment)
        if len(starts) > most:
            starts = [starts[i * len(starts) // most] for i in range(most)]
        starts = starts[rank::ranks]
        for i in range(0, len(starts), size):
            yield _stacked([self.window(*place) for place in starts[i : i + size]])

    def window(self, span: Span, start: int, gain: float = 1.0) -> Batch:
        """One window, without the batch axis, that predicts samples `start` to `start + segment`.

        `start` counts in the span's recording and may lie before the span: a recording shorter than
        a segment is padded with silence on its left. A `gain` that would clip is lowered to full
        scale.
        """
        segment = self.config.segment_samples
        first = start - self.receptive_field
        begin, stop = max(first, 0), min(start + segment, span.stop)
        pcm = self._pcm[span.offset : span.offset + span.length]
        inside = pcm[begin:stop]
        x = np.full(self.receptive_field + segment, self._silence, np.int64)
        source = Source(pcm, span.label)
        # The first row of the network's output predicts the window's second sample.
        inputs = windows.excerpt(self.config.model, source, first + 1, len(x) - 1)
        if gain > 1:
            excerpts = [(f, inputs.values[f.name]) for f in self._front_ends]
            loudest = max(peak(inside), *(f.peak(value) for f, value in excerpts), 1)
            gain = max(1.0, min(gain, 32767 / loudest))
        louder = {f.name: f.with_gain(inputs.values[f.name], gain) for f in self._front_ends}
        x[begin - first : stop - first] = self.distribution.encode(as_wav(scaled(inside, gain)))
        position = np.arange(start, start + segment)
        loss_mask = ((position >= span.start) & (position < span.stop)).astype(np.float32)
        return Batch(x, loss_mask, inputs._replace(values=louder))

    def _on_a_frame(self, start: int, *, up: bool = False) -> int:
        """The nearest start at or before, or with `up` at or behind, that lies on a frame.

        Frames then lie alike in all windows of a batch.
        """
        hop = self.config.model.frame_hop
        return -(-start // hop) * hop if up else start // hop * hop

    def unigram_bits(self) -> float:
        """What guessing by frequency alone costs, in bits per sample.

        The entropy of the training samples' `baseline_codes`, and what is left open within a code.
        """
        few = self.training[:: -(-len(self.training) // STATISTICS_SPANS)]
        each = STATISTICS_SAMPLES // len(few)
        codes = self.distribution.baseline_codes
        counts = np.zeros(codes.levels)
        for s in few:
            start = s.offset + s.start + max(0, len(s) - each) // 2
            wav = self._wav(start, min(start + each, s.offset + s.stop))
            counts += np.bincount(codes.encode(wav), minlength=len(counts))
        p = counts / counts.sum()
        seen = p > 0
        refinement_bits = baselines.refinement_bits(self.distribution)
        return float((p[seen] * (refinement_bits[seen] - np.log2(p[seen]))).sum())

    def held_out_baselines(self) -> tuple[float, float]:
        """(unigram, bigram) bits per held-out sample.

        Guessed by how often each code occurs in training, and knowing the code before.
        """
        levels = self.distribution.baseline_codes.levels
        learnt, scored = (
            baselines.pairs(self._pair_blocks(spans), levels)
            for spans in (self.training, self.validation)
        )
        return baselines.pair_bits(learnt, scored, self.distribution)

    def _pair_blocks(self, spans: list[Span]) -> Iterator[Samples]:
        for s in spans:
            for start in range(max(1, s.start), s.stop, BLOCK_SAMPLES):
                wav = self._wav(s.offset + start - 1, s.offset + min(start + BLOCK_SAMPLES, s.stop))
                yield self.distribution.baseline_codes.encode(wav)

    def wav(self, span: Span) -> Wav:
        """A span's audio, at its level in the cache."""
        return self._wav(span.offset + span.start, span.offset + span.stop)

    def _wav(self, start: int, stop: int) -> Wav:
        return as_wav(self._pcm[start:stop])

    def _read_labels(self) -> dict[str, int]:
        """Which of the config's labels each recording has, by number; {} without labels.

        Raises CorpusError for one that the network does not know.
        """
        known = {label: i for i, label in enumerate(self.config.model.labels)}
        if not known:
            return {}
        names = [r.name for r in self.index.recordings]
        by_name = labels.read(names, self.index.folder, self.config.train.label_from)
        for name, label in by_name.items():
            if label not in known:
                raise CorpusError(
                    f"{self.index.folder}: {name} has the label {label}, "
                    f"which this network does not know "
                    f"({known_labels.labels_line(list(known))}): train a new one for new labels"
                )
        return {name: known[label] for name, label in by_name.items()}

    def _label_of(self, r: Recording) -> tuple[str, ...]:
        return (self.config.model.labels[self._labels[r.name]],) if self._labels else ()


def _stacked(batch: list[Batch]) -> Batch:
    """Windows with the batch axis."""
    return Batch(
        np.stack([window.x for window in batch]),
        np.stack([window.loss_mask for window in batch]),
        windows.stacked([window.conditioning_input for window in batch]),
    )
