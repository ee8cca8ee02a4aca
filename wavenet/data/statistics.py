"""How well the samples of a corpus are guessed without a network, by counting codes.

A loss is judged by these: a network that stays at the unigram figure has learnt nothing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.data import baselines
from wavenet.data.corpus import Corpus
from wavenet.data.split import Span
from wavenet.glossary import Samples

BLOCK_SAMPLES = 1 << 18
# What is counted is counted on about this many samples, from the middles of this many recordings.
STATISTICS_SAMPLES = 4_000_000
STATISTICS_SPANS = 400


def unigram_bits(corpus: Corpus) -> float:
    """What guessing by frequency alone costs, in bits per sample.

    The entropy of the training samples' `baseline_codes`, and what is left open within a code.
    """
    codes = corpus.distribution.baseline_codes
    counts = np.zeros(codes.levels)
    for middle in _middles(corpus.training):
        counts += np.bincount(codes.encode(corpus.target(middle)), minlength=len(counts))
    p = counts / counts.sum()
    seen = p > 0
    refinement_bits = baselines.refinement_bits(corpus.distribution)
    return float((p[seen] * (refinement_bits[seen] - np.log2(p[seen]))).sum())


def held_out_baselines(corpus: Corpus) -> tuple[float, float]:
    """(unigram, bigram) bits per held-out sample.

    Guessed by how often each code occurs in training, and knowing the code before. NaN where
    nothing is held out.
    """
    levels = corpus.distribution.baseline_codes.levels
    learnt, scored = (
        baselines.pairs(_pair_blocks(corpus, _middles(spans)), levels)
        for spans in (corpus.training, corpus.validation)
    )
    if not scored.any():
        return math.nan, math.nan
    return baselines.pair_bits(learnt, scored, corpus.distribution)


def _middles(spans: Sequence[Span]) -> list[Span]:
    """Of many spans some, and of long ones the middle: what is counted of them."""
    few = spans[:: max(1, ceil_div(len(spans), STATISTICS_SPANS))]
    middles = []
    for span in few:
        samples = min(len(span), STATISTICS_SAMPLES // len(few))
        start = span.start + (len(span) - samples) // 2
        middles.append(replace(span, start=start, stop=start + samples))
    return middles


def _pair_blocks(corpus: Corpus, spans: list[Span]) -> Iterator[Samples]:
    """Codes of the spans in blocks, each of which begins with the sample before it."""
    for span in spans:
        for start in range(max(1, span.start), span.stop, BLOCK_SAMPLES):
            block = replace(span, start=start - 1, stop=min(start + BLOCK_SAMPLES, span.stop))
            yield corpus.distribution.baseline_codes.encode(corpus.target(block))
