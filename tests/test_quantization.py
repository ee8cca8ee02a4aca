import librosa
import numpy as np
import pytest
import torch

from wavenet.audio import quantization

LEVELS = [16, 64, 256, 1024]


def test_known_codes() -> None:
    wav = [-1, 1, 0.6, -0.25, 0.01, 0.33, -0.9999, 0.42, 0.1, -0.45]
    codes = quantization.encode(np.array(wav), 256)
    assert codes.tolist() == [0, 255, 243, 32, 157, 230, 0, 235, 203, 18]


@pytest.mark.parametrize("levels", LEVELS)
def test_every_level_survives_a_round_trip(levels: int) -> None:
    x = np.arange(levels)
    assert (quantization.encode(quantization.decode(x, levels), levels) == x).all()


@pytest.mark.parametrize("levels", LEVELS)
def test_range_is_exactly_full_scale(levels: int) -> None:
    wav = quantization.decode(np.array([0, levels - 1]), levels)
    assert wav.tolist() == [-1, 1]
    assert wav.dtype == np.float32


def test_what_lies_outside_is_clipped() -> None:
    assert quantization.encode(np.array([-7.0, 7.0]), 256).tolist() == [0, 255]


def test_agrees_with_librosa() -> None:
    wav = np.random.default_rng(0).uniform(-1, 1, 10_000)
    theirs = librosa.mu_compress(wav, mu=255, quantize=False)
    assert (quantization.encode(wav, 256) == np.floor((theirs + 1) / 2 * 255 + 0.5)).all()


def test_agrees_with_torchaudio(torchaudio) -> None:  # type: ignore[no-untyped-def]
    wav = np.random.default_rng(0).uniform(-1, 1, 10_000)
    theirs = torchaudio.functional.mu_law_encoding(torch.from_numpy(wav), 256).numpy()
    assert (quantization.encode(wav, 256) == theirs).all()
    x = np.arange(256)
    decoded = torchaudio.functional.mu_law_decoding(torch.from_numpy(x), 256).numpy()
    np.testing.assert_allclose(quantization.decode(x, 256), decoded, atol=1e-6)
