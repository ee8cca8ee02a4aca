import librosa
import numpy as np
import pytest

from wavenet.audio import quantization

LEVELS = [16, 64, 256, 1024]


def test_known_codes() -> None:
    wav = [-1, 1, 0.6, -0.25, 0.01, 0.33, -0.9999, 0.42, 0.1, -0.45]
    codes = quantization.encode(np.array(wav), 256)
    assert codes.tolist() == [0, 255, 243, 32, 157, 230, 0, 235, 203, 18]


@pytest.mark.parametrize("levels", LEVELS)
def test_every_level_survives_a_round_trip_and_they_span_full_scale(levels: int) -> None:
    x = np.arange(levels)
    wav = quantization.decode(x, levels)
    assert (quantization.encode(wav, levels) == x).all()
    assert (wav[0], wav[-1], wav.dtype) == (-1, 1, np.float32)


def test_what_lies_outside_is_clipped() -> None:
    assert quantization.encode(np.array([-7.0, 7.0]), 256).tolist() == [0, 255]


def test_agrees_with_librosa() -> None:
    wav = np.random.default_rng(0).uniform(-1, 1, 10_000)
    theirs = librosa.mu_compress(wav, mu=255, quantize=False)
    assert (quantization.encode(wav, 256) == np.floor((theirs + 1) / 2 * 255 + 0.5)).all()
    decoded = librosa.mu_expand(2 * np.arange(256) / 255 - 1, mu=255, quantize=False)
    np.testing.assert_allclose(quantization.decode(np.arange(256), 256), decoded, atol=1e-6)


@pytest.mark.parametrize("levels", LEVELS)
def test_edges_part_neighbouring_codes(levels: int) -> None:
    edges = quantization.edges(levels)
    assert (quantization.encode(edges - 1e-9, levels) == np.arange(levels - 1)).all()
    assert (quantization.encode(edges + 1e-9, levels) == np.arange(1, levels)).all()


def test_every_16_bit_sample_survives_a_round_trip() -> None:
    pcm = np.arange(-32768, 32768).astype(np.int16)
    wav = quantization.from_pcm16(pcm)
    assert (wav.min(), wav.dtype) == (-1, np.float32)
    assert (quantization.to_pcm16(wav) == pcm).all()
    softer = quantization.to_pcm16(np.array([-3.0, -0.25, 1.0]), gain=0.5)
    assert softer.tolist() == [-32768, -4096, 16384]
    assert quantization.to_pcm16(np.array([1.0])).tolist() == [32767]
