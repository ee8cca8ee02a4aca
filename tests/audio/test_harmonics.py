"""Combs tell the pitch of a voice from mel frames, wherever the bands show harmonics."""

import librosa
import numpy as np
import pytest
import soundfile as sf
from scipy.signal import butter, sosfilt

from tests.helpers import STARTER
from wavenet.audio import harmonics, mel, pitch
from wavenet.config import ModelConfig

RATE = 16000


def test_bands_lie_on_slaneys_scale() -> None:
    hertz = np.linspace(0, 11_000, 100)
    mels = librosa.hz_to_mel(hertz)
    np.testing.assert_allclose(harmonics._slaney_mels(hertz), mels, atol=1e-9)
    np.testing.assert_allclose(harmonics._slaney_hz(mels), hertz, atol=1e-6)


@pytest.mark.parametrize("low_hz", [0.0, 80.0])
def test_the_largest_sum_tells_the_pitch_of_speech(low_hz: float) -> None:
    wav, rate = sf.read(STARTER / "speech/allison/vm-msginstruct.flac", dtype="float32")
    model = ModelConfig(mel_bands=80, mel_low_hz=low_hz)
    combs = harmonics.combs(64, 80, low_hz, 8000.0)
    notes = np.linspace(*librosa.hz_to_midi([harmonics.LOWEST_HZ, harmonics.HIGHEST_HZ]), 64)
    sums = mel.frames_of(wav, rate, model) @ combs.T
    tracked = pitch.track(wav, rate, model.frame_hop, 65, 600)
    voiced = tracked[:, 1] > 0
    off = notes[sums[voiced].argmax(axis=1)] - tracked[voiced, 0]
    assert np.mean(np.abs(off) < 1) > 0.85


def test_combs_are_alike_in_size() -> None:
    combs = harmonics.combs(32, 80, 0.0, 8000.0)
    assert combs.shape == (32, 80)
    np.testing.assert_allclose(np.linalg.norm(combs, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(combs.sum(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(combs @ np.arange(80), 0, atol=1e-3)


@pytest.mark.parametrize(("bands", "low_hz", "high_hz"), [(1, 0.0, 100.0), (3, 5000.0, 8000.0)])
def test_bands_without_harmonics_have_combs_of_numbers(
    bands: int, low_hz: float, high_hz: float
) -> None:
    assert np.isfinite(harmonics.combs(5, bands, low_hz, high_hz)).all()
    assert harmonics.combs(0, bands, low_hz, high_hz).shape == (0, bands)


def test_harmonics_stand_out_of_a_voice_and_not_of_noise() -> None:
    model = ModelConfig(mel_bands=80)
    generator = np.random.default_rng(0)
    noise = (0.1 * generator.standard_normal(RATE)).astype(np.float32)
    voice = sum(np.sin(2 * np.pi * 150 * k * np.arange(RATE) / RATE) / k for k in range(1, 30))
    # Of a hiss the spectrum rises where voices have harmonics.
    hiss = sosfilt(butter(4, 2000, "high", fs=RATE, output="sos"), noise).astype(np.float32)
    sounds = ((noise, 0.2, 1.5), (hiss, 0.2, 2.2), (0.1 * np.asarray(voice, np.float32), 3, 12))
    for wav, low, high in sounds:
        frames = mel.frames_of(wav, RATE, model)
        stands_out = harmonics.prominence(frames, 0.0, 8000.0)
        assert stands_out.shape == (len(frames),)
        assert low < np.median(stands_out) < high
