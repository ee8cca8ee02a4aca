"""Windows of recordings for training and validation.

A window holds `receptive_field` samples of context and then the segment to predict, all from one
recording; what lies before its start is silence. Window i of step s is a pure function of
(seed, s, i), so a resumed run needs to know nothing but its step.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavenet.arithmetic import ceil_div
from wavenet.audio.gain import peak, scaled
from wavenet.audio.quantization import from_pcm16, with_noise
from wavenet.data import varispeed
from wavenet.data.corpus import Corpus
from wavenet.data.split import Span
from wavenet.glossary import Array, Samples
from wavenet.model.conditioning import windows
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.target import target_of


class Batch(NamedTuple):
    """Windows on the host.

    `loss_mask` is 1 where a predicted sample is real audio. Where this is one rank's shard,
    `global_count` is the sum of the masks of the whole batch. `noisy` is `x` as the network reads
    it with `train.input_noise`; None without.
    """

    x: Samples  # (batch, receptive_field + segment)
    loss_mask: NDArray[np.float32]  # (batch, segment)
    conditioning_input: ConditioningInput = ConditioningInput({})
    global_count: int = 0
    noisy: Samples | None = None


class Place(NamedTuple):
    """Where a window of training begins to predict, and what is done to it."""

    span: Span
    start: int  # sample
    gain: float
    # Of what gives its noise.
    rng: np.random.Generator
    # Up, of each sample that it is made from; None as it was recorded.
    semitones: Array | None = None


class WindowDataset:
    """The windows of a corpus: random ones to train on, and all of what is held out."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.receptive_field = corpus.config.model.receptive_field
        self.segment = corpus.config.segment_samples
        self._front_ends = front_ends(corpus.config.model)
        # Samples that a window and its frames are made from, before what is predicted. Behind it
        # there are fewer.
        model, contexts = corpus.config.model, [f.context for f in self._front_ends]
        frames = 2 + max(contexts, default=0)
        self._before = self.receptive_field + frames * model.frame_spacing + model.frame_window
        # Where each training span ends, were they laid end to end.
        self._ends = np.cumsum([len(s) for s in corpus.training])

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The windows of one training step, or one rank's shard: windows `rank`, rank + ranks, ...

        Every recorded sample is about equally likely to be predicted.
        """
        places = [self._place(step, i) for i in range(self.corpus.config.train.batch)]
        batch = _stacked([self.window(*place) for place in places[rank::ranks]])
        if ranks == 1:
            return batch
        predicted = [self._predicted(place.span, place.start) for place in places]
        return batch._replace(global_count=sum(stop - start for start, stop in predicted))

    def _place(self, step: int, i: int) -> Place:
        """The i-th window of a step."""
        train = self.corpus.config.train
        rng = np.random.Generator(np.random.Philox(key=train.seed, counter=[0, 0, step, i]))
        at = int(rng.integers(self._ends[-1]))
        which = int(np.searchsorted(self._ends, at, side="right"))
        span = self.corpus.training[which]
        # The chosen sample is the segment's middle, where the span reaches that far.
        start = at - int(self._ends[which] - len(span)) - self.segment // 2
        start = span.start + min(max(start, 0), len(span) - self.segment)
        most = train.augment_gain_db
        gain = 10 ** (rng.uniform(-most, most) / 20) if most else 1.0
        semitones, most = None, train.augment_pitch
        if most:
            samples = self._before + self.segment + self._before
            semitones = varispeed.curve(rng, most, samples, self.corpus.index.sample_rate)
        # Frames then lie alike in all windows of a batch.
        hop = self.corpus.config.model.frame_spacing
        return Place(span, ceil_div(start, hop) * hop, gain, rng, semitones)

    def validation_batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Every held-out sample once with its exact context, or one rank's shard of them.

        When that is over `train.validation_seconds`, evenly chosen windows.
        """
        config = self.corpus.config
        hop = config.model.frame_spacing
        starts = [
            (span, at)
            for span in self.corpus.validation
            for at in range(span.start // hop * hop, span.stop, self.segment)
        ]
        limit = int(config.train.validation_seconds * config.audio.sample_rate)
        most = max(1, limit // self.segment)
        if len(starts) > most:
            starts = [starts[i * len(starts) // most] for i in range(most)]
        seed = config.train.seed
        # Their noise is the same at every validation.
        places = [
            Place(
                *start, 1.0, np.random.Generator(np.random.Philox(key=seed, counter=[0, 1, 0, i]))
            )
            for i, start in enumerate(starts)
        ][rank::ranks]
        # What fits in memory in training fits here.
        size = ceil_div(config.train.batch, ranks * config.train.accumulate)
        for i in range(0, len(places), size):
            yield _stacked([self.window(*place) for place in places[i : i + size]])

    def window(
        self,
        span: Span,
        start: int,
        gain: float = 1.0,
        rng: np.random.Generator | None = None,
        semitones: Array | None = None,
    ) -> Batch:
        """One window, without the batch axis, that predicts samples `start` to `start + segment`.

        `start` counts in the span's recording and may lie before the span: a recording shorter than
        a segment is padded with silence on its left. A `gain` that would clip is lowered to full
        scale. With an `rng` it has the noise of `train.input_noise`, if that is set, and with
        `semitones` it glides: see `varispeed`.
        """
        corpus, model = self.corpus, self.corpus.config.model
        source, at, begin = corpus.source(span), start, 0
        if semitones is not None:
            spacing = model.frame_spacing
            source, at, begin = varispeed.played(
                source, span, start, self._before, self.segment, spacing, semitones
            )
        first, stop = at - self.receptive_field, at + min(self.segment, span.stop - start)
        begin = max(first, begin)
        inside = source.pcm[begin:stop]
        x = np.full(self.receptive_field + self.segment, corpus.distribution.silence, np.int64)
        # The first row of the network's output predicts the window's second sample.
        inputs = windows.excerpt(model, source, first + 1, len(x) - 1)
        if gain > 1:
            peaks = [f.peak(inputs.values[f.name]) for f in self._front_ends]
            gain = max(1.0, min(gain, 32767 / max(peak(inside), *peaks, 1)))
        louder = {f.name: f.with_gain(inputs.values[f.name], gain) for f in self._front_ends}
        if model.linear_prediction:
            # However loud the recording is played, it is the same.
            wav = target_of(model, corpus.index.sample_rate, source, begin, stop)
        else:
            wav = from_pcm16(scaled(inside, gain))
        x[begin - first : stop - first] = corpus.distribution.encode(wav)
        noisy, most = None, corpus.config.train.input_noise
        if most and rng is not None:
            # What lies before the recording stays silence.
            noise = rng.uniform(0, most) * rng.standard_normal(len(wav))
            noisy = x.copy()
            noisy[begin - first : stop - first] = corpus.distribution.encode(with_noise(wav, noise))
        loss_mask = np.zeros(self.segment, np.float32)
        loss_mask[slice(*self._predicted(span, start))] = 1
        return Batch(x, loss_mask, inputs._replace(values=louder), noisy=noisy)

    def _predicted(self, span: Span, start: int) -> tuple[int, int]:
        """Which part of the segment that begins at `start` is of the span, counted from there."""
        low, high = np.clip([span.start - start, span.stop - start], 0, self.segment)
        return int(low), int(high)


def _stacked(batch: list[Batch]) -> Batch:
    """Windows with the batch axis."""
    noisy = [window.noisy for window in batch if window.noisy is not None]
    return Batch(
        np.stack([window.x for window in batch]),
        np.stack([window.loss_mask for window in batch]),
        windows.stacked([window.conditioning_input for window in batch]),
        noisy=np.stack(noisy) if noisy else None,
    )
