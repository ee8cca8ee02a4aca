"""Windows: pure functions of their place, silence before the start, levels, and every sample."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import SMALL, VOCODER, noisy, tone, training_recordings
from wavenet.config import Config, ModelConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import Batch, WindowDataset
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.data.split import Span

RECEPTIVE_FIELD = SMALL.receptive_field
FINE = replace(SMALL, output="logistic")


Make = Callable[..., WindowDataset]


@pytest.fixture
def dataset(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """dataset({"a.wav": wav, ...}, model, **train): windows of these recordings, or of some."""

    def make(files: Any = None, model: ModelConfig = SMALL, **train: Any) -> WindowDataset:
        config = replace(small_config, model=model, train=replace(small_config.train, **train))
        folder = make_folder(files or training_recordings())
        index = index_folder(folder, config.audio, trim=config.trims)
        return WindowDataset(Corpus.open(index, config))

    return make


def test_batches_are_a_pure_function_of_seed_and_step(dataset: Make) -> None:
    a, b = dataset(), dataset()
    b.batch(0)
    assert (a.batch(7).x == b.batch(7).x).all()
    assert (a.batch(7).x != a.batch(8).x).any()
    assert (a.batch(7).x != dataset(seed=9).batch(7).x).any()


def test_augmented_windows_are_the_recorded_ones_louder_or_softer(dataset: Make) -> None:
    files = {f"{i}.wav": noisy(0.5, 8000, seed=i) * 0.3 for i in range(6)}
    plain, changed = dataset(files, FINE), dataset(files, FINE, augment_gain_db=6.0)
    gains = []
    for step in range(60):
        decode = plain.corpus.distribution.decode
        a, b = (decode(c.batch(step).x).astype(np.float64) for c in (plain, changed))
        for x, y in zip(a, b, strict=True):
            gains.append((x * y).sum() / (x * x).sum())
            assert np.abs(y - gains[-1] * x).max() < 1e-4
    decibels = 20 * np.log10(gains)
    assert -6.01 < decibels.min() < -5
    assert 5 < decibels.max() < 6.01
    assert abs(decibels.mean()) < 1
    for a, b in zip(plain.validation_batches(), changed.validation_batches(), strict=True):
        assert (a.x == b.x).all()


def test_an_augmented_window_never_clips(dataset: Make) -> None:
    files = {f"{i}.wav": tone(0.5, 8000, 100 + i, amplitude=0.99) for i in range(6)}
    c = dataset(files, FINE, augment_gain_db=20.0)
    for step in range(20):
        for x in c.corpus.distribution.decode(c.batch(step).x):
            assert (np.abs(x) > 0.9999).sum() < 20, "the tops of a tone are flat"


def test_frames_follow_the_level_of_an_augmented_window(
    dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(VOCODER, mel_bands=8, frame_hop=32, frame_window=128, output="logistic")
    c = dataset({f"{i}.wav": noisy(0.5, 8000, seed=i) * 0.2 for i in range(6)}, model)
    decode, span = c.corpus.distribution.decode, c.corpus.training[0]
    a, b = c.window(span, 320), c.window(span, 320, 0.5)
    audio, softer_audio = (w.conditioning_input.values["mel"] for w in (a, b))
    assert np.abs(softer_audio - 0.5 * audio).max() <= 0.5
    assert np.abs(decode(b.x) - 0.5 * decode(a.x)).max() < 1e-4
    # A loud sample lies behind the window, within its last frame.
    pcm = c.corpus.index.pcm(span.recording).copy()
    pcm[320 + c.segment] = 30_000
    monkeypatch.setattr(Index, "pcm", lambda *_: pcm)
    loud = c.window(span, 320, 4.0)
    assert loud.conditioning_input.values["mel"].max() == 32767
    assert np.abs(decode(loud.x)).max() < 1.2 * np.abs(decode(a.x)).max(), "the same gain for both"


def test_windows_never_straddle_files(dataset: Make) -> None:
    """Each file has one constant loudness of its own; a window of two would show two of them."""
    square = np.where(np.arange(3000) % 2, 1, -1)
    c = dataset({f"{i}.wav": square * (0.1 + 0.1 * i) for i in range(6)})
    silence, decode = c.corpus.distribution.silence, c.corpus.distribution.decode
    for step in range(40):
        for x in c.batch(step).x:
            loudness = np.abs(decode(x[x != silence]))
            assert np.ptp(loudness) < 0.04, loudness


def test_before_a_recording_there_is_silence_that_the_loss_leaves_out(dataset: Make) -> None:
    c = dataset()
    span = c.corpus.training[0]
    first = c.window(span, span.start)
    assert (first.x[:RECEPTIVE_FIELD] == c.corpus.distribution.silence).all()
    assert first.loss_mask.all()
    straddling = c.window(span, span.start - 100)
    assert straddling.loss_mask.tolist() == [0] * 100 + [1] * (c.segment - 100)
    assert (straddling.x[: RECEPTIVE_FIELD + 100] == c.corpus.distribution.silence).all()


def test_a_short_recording_is_aligned_to_its_end(dataset: Make) -> None:
    files = {f"{i}.wav": tone(0.12, hertz=100 + 50 * i) for i in range(6)}
    c = dataset(files, segment_seconds=0.2)
    batch = c.batch(0)
    assert batch.loss_mask.shape == (3, c.segment)
    assert (batch.loss_mask.sum(axis=1) == round(0.12 * 8000)).all()
    assert batch.loss_mask[:, -1].all()
    assert (batch.x[:, :RECEPTIVE_FIELD] == c.corpus.distribution.silence).all()


def test_every_sample_is_about_equally_likely(
    dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{i}.wav": noisy(0.5 if i else 2.0, seed=i) for i in range(4)}
    c = dataset(files, validation_fraction=0.01, batch=50)
    seen = {s.recording.name: np.zeros(s.stop) for s in c.corpus.training}
    window = WindowDataset.window

    def noting(self: WindowDataset, span: Span, start: int, *how: Any) -> Batch:
        seen[span.recording.name][max(start, 0) : start + self.segment] += 1
        return window(self, span, start, *how)

    monkeypatch.setattr(WindowDataset, "window", noting)
    for step in range(60):
        c.batch(step)
    total = np.concatenate([v[200:-200] for v in seen.values()])
    assert total.min() > 0.4 * total.mean()
    edges = np.concatenate([v[:50] for v in seen.values()])
    assert edges.mean() > 0.4 * total.mean()


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_shards_of_a_batch_are_the_batch(dataset: Make, ranks: int) -> None:
    """The count of the whole is known beforehand."""
    c = dataset(batch=7, segment_seconds=1.5)
    whole = c.batch(4)
    for rank in range(ranks):
        shard = c.batch(4, rank, ranks)
        assert (shard.x == whole.x[rank::ranks]).all()
        assert shard.global_count == whole.loss_mask.sum() < whole.loss_mask.size


def scored(batches: Iterable[Batch]) -> int:
    return int(sum(b.loss_mask.sum() for b in batches))


def test_validation_counts_every_held_out_sample_once(dataset: Make) -> None:
    c = dataset(validation_seconds=100)
    each = [scored(c.validation_batches(rank, 2)) for rank in (0, 1)]
    assert scored(c.validation_batches()) == sum(each) == sum(len(s) for s in c.corpus.validation)
    assert min(each) > 0
    assert scored(dataset(validation_seconds=0.1).validation_batches()) <= 0.1 * 8000
