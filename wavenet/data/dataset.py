"""Windows of recordings for training and validation.

A window holds `receptive_field` samples of context and then the segment to predict, all from one recording; what lies before
its start is silence. Example i of step s is a pure function of (seed, s, i): a resumed run needs to know only its step.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavenet.arrays import Samples, Wav
from wavenet.audio.quantization import as_wav
from wavenet.config import Config
from wavenet.data import baselines, labels
from wavenet.data.pcm_cache import Index, Recording
from wavenet.data.split import FEWEST_FILES, TAILS_FRACTION, TAILS_MIN_SECONDS, Span
from wavenet.errors import CorpusError
from wavenet.model import known_labels
from wavenet.model.conditioning.conditioner import Excerpt, excerpt, stacked
from wavenet.model.distributions.registry import distribution_for

BLOCK_SAMPLES = 1 << 18
STATISTICS_SAMPLES = 4_000_000  # read at most about this many for the unigram figure
STATISTICS_SPANS = 400  # from the middles of at most so many recordings


class Batch(NamedTuple):
    """x (batch, receptive_field + segment) codes; counts (batch, segment) is 1 where a predicted sample is real audio."""

    x: Samples
    loss_mask: NDArray[np.float32]
    conditioning_input: Excerpt = Excerpt()  # what its conditions are made from
    global_count: int = (
        0  # samples that count in the step's whole batch, where this is one process's share of it
    )


def with_labels(config: Config, index: Index) -> Config:
    """The config with the labels that the recordings have, when it wants labels and knows none yet. Raises CorpusError."""
    if not config.model.label_channels or config.model.labels:
        return config
    found = labels.read([r.name for r in index.recordings], index.folder, config.train.label_from)
    return replace(config, model=replace(config.model, labels=tuple(sorted(set(found.values())))))


class Corpus:
    """An indexed folder, split into what is trained on and what is held out."""

    def __init__(self, index: Index, config: Config, receptive_field: int) -> None:
        self.index = index
        self.config = config
        self.receptive_field = receptive_field
        self.distribution = distribution_for(config.model)
        self.notes: list[str] = []
        self.held_out: list[str] = []  # names of whole recordings held out
        self.left_out: list[str] = []  # names of recordings that `tails` finds too short
        self._pcm = index.pcm()
        self._silence = self.distribution.silence
        self._labels = self._read_labels()
        self.training, self.validation = self._split()
        without = (
            {self._labels[r.name] for r in index.recordings} - {s.label for s in self.training}
            if self._labels
            else set()
        )
        if without:
            names = known_labels.labels_line([config.model.labels[i] for i in sorted(without)])
            raise CorpusError(
                f"{index.folder}: validation leaves nothing to train on of {names}; give it longer recordings, or more of them"
            )
        self._ends = np.cumsum([len(s) for s in self.training])

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a recording is added, removed, changed or relabelled, or decoded otherwise."""
        content = sorted((r.sha256, r.samples, *self._label_of(r)) for r in self.index.recordings)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def contents(self) -> dict[str, str]:
        """Every recording's name and SHA-256."""
        return {r.name: r.sha256 for r in self.index.recordings}

    @property
    def labels(self) -> dict[str, str]:
        """Every recording's label, where the network is told any."""
        return {r.name: label for r in self.index.recordings for label in self._label_of(r)}

    @property
    def training_samples(self) -> int:
        return int(self._ends[-1])

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The windows of one training step; every recorded sample is about equally likely to be predicted.

        Of several processes each makes its share: windows `rank`, rank + ranks, ...
        """
        places = [self._place(step, i) for i in range(self.config.train.batch)]
        batch = _together([self.window(*place) for place in places[rank::ranks]])
        return (
            batch
            if ranks == 1
            else batch._replace(global_count=sum(self._counted(*place) for place in places))
        )

    def _place(self, step: int, i: int) -> tuple[Span, int, float]:
        """Where the i-th window of a step begins to predict, and how loud it is to be."""
        train, segment = self.config.train, self.config.segment_samples
        rng = np.random.Generator(np.random.Philox(key=train.seed, counter=[0, 0, step, i]))
        at = int(rng.integers(self.training_samples))
        which = int(np.searchsorted(self._ends, at, side="right"))
        span = self.training[which]
        start = at - int(self._ends[which] - len(span)) - segment // 2
        most = train.augment_gain_db
        gain = 10 ** (rng.uniform(-most, most) / 20) if most else 1.0
        return (
            span,
            self._on_a_frame(span.start + min(max(start, 0), len(span) - segment), up=True),
            gain,
        )

    def _counted(self, span: Span, start: int, _: float) -> int:
        """How many samples of a window count."""
        return max(0, min(start + self.config.segment_samples, span.stop) - max(start, span.start))

    def validation_batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Every held-out sample once with its exact context, or evenly chosen windows when that is over validation_seconds.

        Of several processes each makes its share.
        """
        segment, train = self.config.segment_samples, self.config.train
        batch = -(
            -train.batch // (ranks * train.accumulate)
        )  # what fits in memory while training fits here
        starts = [
            (span, at)
            for span in self.validation
            for at in range(self._on_a_frame(span.start), span.stop, segment)
        ]
        most = max(
            1, int(self.config.train.validation_seconds * self.config.audio.sample_rate) // segment
        )
        if len(starts) > most:
            starts = [starts[i * len(starts) // most] for i in range(most)]
        starts = starts[rank::ranks]
        for i in range(0, len(starts), batch):
            yield _together([self.window(*s) for s in starts[i : i + batch]])

    def window(self, span: Span, start: int, gain: float = 1.0) -> Batch:
        """One window, without the batch axis, that predicts samples start ... start + segment of the span's recording.

        `start` may lie before the span: a recording shorter than a segment is padded with silence on its left. A `gain` that would clip
        is lowered to full scale.
        """
        segment = self.config.segment_samples
        first = start - self.receptive_field
        x = np.full(self.receptive_field + segment, self._silence, np.int64)
        stop = min(start + segment, span.stop)
        begin = max(first, 0)
        pcm = self._pcm[span.offset : span.offset + span.length]
        heard = excerpt(self.config.model, pcm, span.label, first + 1, len(x) - 1)
        if gain > 1:
            loudest = max(
                _loudest(pcm[begin:stop]),
                1 if heard.pcm is None else _loudest(np.asarray(heard.pcm)),
            )
            gain = max(1.0, min(gain, 32767 / loudest))
        x[begin - first : stop - first] = self.distribution.encode(
            as_wav(_scaled(pcm[begin:stop], gain))
        )
        position = np.arange(start, start + segment)
        counts = ((position >= span.start) & (position < span.stop)).astype(np.float32)
        heard = (
            heard if heard.pcm is None else heard._replace(pcm=_scaled(np.asarray(heard.pcm), gain))
        )
        return Batch(x, counts, heard)

    def _on_a_frame(self, start: int, *, up: bool = False) -> int:
        """The nearest start before, or with `up` behind, that lies on a mel frame: frames then lie alike in all windows of a batch."""
        hop = self.config.model.mel_hop if self.config.model.mel_bands else 1
        return -(-start // hop) * hop if up else start // hop * hop

    def unigram_bits(self) -> float:
        """Entropy of the training samples' coarse codes: what guessing by frequency alone costs, in bits per sample."""
        few = self.training[:: -(-len(self.training) // STATISTICS_SPANS)]
        each = STATISTICS_SAMPLES // len(few)
        coarse = self.distribution.baseline_codes
        counts = np.zeros(coarse.levels)
        for s in few:
            start = s.offset + s.start + max(0, len(s) - each) // 2
            wav = self._wav(start, min(start + each, s.offset + s.stop))
            counts += np.bincount(coarse.encode(wav), minlength=len(counts))
        p = counts / counts.sum()
        seen = p > 0
        return float(
            (p[seen] * (baselines.open_bits(self.distribution)[seen] - np.log2(p[seen]))).sum()
        )

    def held_out_baselines(self) -> tuple[float, float]:
        """(unigram, bigram) bits per held-out sample: guessed by how often each code occurs in training, and by the code before."""
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
        """Which of the config's labels each recording has. Raises CorpusError for one that the network does not know."""
        known = {label: i for i, label in enumerate(self.config.model.labels)}
        if not known:
            return {}
        found = labels.read(
            [r.name for r in self.index.recordings], self.index.folder, self.config.train.label_from
        )
        for name, label in found.items():
            if label not in known:
                raise CorpusError(
                    f"{self.index.folder}: {name} has the label {label}, which this network does not know "
                    f"({known_labels.labels_line(list(known))}): train a new one for new labels"
                )
        return {name: known[label] for name, label in found.items()}

    def _label_of(self, r: Recording) -> tuple[str, ...]:
        return (self.config.model.labels[self._labels[r.name]],) if self._labels else ()

    def _span(self, r: Recording, start: int, stop: int) -> Span:
        return Span(r.offset, start, stop, r.samples, self._labels.get(r.name, 0))

    # --- the split -----------------------------------------------------------------------------------------------

    def _split(self) -> tuple[list[Span], list[Span]]:
        recordings = self.index.recordings
        different = len({r.sha256 for r in recordings})
        if self.config.train.validation == "files":
            if different >= FEWEST_FILES:
                return self._hold_out_files(recordings)
            self.notes.append(
                f"only {different} different recordings: validating on the last tenth of each instead of on whole files"
            )
            return self._hold_out_tails(recordings, 0.0)
        return self._hold_out_tails(recordings, TAILS_MIN_SECONDS)

    def _hold_out_files(self, recordings: tuple[Recording, ...]) -> tuple[list[Span], list[Span]]:
        """About `validation_fraction` of the audio, chosen by content: adding files moves few others, and twins stay together."""
        goal = self.config.train.validation_fraction * sum(r.samples for r in recordings)
        by_content: dict[str, list[Recording]] = {}
        for r in recordings:
            by_content.setdefault(r.sha256, []).append(r)
        groups = [by_content[sha] for sha in sorted(by_content)]
        sizes = [sum(r.samples for r in group) for group in groups]
        told = [{self._labels.get(r.name, 0) for r in group} for group in groups]
        left = Counter(
            label for labels in told for label in labels
        )  # groups of each label that training may still have
        chosen: dict[int, None] = {}  # in the order of choice
        held = 0

        def spare(i: int) -> bool:
            """Whether something is left to train each of its labels on."""
            return i not in chosen and all(left[label] > 1 for label in told[i])

        def hold_out(i: int) -> None:
            chosen[i] = None
            left.subtract(told[i])

        for i, size in enumerate(sizes):
            if held + size <= goal and spare(i):
                hold_out(i)
                held += size
        others = [i for i in range(len(groups)) if spare(i)]
        if (
            held < goal / 2 and others and len(chosen) < len(groups) - 1
        ):  # the rest are longer than the goal: take one all the same
            hold_out(min(others, key=lambda i: sizes[i]))
        out = [r for i in chosen for r in groups[i]]
        self.held_out = sorted(r.name for r in out)
        names = set(self.held_out)
        training = [r for r in recordings if r.name not in names]
        return [self._span(r, 0, r.samples) for r in training], [
            self._span(r, 0, r.samples) for r in out
        ]

    def _hold_out_tails(
        self, recordings: tuple[Recording, ...], min_seconds: float
    ) -> tuple[list[Span], list[Span]]:
        least = min_seconds * self.index.sample_rate
        kept = [r for r in recordings if r.samples > least]
        self.left_out = [r.name for r in recordings if r.samples <= least]
        if self.left_out:
            self.notes.append(
                f"train.validation = tails uses files over {min_seconds:g} s: {len(self.left_out)} shorter ones left out"
            )
        if not kept:
            raise CorpusError(
                f"{self.index.folder}: train.validation = tails needs recordings over {min_seconds:g} s; use files"
            )
        cuts = [(r, int(r.samples * (1 - TAILS_FRACTION))) for r in kept]
        return [self._span(r, 0, cut) for r, cut in cuts], [
            self._span(r, cut, r.samples) for r, cut in cuts
        ]


def _loudest(pcm: NDArray[np.int16]) -> int:
    return int(np.abs(pcm.astype(np.int32)).max(initial=1))


def _scaled(pcm: NDArray[np.int16], gain: float) -> NDArray[np.int16]:
    return (
        pcm
        if gain == 1
        else np.clip(np.rint(pcm * np.float32(gain)), -32768, 32767).astype(np.int16)
    )


def _together(windows: list[Batch]) -> Batch:
    """Windows with the batch axis."""
    return Batch(
        np.stack([w.x for w in windows]),
        np.stack([w.loss_mask for w in windows]),
        stacked([w.conditioning_input for w in windows]),
    )
