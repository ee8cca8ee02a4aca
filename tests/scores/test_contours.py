"""Notes as frames of pitch and loudness."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from wavenet.audio.spread import Spread
from wavenet.errors import ScoreError, UsageError
from wavenet.glossary import Array
from wavenet.scores.contours import bends, contours, samples_of
from wavenet.scores.notes import Note, parse

HOP, RATE = 80, 8000
SPREAD = Spread(low=-40, middle=-30, high=-22, silence=-80, attack=0.05, release=250)


def loudness_of(notes: list[Note], spread: Spread = SPREAD) -> Array:
    return contours(notes, HOP, RATE, spread)[1][:, 0]


@pytest.mark.parametrize(("hop", "rate"), [(80, 8000), (160, 16000), (256, 22050), (7, 8000)])
def test_shapes(hop: int, rate: int) -> None:
    notes = parse("-:0.1 C4:0.37 D4")
    pitch, loudness = contours(notes, hop, rate, SPREAD)
    frames = 1 + samples_of(notes, rate) // hop
    assert samples_of(notes, rate) == round((0.84 + 0.3) * rate)
    assert pitch.shape == (frames, 2)
    assert loudness.shape == (frames, 1)
    assert pitch.dtype == loudness.dtype == np.float32
    assert np.isfinite(loudness).all()


def test_pitch_is_held_until_the_next_note_begins() -> None:
    pitch, _ = contours([Note(0.1, 0.2, 60), Note(0.4, 0.5, 62.5)], HOP, RATE, SPREAD)
    # The first note may be asked for early, and each fades at its own pitch.
    assert (pitch[:40, 0] == 60).all()
    assert (pitch[40:, 0] == 62.5).all()
    assert np.flatnonzero(pitch[:, 1]).tolist() == [*range(10, 20), *range(40, 50)]


def test_a_bend_moves_pitch_from_its_time_to_the_next_note() -> None:
    bent = Note(0.1, 0.4, 60, bends=((0.1, 0.5), (0.2, -1.25), (0.5, 7)))
    semitones = bends([bent, Note(0.6, 0.8, 62)], HOP, RATE)
    assert len(semitones) == len(contours([Note(0.6, 0.8, 62)], HOP, RATE, SPREAD)[0])
    steps = [(0, 0), (20, 0.5), (30, -1.25), (60, 0), (len(semitones), 0)]
    for (start, by), (stop, _) in pairwise(steps):
        assert (semitones[start:stop] == by).all(), start
    # What is asked for before the first note is bent as that begins.
    assert (bends([Note(1, 2, 60, bends=((0, 3),))], HOP, RATE) == 3).all()


@pytest.mark.parametrize(
    ("velocity", "level"), [(1, -40), (40, -40), (80, -30), (120, -22), (127, -22)]
)
def test_velocity_is_loudness_between_low_and_high(velocity: int, level: float) -> None:
    loudness = loudness_of([Note(0.2, 0.8, 60, velocity)])
    assert loudness[50] == pytest.approx(level, abs=0.1)
    assert loudness.max() < level + 0.2


def test_half_the_middle_velocity_is_down_evenly_in_its_logarithm() -> None:
    loud = loudness_of([Note(0.2, 0.8, 60, 57)])
    # 57 is 80 / 1.404, and half is 10 dB less.
    assert loud[50] == pytest.approx(-30 - 10 * np.log2(80 / 57), abs=0.05)


def test_a_note_rises_stays_and_falls() -> None:
    loudness = loudness_of([Note(0.2, 0.8, 60)])
    assert loudness[:15] == pytest.approx(-80)
    # Half way up the amplitude is half.
    slow = loudness_of([Note(0.2, 0.8, 60)], replace(SPREAD, attack=0.4))
    assert slow[40] == pytest.approx(-36, abs=0.3)
    assert loudness[28:76] == pytest.approx(-30, abs=0.1)
    # 250 dB a second, from the end on.
    assert loudness[85] - loudness[90] == pytest.approx(12.5, abs=0.2)
    assert loudness[-1] < -79


def test_a_short_note_keeps_its_attack() -> None:
    loudness = loudness_of([Note(0.2, 0.3, 60)])
    assert loudness.max() == pytest.approx(-30, abs=0.6)
    # One that ends in its attack is softer.
    assert loudness_of([Note(0.2, 0.225, 60)]).max() < -36


def test_notes_that_touch_dip_and_do_not_stop() -> None:
    for gap in (0.0, 0.04):
        loudness = loudness_of([Note(0.2, 0.6, 60), Note(0.6 + gap, 1.2, 62)])
        dip = loudness[50:75].min()
        assert -60 < dip < -31.5
    apart = loudness_of([Note(0.2, 0.6, 60), Note(1.0, 1.5, 62)])
    assert apart[60:100].min() < -78


def test_what_cannot_be_followed() -> None:
    with pytest.raises(ScoreError, match="sound at once"):
        contours([Note(0, 1, 60), Note(0.5, 1, 64)], HOP, RATE, SPREAD)
    with pytest.raises(ScoreError, match="no notes"):
        contours([], HOP, RATE, SPREAD)
    with pytest.raises(UsageError, match="there are none"):
        samples_of([], RATE)


@pytest.mark.parametrize(
    "spread",
    [
        Spread(-30, -30, -30, -30),
        Spread(-60, -30, -20, -20, attack=0, release=10000),
    ],
)
def test_a_spread_of_odd_recordings_gives_finite_loudness(spread: Spread) -> None:
    loudness = loudness_of(parse("C4:0.001 D4:0.3@1 E4:1@127"), spread)
    assert np.isfinite(loudness).all()
