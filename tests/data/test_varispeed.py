"""`train.augment_pitch`: windows that glide, and what a network follows with them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import (
    EVERYTHING,
    FOLLOWING,
    SMALL,
    noisy,
    tone,
    training_recordings,
    write_beside,
)
from wavenet.audio.quantization import decode
from wavenet.config import Config, ModelConfig
from wavenet.data import varispeed
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.pcm_cache import index_folder
from wavenet.glossary import Array
from wavenet.model.conditioning.pitch import note_of

RATE = 8000
FINE = replace(SMALL, levels=256)
Make = Callable[..., WindowDataset]


@pytest.fixture
def dataset(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """dataset({"ada/a.wav": wav, ...}, model, **train): windows of these recordings, or of some."""

    def make(files: Any = None, model: ModelConfig = FINE, **train: Any) -> WindowDataset:
        audio = replace(small_config.audio, trim=False, min_seconds=0.001)
        settings = replace(small_config.train, **train)
        config = replace(small_config, audio=audio, model=model, train=settings)
        folder = write_beside(make_folder(files or training_recordings()), model)
        return WindowDataset(Corpus.open(index_folder(folder, audio, trim=False), config))

    return make


def test_the_same_windows_glide_and_0_is_no_change(dataset: Make) -> None:
    plain, none, changed = dataset(), dataset(augment_pitch=0.0), dataset(augment_pitch=4.0)
    for step in range(5):
        a, b, c = (d.batch(step) for d in (plain, none, changed))
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.loss_mask, c.loss_mask)
        assert (a.x != c.x).mean() > 0.3
        np.testing.assert_array_equal(c.x, changed.batch(step).x)
    # Validation is as recorded.
    for a, c in zip(plain.validation_batches(), changed.validation_batches(), strict=True):
        np.testing.assert_array_equal(a.x, c.x)


def test_curves_stay_within_bounds_move_and_rest() -> None:
    curves = [varispeed.curve(np.random.default_rng(i), 3, 16000, RATE) for i in range(20)]
    assert {len(c) for c in curves} == {16000}
    assert 2.5 < np.abs(curves).max() <= 3
    still = [(np.diff(c) == 0).mean() for c in curves]
    assert 0.05 < np.mean(still) < 0.6


@pytest.mark.parametrize("model", [FINE, FOLLOWING["pitch and loudness"], EVERYTHING])
def test_a_curve_of_0_plays_what_was_recorded(dataset: Make, model: ModelConfig) -> None:
    """Samples, loss, and all that is followed: at the beginning, in the middle, at the end."""
    files = {f"{w}/{i}.wav": noisy(0.3 + i / 10, seed=i) for i in range(3) for w in ("ada", "bob")}
    c = dataset(files, model)
    spacing = model.frame_spacing
    for span in c.corpus.training:
        for start in (0, len(span) // 2, len(span) - c.segment):
            start = start // spacing * spacing
            a = c.window(span, start)
            b = c.window(span, start, semitones=np.zeros(3 * c._before + c.segment))
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.loss_mask, b.loss_mask)
            assert a.conditioning_input.frame_offset == b.conditioning_input.frame_offset
            inside = 0 < start < len(span) - c.segment
            for kind, value in a.conditioning_input.values.items():
                if inside or kind not in ("pitch", "features", "segments"):
                    np.testing.assert_allclose(value, b.conditioning_input.values[kind], atol=1)


@pytest.mark.parametrize("semitones", [-5.0, 4.0])
def test_sound_and_pitch_move_alike(dataset: Make, semitones: float) -> None:
    model = replace(
        FOLLOWING["pitch"], levels=256, frame_hop=40, pitch_low_hz=100.0, pitch_high_hz=1000.0
    )
    c = dataset({f"{i}.wav": tone(1.5, hertz=300) for i in range(5)}, model, segment_seconds=0.4)
    (span, *_) = c.corpus.training
    curve = np.full(2 * c._before + c.segment, semitones)
    window = c.window(span, 4000, semitones=curve)
    wav = decode(window.x, 256)[-c.segment :]
    spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav)), 1 << 16))
    hertz = np.argmax(spectrum) * RATE / (1 << 16)
    assert hertz == pytest.approx(300 * 2 ** (semitones / 12), rel=2e-3)
    frames = window.conditioning_input.values["pitch"]
    assert frames[:, 1].all()
    np.testing.assert_allclose(frames[:, 0], note_of(300) + semitones, atol=0.1)


def test_pitch_glides_where_the_sound_does(dataset: Make) -> None:
    """The place of a recording that sounds at a moment is the one whose frame is followed."""
    model = replace(FOLLOWING["features"], levels=256, frame_hop=20, features_width=1)
    wav = np.linspace(-0.8, 0.8, 12000)
    c = dataset({f"{i}.wav": wav for i in range(5)}, model, segment_seconds=0.2)
    span = c.corpus.training[0]
    source = c.corpus.source(span)
    # Its features are its samples.
    ramp: Array = np.arange(0, 12001, 20, dtype=np.float32)[:, None]
    source = source._replace(tracks={"features": lambda low, high: ramp[low:high]})
    curve = varispeed.curve(np.random.default_rng(1), 12, 6000, RATE)
    stretch, at, begin = varispeed.played(source, span, 6000, 2000, 1600, 20, curve)
    assert (at, begin) == (2000, 0)
    places = (stretch.pcm[::20] / 32768 + 0.8) / 1.6 * 11999
    followed = stretch.tracks["features"](0, len(places))[:, 0]
    assert np.ptp(places) > 3000
    assert np.abs(places - followed).max() <= 11


@pytest.mark.parametrize("semitones", [-12.0, 12.0])
def test_nothing_from_beyond_a_span_is_predicted(dataset: Make, semitones: float) -> None:
    wav = noisy(1.1, amplitude=0.02)
    wav[-880:] = noisy(0.11, amplitude=0.4)
    c = dataset({f"{i}.wav": wav for i in range(5)}, validation="tails", segment_seconds=0.3)
    (span, *_) = c.corpus.training
    assert span.stop == 7920
    curve = np.full(2 * c._before + c.segment, semitones)
    # In a span shorter than what would be played it stays as recorded.
    for start in (0, 1000, len(span) - c.segment):
        for length in (span.stop, start + 3000):
            shorter = replace(span, stop=min(span.stop, length))
            x = c.window(shorter, start, semitones=curve).x
            predicted = decode(x, 256)[-c.segment :]
            assert np.abs(predicted).max() < 0.15
