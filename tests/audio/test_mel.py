"""Frames are those of librosa and torchaudio, of a whole recording and of a segment of it."""

from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import torch

from tests.helpers import STARTER, noisy
from wavenet.audio import mel
from wavenet.config import ModelConfig
from wavenet.errors import ConfigError

RATE = 16000
SHAPES = [(80, 256, 1024), (80, 200, 800), (20, 77, 401), (40, 256, 1023)]  # bands, hop, window


def settings(bands: int = 20, hop: int = 64, window: int = 256) -> ModelConfig:
    return ModelConfig(mel_bands=bands, frame_hop=hop, frame_window=window, mel_low_hz=50.0)


def noise(samples: int) -> np.ndarray[Any, Any]:
    return noisy(samples / RATE, RATE).astype(np.float32)


def librosa_magnitudes(wav: np.ndarray[Any, Any], model: ModelConfig) -> np.ndarray[Any, Any]:
    """Mel magnitudes, not their logarithms: (frames, bands)."""
    magnitudes: np.ndarray[Any, Any] = librosa.feature.melspectrogram(
        y=wav,
        sr=RATE,
        n_fft=model.frame_window,
        win_length=model.frame_window,
        hop_length=model.frame_hop,
        power=1,
        center=True,
        pad_mode="constant",
        n_mels=model.mel_bands,
        fmin=model.mel_low_hz,
        fmax=model.mel_high_hz,
    )  # (bands, frames)
    return magnitudes.T


# librosa warns about a recording shorter than the window.
@pytest.mark.filterwarnings("ignore:n_fft:UserWarning")
@pytest.mark.parametrize("samples", [1, 300, 20011])
@pytest.mark.parametrize("shape", SHAPES)
def test_frames_are_those_of_librosa(shape: tuple[int, int, int], samples: int) -> None:
    model, wav = settings(*shape), noise(samples)
    expected = librosa_magnitudes(wav, model)
    frames = mel.frames_of(wav, RATE, model)
    assert frames.dtype == np.float32
    assert len(frames) == len(expected) == mel.count(samples, model.frame_hop)
    np.testing.assert_allclose(np.exp(frames), np.maximum(expected, mel.MIN_MAGNITUDE), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_of_speech_are_those_of_librosa(shape: tuple[int, int, int]) -> None:
    """Its quietest bands lie 80 dB below the loudest, where float32 is good to 4 digits only."""
    model = settings(*shape)
    wav, _ = sf.read(STARTER / "speech" / "allison" / "hello-world.flac", dtype="float32")
    expected = np.maximum(librosa_magnitudes(wav, model), mel.MIN_MAGNITUDE)
    frames = mel.frames_of(wav, RATE, model)
    np.testing.assert_allclose(np.exp(frames), expected, rtol=0, atol=1e-6 * expected.max())
    np.testing.assert_allclose(frames, np.log(expected), rtol=0, atol=5e-4)


# torchaudio takes the last frequency of an odd window for half the rate.
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[2] % 2 == 0])
def test_frames_are_those_of_torchaudio(torchaudio: Any, shape: tuple[int, int, int]) -> None:
    import torchaudio.transforms

    model, wav = settings(*shape), noise(20011)
    spectrogram = torchaudio.transforms.MelSpectrogram(
        RATE,
        n_fft=model.frame_window,
        hop_length=model.frame_hop,
        f_min=model.mel_low_hz,
        f_max=model.mel_high_hz,
        n_mels=model.mel_bands,
        power=1,
        norm="slaney",
        mel_scale="slaney",
        pad_mode="constant",
    )
    expected = spectrogram(torch.from_numpy(wav)).clamp(min=mel.MIN_MAGNITUDE).T.numpy()
    np.testing.assert_allclose(np.exp(mel.frames_of(wav, RATE, model)), expected, rtol=1e-5)


def test_a_segment_has_the_frames_that_the_whole_recording_has_there() -> None:
    model, wav = settings(hop=60), noise(9000)
    whole = mel.frames_of(wav, RATE, model)
    first, frames = 11, 5
    start = first * 60 - 256 // 2
    segment = torch.from_numpy(wav[start : start + (frames - 1) * 60 + 256])
    log_mel = mel.log_mel(torch.stack([torch.zeros_like(segment), segment]), RATE, model)
    assert log_mel.shape == (2, 20, frames)
    np.testing.assert_allclose(log_mel[1].T, whole[first : first + frames], atol=1e-5)
    np.testing.assert_array_equal(log_mel[0], np.float32(mel.FLOOR))


@pytest.mark.parametrize("window", [256, 257])
@pytest.mark.parametrize("samples", [0, 1, 63, 64, 640, 5000])
def test_frames_do_not_depend_on_the_size_of_the_blocks(
    monkeypatch: pytest.MonkeyPatch, samples: int, window: int
) -> None:
    model, wav = settings(window=window), noise(samples)
    whole = mel.frames_of(wav, RATE, model)
    assert whole.shape == (1 + samples // 64, 20)
    monkeypatch.setattr(mel, "BLOCK_FRAMES", 3)
    assert max(len(s) for s in mel.padded_blocks(wav, window, 64)) <= 2 * 64 + window
    np.testing.assert_allclose(mel.frames_of(wav, RATE, model), whole, atol=1e-5)


@pytest.mark.parametrize("window", [256, 257])
def test_an_impulse_is_loudest_in_the_frame_around_it(window: int) -> None:
    for n in [0, 31, 33, 500, 1000, 1900, 1951]:
        wav = np.zeros(1960, np.float32)
        wav[n] = 1.0
        frames = mel.frames_of(wav, RATE, settings(window=window))
        assert frames.mean(axis=1).argmax() == round(n / 64), n


def test_silence_is_the_floor() -> None:
    frames = mel.frames_of(np.zeros(1000, np.float32), RATE, settings())
    assert np.exp(mel.FLOOR) == pytest.approx(1e-5)
    np.testing.assert_array_equal(frames, np.float32(mel.FLOOR))


def test_frames_are_as_precise_inside_autocast() -> None:
    wav = torch.from_numpy(noise(2000))[None]
    outside = mel.log_mel(wav, RATE, settings())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(mel.log_mel(wav, RATE, settings()), outside, rtol=0, atol=0)


def test_gradients_pass_after_frames_were_made_in_inference_mode() -> None:
    # No other test has 19 bands, so their filters are not cached yet.
    model = settings(bands=19)
    with torch.inference_mode():
        mel.log_mel(torch.from_numpy(noise(2000))[None], RATE, model)
    wav = torch.from_numpy(noise(2000))[None].requires_grad_()
    mel.log_mel(wav, RATE, model).sum().backward()
    assert wav.grad is not None
    assert wav.grad.abs().sum() > 0


def test_bands_without_a_frequency_are_refused() -> None:
    model = settings(bands=80, window=128)
    for make in (mel.filters, lambda rate, model: mel.frames_of(noise(2000), rate, model)):
        with pytest.raises(ConfigError) as caught:
            make(RATE, model)
        assert "model.mel_bands" in str(caught.value.subject)
        assert "125 Hz apart" in caught.value.reason
