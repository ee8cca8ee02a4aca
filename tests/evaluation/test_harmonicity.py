"""Harmonics over noise: as mixed, of any loudness, and of steady notes alone."""

import numpy as np
import pytest

from wavenet.evaluation.harmonicity import harmonics_to_noise
from wavenet.glossary import Array, Wav

RATE, HOP = 16000, 160


def notes(*pitches: float) -> tuple[Wav, Array]:
    """Half a second of each note with four harmonics, and its pitch."""
    hertz = np.repeat([440 * 2 ** ((pitch - 69) / 12) for pitch in pitches], RATE // 2)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wav = sum(np.sin(k * phase) / k for k in range(1, 5))
    track = np.repeat(np.array(pitches, np.float32), RATE // 2 // HOP)
    return wav, np.stack([track, np.ones_like(track)], axis=1)


@pytest.mark.parametrize("decibels", [10.0, 20.0, 30.0])
@pytest.mark.parametrize("pitch", [60, 70.3, 84])
def test_noise_that_was_mixed_in_is_found(decibels: float, pitch: float) -> None:
    wav, track = notes(pitch)
    noise = np.random.default_rng(0).standard_normal(len(wav))
    noisy = wav + noise * np.sqrt((wav**2).mean() / (noise**2).mean() / 10 ** (decibels / 10))
    found = np.median(harmonics_to_noise(noisy, RATE, track, HOP))
    # Some of the noise lies at harmonics.
    assert decibels <= found < decibels + 2
    np.testing.assert_allclose(
        harmonics_to_noise(0.01 * noisy, RATE, track, HOP),
        harmonics_to_noise(noisy, RATE, track, HOP),
    )


def test_only_frames_of_steady_notes_count() -> None:
    wav, track = notes(60, 67)
    half = 7  # frames of 64 ms
    assert len(harmonics_to_noise(wav, RATE, track, HOP)) == 2 * (50 - 2 * half)
    assert harmonics_to_noise(wav, RATE, track, HOP).min() > 30
    unvoiced = track * [1, 0]
    assert not len(harmonics_to_noise(wav, RATE, unvoiced, HOP))
    assert not len(harmonics_to_noise(*[notes(40)[0], RATE, notes(40)[1], HOP]))
    assert not len(harmonics_to_noise(wav[:100], RATE, track[:1], HOP))
