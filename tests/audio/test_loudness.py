"""Loudness is that of librosa's A-weighted spectra, and that of sines where it is known."""

from typing import Any

import librosa
import numpy as np
import pytest
import torch

from tests.helpers import noisy, tone
from wavenet.audio import loudness, mel

RATE = 16000
SHAPES = [(256, 64), (401, 77), (1024, 200)]  # window, hop


def sine(hertz: float, amplitude: float = 1.0) -> np.ndarray[Any, Any]:
    return tone(0.5, RATE, hertz, amplitude).astype(np.float32)


def noise(samples: int) -> np.ndarray[Any, Any]:
    return noisy(samples / RATE, RATE).astype(np.float32)


def librosa_loudness(wav: np.ndarray[Any, Any], window: int, hop: int) -> np.ndarray[Any, Any]:
    spectrum = librosa.stft(wav, n_fft=window, hop_length=hop, pad_mode="constant")
    hann = librosa.filters.get_window("hann", window)
    power = np.abs(spectrum) ** 2 / (window * np.square(hann).sum())
    # Both sides of the spectrum, except for 0 Hz and half the rate.
    power[1 : (window + 1) // 2] *= 2
    frequencies = librosa.fft_frequencies(sr=RATE, n_fft=window)
    with np.errstate(divide="ignore"):
        weighted = librosa.perceptual_weighting(power, frequencies, amin=1e-30, top_db=None)
    levels: np.ndarray[Any, Any] = 10 * np.log10((10 ** (weighted / 10)).sum(axis=0))
    return levels


@pytest.mark.filterwarnings("ignore:n_fft:UserWarning")
@pytest.mark.parametrize("samples", [1, 300, 20011])
@pytest.mark.parametrize(("window", "hop"), SHAPES)
def test_it_is_that_of_librosa(window: int, hop: int, samples: int) -> None:
    wav = noise(samples)
    frames = loudness.frames_of(wav, RATE, window, hop)
    assert frames.shape == (mel.count(samples, hop), 1)
    assert frames.dtype == np.float32
    expected = np.maximum(librosa_loudness(wav, window, hop), loudness.FLOOR_DB)
    np.testing.assert_allclose(frames[:, 0], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("hertz", "weight"), [(100, -19.1), (1000, 0.0), (4000, 1.0)])
def test_sines_have_the_weights_of_the_standard(hertz: float, weight: float) -> None:
    frames = loudness.frames_of(sine(hertz), RATE, 1024, 128)[10:-10]
    np.testing.assert_allclose(frames, -3.01 + weight, rtol=0, atol=0.1)


def test_twice_the_amplitude_adds_6_db() -> None:
    wav = noise(8000)
    louder = loudness.frames_of(2 * wav, RATE, 512, 100)
    np.testing.assert_allclose(louder - loudness.frames_of(wav, RATE, 512, 100), 6.0206, atol=1e-3)


@pytest.mark.parametrize("hop", [64, 100])
@pytest.mark.parametrize("window", [256, 257])
def test_an_impulse_is_loudest_in_the_frame_around_it(window: int, hop: int) -> None:
    for n in [0, 31, 33, 520, 1000, 1959]:
        wav = np.zeros(1960, np.float32)
        wav[n] = 1.0
        frames = loudness.frames_of(wav, RATE, window, hop)
        # A recording may end after its last frame's centre and before the next one would be.
        assert frames[:, 0].argmax() == min(round(n / hop), len(frames) - 1), n


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 5000])
def test_frames_do_not_depend_on_the_size_of_the_blocks(
    monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    whole = loudness.frames_of(noise(samples), RATE, 256, 64)
    assert whole.shape == (1 + samples // 64, 1)
    monkeypatch.setattr(mel, "BLOCK_FRAMES", 3)
    np.testing.assert_allclose(
        loudness.frames_of(noise(samples), RATE, 256, 64), whole, rtol=0, atol=1e-4
    )


def test_a_batch_of_segments_is_not_padded() -> None:
    wav = torch.from_numpy(noise(1000))
    frames = loudness.loudness(torch.stack([torch.zeros_like(wav), wav]), RATE, 256, 60)
    assert frames.shape == (2, 1 + (1000 - 256) // 60, 1)
    np.testing.assert_array_equal(frames[0], np.float32(loudness.FLOOR_DB))
    alone = loudness.loudness(wav[None, 120:376], RATE, 256, 60)
    torch.testing.assert_close(frames[1:, 2:3], alone, rtol=0, atol=1e-4)


def test_it_is_as_precise_inside_autocast() -> None:
    wav = torch.from_numpy(noise(2000))[None]
    outside = loudness.loudness(wav, RATE, 256, 64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loudness.loudness(wav, RATE, 256, 64)
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)


def test_gradients_pass_after_loudness_was_measured_in_inference_mode() -> None:
    # No other test has this window, so its weights are not cached yet.
    with torch.inference_mode():
        loudness.loudness(torch.from_numpy(noise(2000))[None], RATE, 258, 64)
    wav = torch.from_numpy(noise(2000))[None].requires_grad_()
    loudness.loudness(wav, RATE, 258, 64).sum().backward()
    assert wav.grad is not None
    assert wav.grad.abs().sum() > 0
