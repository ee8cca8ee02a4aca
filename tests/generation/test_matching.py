"""Pitch and loudness brought into a model's range: by octaves, and by what recordings had."""

import numpy as np
import pytest

from wavenet.audio.spread import Spread
from wavenet.generation.matching import matched_loudness, matched_pitch
from wavenet.glossary import Array

TRAINED = Spread(low=-50, middle=-30, high=-20, silence=-80)


def frames(*notes: float) -> Array:
    """Pitch (frames, 2), three frames of each note; 0 is unvoiced."""
    rows = [(note or 60, float(note > 0)) for note in notes for _ in range(3)]
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        # Within the range, or within a semitone of it, nothing moves.
        ((60, 64, 72), (60, 64, 72), ""),
        ((59.2, 72.9), (59.2, 72.9), ""),
        # All of it moves by as few octaves as bring it inside.
        ((36, 40, 43), (60, 64, 67), "moved up 2 octaves"),
        ((84, 88), (60, 64), "moved down 2 octaves"),
        ((74, 79), (62, 67), "moved down 1 octave"),
        # Single notes that are outside move alone.
        ((60, 0, 62, 0, 76), (60, 0, 62, 0, 64), "1 of 3 notes moved by octaves on their own"),
        (
            (48, 0, 50, 0, 52, 0, 66),
            (60, 0, 62, 0, 64, 0, 66),
            "moved up 1 octave, 1 of 4 notes moved by octaves on their own",
        ),
        # Notes that touch are notes of their own.
        ((60, 62, 76), (60, 62, 64), "1 of 3 notes moved by octaves on their own"),
        ((60, 96), (60, 72), "1 of 2 notes moved by octaves on their own"),
        # A glide stays one, wherever most of it is.
        ((64, 64, 64, 72.2, 72.8, 73.4), (64, 64, 64, 72.2, 72.8, 73.4), ""),
        (
            (64, 64, 64, 73, 73.6, 74.2),
            (64, 64, 64, 61, 61.6, 62.2),
            "1 of 2 notes moved by octaves on their own",
        ),
        # Nothing sounds.
        ((0, 0), (0, 0), ""),
    ],
)
def test_pitch_moves_by_octaves_into_the_range(
    given: tuple[float, ...], expected: tuple[float, ...], words: str
) -> None:
    pitch = frames(*given)
    before = pitch.copy()
    moved, change = matched_pitch(pitch, (60, 72))
    assert change == words
    voiced = pitch[:, 1] > 0
    np.testing.assert_allclose(moved[voiced, 0], frames(*expected)[voiced, 0])
    np.testing.assert_array_equal(moved[:, 1], pitch[:, 1])
    # What was given is left alone.
    np.testing.assert_array_equal(pitch, before)


def test_notes_that_no_octave_brings_into_a_range_come_as_near_as_one_can() -> None:
    moved, change = matched_pitch(frames(66), (60, 61))
    np.testing.assert_array_equal(moved, frames(66))
    assert change == "1 of 1 note still outside"


def test_loudness_within_the_range_stays_and_outside_it_is_matched() -> None:
    level = np.array([-90, -80, *np.linspace(-48, -22, 21), -90], np.float32)[:, None]
    sounds = level[:, 0] > -60
    same, change = matched_loudness(level, sounds, TRAINED)
    assert same is level
    assert change == ""
    matched, change = matched_loudness(level - 30, sounds, TRAINED)
    assert change == "+35 dB to match its loudness"
    assert matched.dtype == np.float32
    assert matched.shape == level.shape
    heights = matched[sounds, 0]
    np.testing.assert_allclose(np.percentile(heights, [5, 50, 95]), [-50, -30, -20], atol=1)
    # Silence becomes silence, the order stays, and nothing is beyond the range.
    assert matched[~sounds].max() < -70
    assert (np.diff(heights) >= 0).all()
    assert matched.min() >= -80
    assert matched.max() <= -20
    # Too loud comes down.
    louder, change = matched_loudness(level + 20, sounds, TRAINED)
    assert change == "-15 dB to match its loudness"
    assert louder.max() <= -20


def test_loudness_of_one_level_or_without_sound_is_no_division_by_nothing() -> None:
    level = np.full((10, 1), -70.0, np.float32)
    everywhere, nowhere = np.ones(10, bool), np.zeros(10, bool)
    matched, _ = matched_loudness(level, everywhere, TRAINED)
    assert np.isfinite(matched).all()
    assert np.ptp(matched) == 0
    assert -51 <= matched[0, 0] <= -20
    same, change = matched_loudness(level, nowhere, TRAINED)
    assert (same == level).all()
    assert change == ""
