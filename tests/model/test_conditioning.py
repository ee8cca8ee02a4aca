"""Conditioning lies at the right sample.

It does so in every window, at both ends of a recording, in training and in generation.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import BOTH, VOCODER, VOICES, arrays, network, noisy
from wavenet.arithmetic import ceil_div
from wavenet.audio import harmonics, mel
from wavenet.config import Config, ModelConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import Batch, WindowDataset
from wavenet.data.loader import to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.data.split import Span
from wavenet.engines import create_engine
from wavenet.engines.conditioning import Projection
from wavenet.errors import CorpusError
from wavenet.model.conditioning.conditioner import interpolation_weights
from wavenet.model.network import WaveNet
from wavenet.model.reference import at_every_sample

CPU = torch.device("cpu")
RATE = 8000


def dataset(folder: Path, config: Config, model: ModelConfig) -> WindowDataset:
    config = replace(
        config, model=model, audio=replace(config.audio, trim=False, min_seconds=0.001)
    )
    index = index_folder(folder, config.audio, trim=False)
    return WindowDataset(Corpus.open(index, config))


def alone(window: Batch) -> Batch:
    """One window as a batch."""
    inputs = window.conditioning_input.map(lambda a: a[None])
    return Batch(window.x[None], window.loss_mask[None], inputs)


def features_of(c: WindowDataset, span: Span, projection: Projection) -> np.ndarray:  # type: ignore[type-arg]
    """The features (n, C) of the recording that a span belongs to."""
    wav = c.corpus.wav(replace(span, start=0, stop=span.recording.samples))
    return projection.features(
        mel=mel.frames_of(wav, RATE, c.corpus.config.model), label=span.label
    )


@pytest.mark.parametrize(("hop", "window"), [(8, 32), (13, 40), (64, 64), (5, 31)])
def test_every_window_is_conditioned_on_what_lies_in_the_recording(
    make_folder: Callable[..., Path], small_config: Config, hop: int, window: int
) -> None:
    """With any hop, any length, and starts from before the first sample to past the last.

    Nothing is trimmed by hand.
    """
    model = replace(VOCODER, frame_hop=hop, frame_window=window, mel_bands=4)
    files = {
        f"{i}.wav": noisy(n / RATE, seed=i, amplitude=0.3)
        for i, n in enumerate([30, 64, 401, 1000, 2000])
    }
    c = dataset(make_folder(files), small_config, model)
    net = network(model)
    projection = Projection(model, arrays(net))
    assert net.conditioner is not None
    for span in (*c.corpus.training, *c.corpus.validation):
        features = features_of(c, span, projection)
        assert len(features) == 1 + span.recording.samples // hop
        starts = (
            span.start - 200,
            span.start,
            span.recording.samples // 2,
            span.recording.samples - 50,
            span.recording.samples - 1,
        )
        for start in {s // hop * hop for s in starts}:
            if start + c.corpus.config.segment_samples <= 0:
                continue
            one = c.window(span, start)
            batch = to_device(c.corpus.config, alone(one), CPU)
            assert batch.conditioning_input is not None
            rows = len(one.x) - 1
            with torch.no_grad():
                conditioning = net.conditioner(batch.conditioning_input)
                frames = conditioning.frames.permute(1, 2, 0)
                interpolated = at_every_sample(frames, hop, -conditioning.start, rows)
            times = start - c.receptive_field + 1 + np.arange(rows)
            low = np.clip(times // hop, 0, len(features) - 1)
            high = np.clip(times // hop + 1, 0, len(features) - 1)
            fraction = (times % hop / hop)[:, None]
            expected = features[low] + fraction * (features[high] - features[low])
            np.testing.assert_allclose(interpolated[0].T.numpy(), expected, atol=2e-4)


def test_an_impulse_and_its_frame_meet_at_the_right_sample() -> None:
    """Interpolated linearly between frames, the mel input is loudest at the impulse's sample."""
    model = replace(VOCODER, mel_bands=4, frame_context=0)
    for samples, at in [(400, 160), (400, 0), (401, 400), (333, 200)]:
        wav = np.zeros(samples, np.float32)
        wav[at] = 0.9
        frames = torch.from_numpy(mel.frames_of(wav, RATE, model)).T[None].exp()
        loudness = at_every_sample(frames, model.frame_hop, 0, samples).sum(1)[0]
        assert int(loudness.argmax()) == at


@pytest.mark.parametrize("model", [VOCODER, VOICES, BOTH], ids=["mel", "labels", "both"])
def test_an_engine_conditioned_on_the_recording_predicts_what_training_windows_do(
    make_folder: Callable[..., Path], small_config: Config, model: ModelConfig
) -> None:
    names = [
        f"{label}/{i}.wav" for i, label in enumerate([*(model.labels or ("a", "b")), "ada", "bob"])
    ]
    files = {
        name: noisy((400 + 137 * i) / RATE, seed=i, amplitude=0.3) for i, name in enumerate(names)
    }
    c = dataset(make_folder(files), small_config, model)
    net = network(model)
    projection, engine = Projection(model, arrays(net)), create_engine("numba", model, arrays(net))
    hop = model.frame_spacing
    for span in (*c.corpus.training, *c.corpus.validation):
        wav = c.corpus.wav(replace(span, start=0, stop=span.recording.samples))
        x, features = c.corpus.distribution.encode(wav)[None], [features_of(c, span, projection)]
        predicted = engine.prefill(
            engine.init_state(1, projection.conditioning(features, 0, 0)),
            x,
            projection.conditioning(features, 0, x.shape[1]),
        )
        length = span.recording.samples
        for start in (0, length // 2 // hop * hop, ceil_div(length - 300, hop) * hop):
            one = c.window(span, start)
            batch = to_device(c.corpus.config, alone(one), CPU)
            with torch.no_grad():
                params = net(batch.x[:, :-1], batch.conditioning_input)[0].numpy()
            n = min(len(params), length - start)
            np.testing.assert_allclose(params[:n], predicted[0, start : start + n], atol=1e-3)


def test_windows_of_a_batch_start_on_frames_and_cover_every_sample(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    files = {f"{i}.wav": noisy((301 + 70 * i) / RATE, seed=i) for i in range(6)}
    c = dataset(make_folder(files), small_config, replace(VOCODER, frame_hop=32))
    assert c.corpus.config.segment_samples % 32 == 0
    seen = {s.recording.name: np.zeros(s.recording.samples) for s in c.corpus.training}
    window_of = c.window

    def recorded_window(span: Span, start: int, *how: Any) -> Batch:
        assert start % 32 == 0
        window = window_of(span, start, *how)
        seen[span.recording.name][np.flatnonzero(window.loss_mask) + start] = 1
        return window

    c.window = recorded_window  # type: ignore[method-assign]
    for step in range(150):
        c.batch(step)
    assert all(s.all() for s in seen.values())
    c.window = window_of  # type: ignore[method-assign]
    scored = sum(b.loss_mask.sum() for b in c.validation_batches())
    assert scored == sum(len(s) for s in c.corpus.validation)


def test_interpolation_weights_divide_each_sample_between_its_two_frames() -> None:
    weights = interpolation_weights(10, 2048, 1, torch.float64, CPU)
    assert weights.shape == (2040, 205)
    assert torch.allclose(weights.sum(1), torch.ones(2040, dtype=torch.float64))
    assert weights[3, :3].tolist() == pytest.approx([0.7, 0.3, 0])
    assert weights[10, :3].tolist() == pytest.approx([0, 1, 0])
    assert ((weights > 0).sum(1) <= 2).all()
    assert interpolation_weights(5000, 2048, 1, torch.float64, CPU).shape == (5000, 2)


def test_interpolation_weights_are_filled_up_with_columns_of_zeros() -> None:
    weights = interpolation_weights(10, 2048, 8, torch.float64, CPU)
    assert weights.shape == (2040, 208)
    assert torch.equal(weights[:, :205], interpolation_weights(10, 2048, 1, torch.float64, CPU))
    assert not weights[:, 205:].any()


def test_labels_are_collected_once_and_new_ones_are_refused(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    model = replace(VOICES, labels=())
    folder = make_folder(
        {f"{who}/{i}.wav": noisy(0.3, seed=i) for who in ("eve", "dan") for i in range(3)}
    )
    config = replace(small_config, model=model)
    index = index_folder(folder, config.audio, trim=True)
    c = Corpus.open(index, config)
    assert c.config.model.labels == ("dan", "eve")
    labels = {c.config.model.labels[s.label] for s in (*c.training, *c.validation)}
    assert labels == {"dan", "eve"}
    message = r"dan/0.wav has the label dan, which this network does not know \(eve\)"
    with pytest.raises(CorpusError, match=message):
        Corpus.open(index, replace(config, model=replace(model, labels=("eve",))))


def test_half_of_the_channels_of_mel_frames_begin_as_combs_of_their_harmonics() -> None:
    config = replace(VOCODER, mel_bands=80, mel_high_hz=8000.0, frame_channels=64)
    weight = arrays(WaveNet(config))["conditioner.mel.weight"]
    combs = harmonics.combs(32, 80, 0.0, 8000.0)
    np.testing.assert_allclose(weight[:32, :, config.frame_context], 3 * combs, rtol=1e-6)
    assert not np.delete(weight[:32], config.frame_context, axis=2).any()
    assert weight[32:].all()
