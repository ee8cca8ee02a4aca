"""How loudness is spread in recordings."""

import numpy as np
import pytest

from wavenet.audio.spread import Spread, measured
from wavenet.errors import CorpusError
from wavenet.glossary import Array

FRAME = 0.01


def recording(level: float, attack: float, release: float) -> tuple[Array, Array]:
    """Three notes of 0.6 s at a level in dB, 0.6 s apart, and whether each frame is within one."""
    seconds = np.arange(round(3.9 / FRAME)) * FRAME
    age = (seconds - 0.3) % 1.2
    amplitude = np.clip(age / attack, 1e-9, 1)
    loudness = level + 20 * np.log10(amplitude) - release * np.maximum(0, age - 0.6)
    sounding = (age < 0.6) & (seconds > 0.3)
    return np.where(seconds < 0.3, -90, loudness), sounding


@pytest.mark.parametrize("attack", [0.06, 0.1, 0.25])
@pytest.mark.parametrize("release", [120, 300])
def test_attack_and_release_are_found_again(attack: float, release: float) -> None:
    pairs = [recording(level, attack, release) for level in (-30, -20)]
    spread = measured([p[0] for p in pairs], [p[1] for p in pairs], FRAME)
    assert spread.attack == pytest.approx(attack, abs=0.03)
    assert spread.release == pytest.approx(release, rel=0.05)
    assert -30 <= spread.middle < -20
    assert spread.high == pytest.approx(-20, abs=0.1)
    assert spread.low < -30
    assert spread.silence == pytest.approx(-80, abs=12)


def test_what_never_pauses_keeps_the_ordinary_attack_and_release() -> None:
    loudness = np.linspace(-30, -20, 300)
    spread = measured([loudness], [np.ones(300, bool)], FRAME)
    assert (spread.attack, spread.release) == (Spread.attack, Spread.release)
    assert spread.silence == -30
    assert (spread.low, spread.middle, spread.high) == pytest.approx((-29.5, -25, -20.5))


def test_recordings_of_silence_have_no_spread() -> None:
    with pytest.raises(CorpusError, match="nothing sounds"):
        measured([np.full(50, -90.0)], [np.zeros(50, bool)], FRAME)


def test_short_recordings_are_taken() -> None:
    assert measured([np.array([-20.0])], [np.array([True])], FRAME).middle == -20
    assert measured([np.zeros(0), np.array([-20.0])], [np.zeros(0), np.ones(1)], FRAME).low == -20
