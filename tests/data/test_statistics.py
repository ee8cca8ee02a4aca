"""Figures of a corpus that need no network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import STARTER, noisy
from wavenet.config import Config
from wavenet.config.loading import load
from wavenet.data import statistics
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.data.split import Span
from wavenet.data.statistics import held_out_baselines, unigram_bits
from wavenet.glossary import Wav


def test_unigram_and_bigram_bits_match_the_published_ones() -> None:
    config = load("paper", {"train.validation": "tails"})
    index = index_folder(STARTER / "speech" / "carlo", config.audio, trim=False)
    unigram, bigram = held_out_baselines(Corpus.open(index, config))
    assert unigram == pytest.approx(7.86, abs=0.01)
    assert bigram == pytest.approx(5.34, abs=0.02)


def test_the_unigram_baseline_is_not_the_silence_at_the_starts_of_many_recordings(
    make_folder: Callable[..., Path], small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {
        f"{i:02}.wav": np.concatenate([np.zeros(2000), noisy(0.6, seed=i), np.zeros(2000)])
        for i in range(40)
    }
    config = replace(small_config, audio=replace(small_config.audio, trim=False))
    corpus = Corpus.open(index_folder(make_folder(sound), config.audio, trim=False), config)
    bits = unigram_bits(corpus)
    monkeypatch.setattr(statistics, "STATISTICS_SPANS", 5)
    lengths: list[int] = []
    target = Corpus.target

    def noting(self: Corpus, span: Span) -> Wav:
        lengths.append(len(span))
        return target(self, span)

    monkeypatch.setattr(Corpus, "target", noting)
    assert unigram_bits(corpus) == pytest.approx(bits, abs=0.1)
    assert 3 <= len(lengths) <= 5
    lengths.clear()
    monkeypatch.setattr(statistics, "STATISTICS_SAMPLES", 5 * 1000)
    # None of the silence is counted now.
    assert unigram_bits(corpus) > bits + 0.5
    assert max(lengths) <= 5000 // len(lengths) <= 1700
