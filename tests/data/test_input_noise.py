"""`train.input_noise`: in what the network reads, never in what it predicts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import SMALL, noisy, tone, training_recordings
from wavenet.audio.quantization import encode, with_noise
from wavenet.config import Config, ModelConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.loader import Prefetcher, to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.glossary import Array
from wavenet.training.trainer import Trainer

FINE = replace(SMALL, levels=256)
CPU = torch.device("cpu")
Make = Callable[..., WindowDataset]


@pytest.fixture
def dataset(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """dataset({"a.wav": wav, ...}, model, **train): windows of these recordings, or of some."""

    def make(files: Any = None, model: ModelConfig = FINE, **train: Any) -> WindowDataset:
        config = replace(small_config, model=model, train=replace(small_config.train, **train))
        folder = make_folder(files or training_recordings())
        index = index_folder(folder, config.audio, trim=config.trims)
        return WindowDataset(Corpus.open(index, config))

    return make


def test_what_is_predicted_is_clean_and_no_noise_is_no_change(dataset: Make) -> None:
    plain, changed = dataset(), dataset(input_noise=8.0)
    for step in range(5):
        a, b = plain.batch(step), changed.batch(step)
        assert a.noisy is None
        assert b.noisy is not None
        # The same windows, at the same places.
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.loss_mask, b.loss_mask)
        assert b.noisy.shape == b.x.shape
        assert (b.noisy != b.x).mean() > 0.1
    twice = changed.validation_batches()
    for a, b in zip(plain.validation_batches(), changed.validation_batches(), strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        assert a.noisy is None
        assert b.noisy is not None
        # Validations compare, so their noise is the same each time.
        np.testing.assert_array_equal(b.noisy, next(twice).noisy)


def test_it_is_a_pure_function_of_seed_step_and_window(dataset: Make) -> None:
    a, b, other = (dataset(input_noise=8.0, batch=5, seed=s) for s in (3, 3, 4))
    b.batch(0)

    def noisy_of(c: WindowDataset, *at: int) -> Array:
        read = c.batch(*at).noisy
        assert read is not None
        return read

    np.testing.assert_array_equal(noisy_of(a, 7), noisy_of(b, 7))
    assert (noisy_of(a, 7) != noisy_of(a, 8)).any()
    assert (noisy_of(a, 7) != noisy_of(other, 7)).any()
    for rank in range(2):
        np.testing.assert_array_equal(noisy_of(a, 7, rank, 2), noisy_of(a, 7)[rank::2])
    # With a gain besides, which is drawn first.
    louder, noisy_too = dataset(augment_gain_db=6.0), dataset(augment_gain_db=6.0, input_noise=8.0)
    np.testing.assert_array_equal(louder.batch(2).x, noisy_too.batch(2).x)


def test_silence_before_a_recording_has_none(dataset: Make) -> None:
    c = dataset(input_noise=30.0)
    span, silence = c.corpus.training[0], c.corpus.distribution.silence
    window = c.window(span, span.start - 100, 1.0, np.random.default_rng(0))
    assert window.noisy is not None
    before = c.receptive_field + 100
    assert (window.noisy[:before] == silence).all()
    assert (window.noisy[before:] != window.x[before:]).mean() > 0.5
    # Without a source of noise, as in validation, there is none.
    assert c.window(span, span.start).noisy is None


@pytest.mark.parametrize("most", [2.0, 8.0, 24.0])
def test_its_deviation_is_up_to_what_is_asked_for(dataset: Make, most: float) -> None:
    files = {f"{i}.wav": noisy(1.0, seed=i, amplitude=0.02) for i in range(6)}
    c = dataset(files, input_noise=most, batch=20)
    deviations = []
    for step in range(20):
        batch = c.batch(step)
        assert batch.noisy is not None
        difference = batch.noisy - batch.x
        # What lies before a recording is left out.
        deviations += [d[x != 128].std() for d, x in zip(difference, batch.x, strict=True)]
    # Uniform up to the most, where rounding to levels adds a little.
    assert max(deviations) < 1.15 * most + 0.5
    assert max(deviations) > 0.9 * most
    assert np.mean(deviations) == pytest.approx(most / 2, rel=0.15, abs=0.3)
    assert min(deviations) < 0.1 * most + 0.3


def test_noise_is_as_loud_as_the_audio_and_never_beyond_full_scale() -> None:
    noise = np.random.default_rng(0).standard_normal(20_000)
    for level in (0.0, 0.01, 0.5, -1.0, 1.0):
        wav = np.full(len(noise), level, np.float32)
        result = with_noise(wav, 4 * noise)
        assert result.dtype == np.float32
        assert np.abs(result).max() <= 1
        if abs(level) < 1:
            spread = encode(result, 256) - encode(wav, 256).astype(np.float64)
            assert spread.std() == pytest.approx(4, rel=0.05)
    np.testing.assert_allclose(with_noise(np.array([0.3], np.float32), np.zeros(1)), 0.3, atol=1e-6)


@pytest.mark.parametrize("output", ["mulaw", "logistic", "gaussian"])
def test_networks_of_every_output_learn_from_it(dataset: Make, output: str) -> None:
    files = {f"{i}.wav": tone(0.5, hertz=150 + 40 * i) for i in range(5)}
    model = replace(SMALL, output=output, mixtures=2)
    losses = {}
    for most in (0.0, 8.0):
        c = dataset(files, model, input_noise=most, batch=4, accumulate=2)
        trainer = Trainer(c, CPU)
        batch = trainer.batches.get(0)
        assert (batch.read is batch.x) == (most == 0)
        parts = list(batch.parts(2))
        assert torch.equal(torch.cat([part.read for part in parts]), batch.read)
        losses[most] = [trainer.train_step() for _ in range(3)]
        assert np.isfinite(losses[most]).all()
    assert losses[0.0] != losses[8.0]


def test_what_the_network_reads_is_noisy_and_the_loss_is_of_what_is_clean(dataset: Make) -> None:
    c = dataset(input_noise=20.0)
    trainer = Trainer(c, CPU)
    batch = to_device(c.corpus.config, c.batch(0), CPU)
    assert batch.noisy is not None
    made = Prefetcher(c.batch, c.corpus.config, CPU).get(0)
    assert made.noisy is not None
    assert torch.equal(made.noisy, batch.noisy)
    with torch.no_grad():
        params = trainer.model(batch.noisy[:, :-1])
        targets = batch.x[:, trainer.model.receptive_field :]
        expected = trainer.model.distribution.loss(params, targets, batch.loss_mask)
    nats = trainer.train_step() * np.log(2)
    assert nats == pytest.approx(float(expected / batch.loss_mask.sum()), rel=1e-5)
