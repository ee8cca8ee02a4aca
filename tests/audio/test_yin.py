"""Pitch without what comes later: close to what the whole recording tells, and of silence none."""

import numpy as np
import pytest

from wavenet.audio import pitch, yin
from wavenet.audio.framing import padded
from wavenet.audio.pitch import Range
from wavenet.glossary import Array, Wav

RATE, HOP = 16_000, 160
RANGE = Range(RATE, HOP, 65, 2100)


def sung(notes: Array) -> Wav:
    """Harmonics of a note for each sample."""
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / RATE
    wav: Wav = sum(0.1 / k * np.sin(k * phase) for k in range(1, 8)).astype(np.float32)
    return wav


@pytest.mark.parametrize(("low", "high"), [(40, 52), (57, 69), (81, 93)])
def test_a_glide_is_followed_as_in_a_whole_recording(low: int, high: int) -> None:
    wav = sung(np.linspace(low, high, RATE))
    whole = pitch.track(wav, RATE, HOP, RANGE.low_hz, RANGE.high_hz)
    frames = yin.frames_of(padded(wav, 0, len(whole) - 1, RANGE.window, HOP), RANGE)
    assert frames.shape == whole.shape
    inside = slice(3, -3)
    assert (frames[inside, 1] == 1).all()
    assert np.abs(frames[inside, 0] - whole[inside, 0]).max() < 0.2


def test_noise_and_silence_are_not_voiced() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert yin.frames_of(noise, RANGE)[:, 1].mean() < 0.05
    silence = yin.frames_of(np.zeros(RANGE.window + 3 * HOP, np.float32), RANGE)
    assert silence.shape == (4, 2)
    assert np.isfinite(silence).all()
    assert not silence[:, 1].any()
