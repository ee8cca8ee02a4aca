"""Frames of every kind: the same in training and in generation, at the right sample."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import (
    EVERYTHING,
    FOLLOWING,
    StreamConditioning,
    arrays,
    as_checkpoint,
    inputs_of,
    network,
    noisy,
    some_recordings,
    tone,
    write_beside,
)
from wavenet.audio import loudness, mel, pitch
from wavenet.config import Config, ModelConfig
from wavenet.config.model import KINDS
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.loader import to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.data.split import Span
from wavenet.engines import create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import EngineOptions
from wavenet.errors import ConfigError, EngineError
from wavenet.evaluation.scorers import ScoredSegment, create_scorer
from wavenet.generation.conditions import Conditions
from wavenet.glossary import Array
from wavenet.model.conditioning.pitch import note_of
from wavenet.model.conditioning.registry import (
    FRONT_ENDS,
    followed,
    frame_front_ends,
    front_ends,
)
from wavenet.model.conditioning.segments import LONGEST_SECONDS, PLACES
from wavenet.model.network import WaveNet
from wavenet.model.reference import at_every_sample

CPU = torch.device("cpu")
RATE = 8000
LENGTHS = (130, 264, 401, 1000, 1500)
every_kind = pytest.mark.parametrize("config", FOLLOWING.values(), ids=FOLLOWING)


@pytest.fixture
def quick_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitch that depends on the recording, and is found at once."""

    def track(wav: Array, _rate: int, hop: int, low_hz: float, high_hz: float) -> Array:
        generator = np.random.default_rng(len(wav))
        notes = generator.uniform(note_of(low_hz) - 2, note_of(high_hz) + 2, 1 + len(wav) // hop)
        return np.stack([notes, generator.random(len(notes)) < 0.7], axis=1).astype(np.float32)

    monkeypatch.setattr(pitch, "track", track)


@pytest.fixture
def opened(
    make_folder: Callable[..., Path], small_config: Config, quick_pitch: None
) -> Callable[[ModelConfig], WindowDataset]:
    """opened(model): recordings of two labels with all that the model follows, as windows."""

    def open_corpus(model: ModelConfig) -> WindowDataset:
        files = {
            f"{'ada' if i % 2 else 'bob'}/{i}.wav": noisy(n / RATE, seed=i, amplitude=0.3)
            for i, n in enumerate(LENGTHS)
        }
        folder = write_beside(make_folder(files), model)
        audio = replace(small_config.audio, trim=False, min_seconds=0.001)
        config = replace(small_config, model=model, audio=audio)
        return WindowDataset(Corpus.open(index_folder(folder, audio, trim=False), config))

    return open_corpus


def values_of(c: WindowDataset, span: Span) -> dict[str, Any]:
    """What a whole recording has for every front end, frame by frame from the first on."""
    model = c.corpus.config.model
    wav = c.corpus.wav(replace(span, start=0, stop=span.recording.samples))
    tracks = c.corpus.source(span).tracks
    values: dict[str, Any] = {
        k: rows(0, 1 + len(wav) // model.frame_hop) for k, rows in tracks.items()
    }
    values["label"] = span.label
    values["mel"] = mel.frames_of(wav, RATE, model)
    values["loudness"] = loudness.frames_of(wav, RATE, model.frame_window, model.frame_hop)
    return {f.name: values[f.name] for f in front_ends(model)}


@every_kind
def test_numpy_makes_the_features_that_torch_does(config: ModelConfig) -> None:
    net = network(config)
    recordings = some_recordings(config, 3, 400)
    inputs = inputs_of(config, recordings, 0, 400)
    assert net.conditioner is not None
    assert inputs is not None
    with torch.no_grad():
        frames = net.conditioner(inputs).frames.numpy()
    projection = Projection(config, arrays(net))
    for i, values in enumerate(recordings):
        features = projection.features(**values)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, frames[: len(features), i], atol=1e-4)
        assert features.std() > 0.1
    # Each front end matters.
    for front_end in frame_front_ends(config):
        other = {**recordings[0], front_end.name: recordings[1][front_end.name]}
        assert (
            np.abs(projection.features(**other) - projection.features(**recordings[0])).max() > 0.1
        )
        assert front_end.shape in front_end.missing() or front_end.noun in front_end.missing()


@every_kind
def test_streams_of_a_batch_are_what_each_would_be_alone(config: ModelConfig) -> None:
    """Bit for bit, whatever lies beside them and however long it is."""
    model = network(config)
    conditioning, alone = (StreamConditioning(model, i) for i in ([0, 1, 2], [1]))
    # The second one ends early, and its last frame holds.
    conditioning.features[1] = conditioning.features[1][:20]
    alone.features[0] = alone.features[0][:20]
    engine = create_engine("numba", config, arrays(model))
    x = np.random.default_rng(0).integers(0, config.levels, (3, 300))
    together = engine.prefill(
        engine.init_state(3, conditioning.conditioning(0, 0)), x, conditioning.conditioning(0, 300)
    )
    one = engine.prefill(
        engine.init_state(1, alone.conditioning(0, 0)), x[1:2], alone.conditioning(0, 300)
    )
    np.testing.assert_array_equal(together[1], one[0])


@pytest.mark.parametrize(("hop", "window"), [(8, 32), (13, 40), (64, 64), (5, 31)])
def test_every_window_is_conditioned_on_what_lies_in_the_recording(
    opened: Callable[[ModelConfig], WindowDataset], hop: int, window: int
) -> None:
    """With any hop, any length, and starts from before the first sample to past the last."""
    model = replace(EVERYTHING, frame_hop=hop, frame_window=window)
    c, net = opened(model), network(model)
    projection = Projection(model, arrays(net))
    assert net.conditioner is not None
    for span in (*c.corpus.training, *c.corpus.validation):
        features = projection.features(**values_of(c, span))
        assert len(features) == 1 + span.recording.samples // hop
        last = span.recording.samples
        for start in {s // hop * hop for s in (span.start - 200, span.start, last // 2, last - 1)}:
            if start + c.segment <= 0:
                continue
            one = c.window(span, start)
            inputs = one.conditioning_input.map(lambda a: a[None])
            batch = to_device(
                c.corpus.config, one._replace(x=one.x[None], conditioning_input=inputs), CPU
            )
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
            np.testing.assert_allclose(interpolated[0].T.numpy(), expected, atol=5e-4)


@pytest.mark.parametrize("hop", [8, 13])
def test_a_part_of_a_recording_has_the_frames_of_the_whole(
    opened: Callable[[ModelConfig], WindowDataset], hop: int
) -> None:
    model = replace(EVERYTHING, frame_hop=hop)
    c, net = opened(model), network(model)
    projection = Projection(model, arrays(net))
    for span in c.corpus.training:
        source, values = c.corpus.source(span), values_of(c, span)
        features, samples = projection.features(**values), span.recording.samples
        for begin in (0, hop, samples // 2 // hop * hop):
            part = projection.features_of(source, RATE, begin, samples - begin)
            np.testing.assert_allclose(part, features[begin // hop :], atol=5e-4)
            # For a preview, frames of the audio are of that part alone, and no others are cut.
            conditions = Conditions.from_source(source, begin, samples - begin, c.corpus.config)
            assert conditions.values.keys() == values.keys() - {"label"}
            for kind in ("pitch", "features", "segments"):
                expected = values[kind][begin // hop :]
                np.testing.assert_array_equal(conditions.values[kind][: len(expected)], expected)
            assert {len(v) for v in conditions.values.values()} == {1 + (samples - begin) // hop}


@every_kind
def test_recordings_are_scored_alike_in_parallel_and_by_engines(
    opened: Callable[[ModelConfig], WindowDataset], config: ModelConfig
) -> None:
    c = opened(config)
    model = as_checkpoint(network(config))
    span = max(c.corpus.training, key=len)
    source = c.corpus.source(span)
    x = c.corpus.distribution.encode(source.pcm / np.float32(32768))
    nats = {}
    for engine in ("parallel", "numba", "reference"):
        score = create_scorer(model, engine, "auto", EngineOptions())
        hop = config.frame_hop
        nats[engine] = [
            score(ScoredSegment(source, begin, x[begin:stop], 20))
            for begin, stop in ((0, None), (25 * hop, None), (10 * hop, 30 * hop + 3))
        ]
    assert nats["numba"] == pytest.approx(nats["parallel"], rel=1e-5)
    assert nats["reference"] == pytest.approx(nats["parallel"], rel=1e-5)


def test_layers_read_the_kinds_in_the_order_of_their_list() -> None:
    # It is part of the checkpoint format.
    assert [kind.name for kind in FRONT_ENDS] == list(KINDS)


# --- where frames lie -----------------------------------------------------------------------------


@pytest.mark.parametrize("hop", [20, 33])
def test_a_step_of_pitch_lies_at_its_frame(hop: int) -> None:
    at = 1640
    model = replace(FOLLOWING["pitch"], frame_hop=hop)
    (front_end,) = frame_front_ends(model)
    wav = np.concatenate([tone(at / RATE, hertz=247), tone(0.23, hertz=294)]).astype(np.float32)
    frames = front_end.frames_of(wav, RATE)
    assert len(frames) == 1 + len(wav) // hop
    inner = frames[10:-10]
    assert (inner[:, 1] > 0).mean() > 0.7
    # Where one sound becomes another there is no pitch for a few periods.
    changes = np.flatnonzero(np.diff(frames[:, 0]) > 1.5)
    assert [abs(hop * (j + 0.5) - at) < 200 for j in changes] == [True]


@pytest.mark.parametrize(("hop", "window"), [(8, 32), (13, 40), (20, 31)])
def test_a_burst_is_loudest_at_its_sample(hop: int, window: int) -> None:
    model = replace(FOLLOWING["loudness"], frame_hop=hop, frame_window=window)
    (front_end,) = frame_front_ends(model)
    for samples, at in ((401, 9 * hop), (400, 0), (401, 400 // hop * hop), (333, 5 * hop)):
        wav = np.full(samples, 1e-4, np.float32)
        wav[at] = 0.9
        frames = torch.from_numpy(front_end.frames_of(wav, RATE)).T[None].div(10).exp()
        assert int(at_every_sample(frames, hop, 0, samples)[0, 0].argmax()) == at


def test_a_pitch_is_read_as_its_distance_from_the_notes_of_a_scale() -> None:
    (front_end,) = frame_front_ends(FOLLOWING["pitch"])
    places: Array = front_end.places  # type: ignore[attr-defined]
    assert places[0] == pytest.approx(note_of(200))
    assert places[-1] == pytest.approx(note_of(800))
    value = np.array([[places[3], 1], [places[3] + 0.25, 1], [places[3], 0], [0, 1], [127, 1]])
    scaled = front_end.scaled(value.astype(np.float32))
    assert scaled.shape == (5, len(places) + 1)
    np.testing.assert_allclose(scaled[0, 2:5], [0, 2, 0], atol=1e-4)
    np.testing.assert_allclose(scaled[1, 3:5], [1.5, 0.5], atol=1e-4)
    assert not scaled[2].any()
    # What lies beyond the scale is at its end.
    np.testing.assert_allclose(scaled[3:, [0, -2, -1]], [[2, 0, 2], [0, 2, 2]], atol=1e-4)


def test_segments_are_read_as_their_distance_from_places_in_each_label() -> None:
    (front_end,) = frame_front_ends(replace(FOLLOWING["segments"], segment_labels=("a", "b")))
    # Silence, where b begins, between its first places, and where it ends.
    value = np.array([[0, 0, 0], [2, 0, 0.25], [2, 0.25 / (PLACES - 1), 0.25], [2, 1, 40]])
    scaled = front_end.scaled(value.astype(np.float32))
    assert scaled.shape == (4, front_end.inputs)
    np.testing.assert_allclose(scaled[:, -1], [0, 0.5, 0.5, LONGEST_SECONDS**0.5], atol=1e-6)
    labels = scaled[:, :-1].reshape(4, 3, PLACES)
    np.testing.assert_allclose(labels.sum(axis=2), [[2, 0, 0], *[[0, 0, 2]] * 3], atol=1e-6)
    np.testing.assert_allclose(labels[1:3, 2, :2], [[2, 0], [1.5, 0.5]], atol=1e-6)
    assert labels[3, 2, -1] == 2


def test_settings_that_do_not_fit_the_sample_rate_are_refused() -> None:
    (front_end,) = frame_front_ends(replace(FOLLOWING["pitch"], pitch_high_hz=2100.0))
    front_end.check(16000)
    with pytest.raises(ConfigError, match="must be at most 2000, a quarter of audio"):
        front_end.check(8000)


def test_a_network_of_features_needs_their_width() -> None:
    with pytest.raises(ConfigError, match="needs their width"):
        WaveNet(replace(FOLLOWING["features"], features_width=0))


@every_kind
def test_values_of_another_shape_are_refused_and_missing_ones_named(config: ModelConfig) -> None:
    projection = Projection(config, arrays(network(config)))
    (values,) = some_recordings(config, 1, 100)
    assert followed(config)
    for front_end in frame_front_ends(config):
        frames = values[front_end.name]
        for wrong in (frames[:, :0], frames[0], frames[:0], np.hstack([frames, frames])):
            with pytest.raises(EngineError, match="this model follows"):
                projection.features(**{**values, front_end.name: wrong})
        with pytest.raises(EngineError, match="this model follows"):
            projection.features(**{**values, front_end.name: None})
