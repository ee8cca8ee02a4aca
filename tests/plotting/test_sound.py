"""What pictures of sound show: the recording and what a model made, levels in dB, the same axes."""

import math
from pathlib import Path

import numpy as np
import pytest

from wavenet.plotting import sound, style
from wavenet.plotting.sound import Clip

RATE = 8000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def texts(axes) -> dict[str, float]:
    """Where on the axis of time each text of a panel stands."""
    return {text.get_text(): text.xy[0] for text in axes.texts}


@pytest.mark.parametrize(
    ("recorded", "named"),
    [(0.5, {"recording": 0, "model": 0.5}), (0, {"model": 0}), (math.inf, {"recording": 0})],
)
def test_a_waveform_says_what_is_recorded_and_what_a_model_made(recorded, named) -> None:
    axes = style.blank(4, 2).subplots()
    sound.waveform(axes, Clip(TONE, recorded), RATE)
    assert texts(axes) == named
    colors = {"recording": style.BLUE, "model": style.ORANGE}
    assert [line.get_color() for line in axes.lines] == [colors[name] for name in named]
    # The lines cover the clip.
    assert axes.lines[0].get_xdata()[0] == 0
    assert axes.lines[-1].get_xdata()[-1] == (len(TONE) - 1) / RATE
    if len(named) == 2:
        assert axes.lines[0].get_xdata()[-1] == axes.lines[1].get_xdata()[0] == 0.5


def test_a_spectrogram_marks_where_the_recording_ends() -> None:
    axes = style.blank(4, 2).subplots()
    sound.boundary(axes, Clip(TONE, 0.5), RATE)
    assert [line.get_xdata()[0] for line in axes.lines] == [0.5]
    assert texts(axes) == {"recording": 0.5, "model": 0.5}
    for whole in (Clip(TONE), Clip.recording(TONE)):
        bare = style.blank(4, 2).subplots()
        sound.boundary(bare, whole, RATE)
        assert not bare.lines
        assert not bare.texts


def test_spectrograms_of_a_figure_share_the_loudest_point() -> None:
    panels = style.blank(4, 4).subplots(3, 1)
    silence = np.zeros(RATE, np.float32)
    images = sound.spectrograms(panels, [TONE, 0.1 * TONE, silence], RATE)
    loud, soft, none = (float(image.get_array().max()) for image in images)
    assert loud == pytest.approx(0, abs=1e-5)
    assert soft == pytest.approx(-20, abs=1e-3)
    assert none < -sound.RANGE_DB
    assert {image.get_clim() for image in images} == {(-sound.RANGE_DB, 0)}
    # Silence alone is dark as well.
    assert sound.spectrogram(panels[0], silence, RATE).get_array().max() < -30


def test_the_axis_of_frequency_ends_at_half_the_rate() -> None:
    axes = style.blank(4, 2).subplots()
    image = sound.spectrogram(axes, TONE, RATE)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "0.5", "1", "2", "4"]
    ticks = axes.get_yticks()
    bands = len(image.get_array())
    assert (ticks[0], ticks[-1]) == (0, bands)
    # A tone of 440 Hz lies below the tick of 500.
    loudest = image.get_array().mean(axis=1).argmax()
    assert ticks[0] < loudest < ticks[1]


def test_rows_of_an_overview_share_their_axes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure))
    clips = {"loud": Clip.recording(TONE), "soft": Clip(0.2 * TONE[:RATE], 0.3)}
    metrics = [{"step": 1, "seconds": 60.0, "validation_bits": 3.0}]
    sound.overview(tmp_path / "a.png", clips, RATE, metrics, {"counting": 3.05})
    panels = [axes for axes in figures[0].axes if axes.get_xlabel() == "seconds"]
    assert len(panels) == 4
    assert {axes.get_xlim() for axes in panels} == {(0, 2)}
    waveforms = [axes for axes in panels if axes.get_ylabel() == "amplitude"]
    assert len({axes.get_ylim() for axes in waveforms}) == 1
    labels = [axes.get_ylabel() for axes in figures[0].axes]
    assert {"kHz (mel)", "bits per sample", "dB below the loudest"} < set(labels)


def test_curves_of_pitch_are_drawn_where_they_are_voiced(tmp_path: Path) -> None:
    wav, hop = np.zeros(4000, np.float32), 80
    notes = np.full(51, 69, np.float32)
    pictures = []
    for voiced in (np.zeros(51), np.arange(51) < 20, np.ones(51)):
        frames = np.stack([notes, voiced], axis=1).astype(np.float32)
        path = tmp_path / "pitch.png"
        curves = {"$": {sound.ASKED: frames, sound.FOUND: frames}}
        sound.pitches(path, {"$": Clip(wav)}, 8000, curves, hop)
        pictures.append(path.read_bytes())
    assert len(set(pictures)) == 3


def test_clips_of_any_length_without_curves_are_drawn_twice_the_same(tmp_path: Path) -> None:
    clips = {"one": Clip(np.zeros(100, np.float32)), "two": Clip(np.ones(9000, np.float32))}
    files = []
    for name in ("a.svg", "b.svg"):
        sound.pitches(tmp_path / name, clips, 16000, {"one": {}, "two": {}}, 160)
        files.append((tmp_path / name).read_bytes())
    assert b"<svg" in files[0]
    assert files[0] == files[1]
