"""How well the samples of a corpus are guessed without a network, by counting codes.

A loss is judged by these: a network that stays at the unigram figure has learnt nothing.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.data import baselines
from wavenet.data.corpus import Corpus
from wavenet.data.split import Span
from wavenet.glossary import Samples

BLOCK_SAMPLES = 1 << 18
# The unigram figure is counted on about this many samples, from the middles of this many
# recordings.
STATISTICS_SAMPLES = 4_000_000
STATISTICS_SPANS = 400


def unigram_bits(corpus: Corpus) -> float:
    """What guessing by frequency alone costs, in bits per sample.

    The entropy of the training samples' `baseline_codes`, and what is left open within a code.
    """
    few = corpus.training[:: ceil_div(len(corpus.training), STATISTICS_SPANS)]
    each = STATISTICS_SAMPLES // len(few)
    codes = corpus.distribution.baseline_codes
    counts = np.zeros(codes.levels)
    for span in few:
        start = span.start + max(0, len(span) - each) // 2
        middle = replace(span, start=start, stop=min(start + each, span.stop))
        counts += np.bincount(codes.encode(corpus.target(middle)), minlength=len(counts))
    p = counts / counts.sum()
    seen = p > 0
    refinement_bits = baselines.refinement_bits(corpus.distribution)
    return float((p[seen] * (refinement_bits[seen] - np.log2(p[seen]))).sum())


def held_out_baselines(corpus: Corpus) -> tuple[float, float]:
    """(unigram, bigram) bits per held-out sample.

    Guessed by how often each code occurs in training, and knowing the code before.
    """
    levels = corpus.distribution.baseline_codes.levels
    learnt = baselines.pairs(_pair_blocks(corpus, corpus.training), levels)
    scored = baselines.pairs(_pair_blocks(corpus, corpus.validation), levels)
    return baselines.pair_bits(learnt, scored, corpus.distribution)


def _pair_blocks(corpus: Corpus, spans: list[Span]) -> Iterator[Samples]:
    """Codes of the spans in blocks, each of which begins with the sample before it."""
    for span in spans:
        for start in range(max(1, span.start), span.stop, BLOCK_SAMPLES):
            block = replace(span, start=start - 1, stop=min(start + BLOCK_SAMPLES, span.stop))
            yield corpus.distribution.baseline_codes.encode(corpus.target(block))
