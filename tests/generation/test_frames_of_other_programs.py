"""Frames by the formulas of other programs become ours, as docs/conditioning.md says.

The formulas were read in the programs' code, at 22,050 Hz with 80 bands every 256 samples.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import librosa
import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from tests.helpers import STARTER
from wavenet.audio import mel
from wavenet.audio.mel_files import FrameFormat, MelFormat
from wavenet.config import loading
from wavenet.errors import UsageError
from wavenet.glossary import Array, Wav

CONFIG = loading.load("vocoder-small")
RATE, WINDOW, HOP = 22050, 1024, 256
RECORDINGS = ("demo-abouttotry", "vm-intro")


@cache
def recording(name: str) -> Wav:
    path = STARTER / "speech" / "allison" / f"{name}.flac"
    wav: Wav = librosa.load(path, sr=RATE, dtype=np.float32)[0]
    return wav


def bands(low: float, high: float) -> Array:
    filters: Array = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=80, fmin=low, fmax=high)
    return filters


def centred(wav: Wav, low: float = 0, high: float = 8000, padding: str = "reflect") -> Array:
    """Mel magnitudes (80, n) as librosa has them."""
    spectrum = np.abs(librosa.stft(wav, n_fft=WINDOW, hop_length=HOP, pad_mode=padding))
    return bands(low, high) @ spectrum


def tacotron_2(wav: Wav) -> Array:
    """NVIDIA's."""
    return np.log(np.maximum(centred(wav), 1e-5))


def hifi_gan(wav: Wav) -> Array:
    """Also BigVGAN's and Vocos's of that kind."""
    sides = (WINDOW - HOP) // 2
    padded = pad(torch.tensor(wav)[None], (sides, sides), mode="reflect")
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)
    magnitudes = (spectrum.abs() ** 2 + 1e-9).sqrt().numpy()[0]
    return np.log(np.maximum(bands(0, 8000) @ magnitudes, 1e-5))


def parallel_wavegan(wav: Wav) -> Array:
    return np.log10(np.maximum(centred(wav, 80, 7600), 1e-10)).T


def espnet_2(wav: Wav) -> Array:
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(torch.tensor(wav), WINDOW, HOP, window=window, return_complex=True)
    magnitudes = (spectrum.abs() ** 2).clamp(min=1e-10).sqrt().numpy()
    return np.log10(np.maximum(bands(80, 7600) @ magnitudes, 1e-10)).T


def wavenet_vocoder(wav: Wav) -> Array:
    """By r9y9, since August 2019."""
    return np.log10(np.maximum(centred(wav, 125, 7600), 1e-10)).T


def old_wavenet_vocoder(wav: Wav) -> Array:
    """By r9y9 before: of lws, in 0 ... 1."""
    # What lws takes for a window where only its length is given, with frames a quarter apart.
    window = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW) / np.sqrt(2)
    padded = np.pad(wav, (WINDOW - HOP, WINDOW))
    frames = librosa.util.frame(padded, frame_length=WINDOW, hop_length=HOP, axis=0)
    magnitudes = np.abs(np.fft.rfft(frames * window))  # (n, 513)
    decibels = 20 * np.log10(np.maximum(magnitudes @ bands(125, 7600).T, 1e-5))
    return np.clip((decibels - 20 + 100) / 100, 0, 1)


class Program(NamedTuple):
    """A row of the page's table."""

    frames: Callable[[Wav], Array]
    made: MelFormat
    # Mean difference from our frames of the same recording, in dB.
    within: float
    # What the page says to do before.
    undone: Callable[[Array], Array] = lambda frames: frames


PROGRAMS = {
    "Tacotron 2": Program(tacotron_2, MelFormat(), 0.02),
    "HiFi-GAN": Program(hifi_gan, MelFormat(offset=128), 1.1),
    "ParallelWaveGAN": Program(parallel_wavegan, MelFormat("log10", range=(80, 7600)), 1.3),
    "ESPnet": Program(espnet_2, MelFormat("log10", range=(80, 7600)), 1.3),
    "r9y9": Program(wavenet_vocoder, MelFormat("log10", range=(125, 7600)), 1.9),
    "r9y9 before": Program(
        old_wavenet_vocoder, MelFormat("db", -256, (125, 7600)), 2.9, lambda x: 100 * x - 79
    ),
}


def decibels_off(name: str, wav: Wav, **changes: object) -> float:
    """How far frames lie from ours where these sound and no recording begins or ends."""
    program = PROGRAMS[name]
    format = FrameFormat(CONFIG.model, RATE, program.made._replace(**changes))
    frames = program.undone(program.frames(wav))
    assert format.problem(frames) is None
    ours = mel.frames_of(wav, RATE, CONFIG.model)
    both = min(len(ours), max(frames.shape))
    converted, ours = format.ours(frames)[4 : both - 4], ours[4 : both - 4]
    sounds = ours > ours.max() - 9
    return 20 / np.log(10) * float(np.abs(converted - ours)[sounds].mean())


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("recorded", RECORDINGS)
def test_they_become_ours(name: str, recorded: str) -> None:
    assert decibels_off(name, recording(recorded)) < PROGRAMS[name].within


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_option_of_a_recipe_counts(name: str) -> None:
    wav, made = recording("vm-intro"), PROGRAMS[name].made
    right = decibels_off(name, wav)
    for option in ("offset", "range"):
        default = MelFormat()._asdict()[option]
        if getattr(made, option) != default:
            assert decibels_off(name, wav, **{option: default}) > 1.2 * right, option


@pytest.mark.parametrize("edges", [(80, 80), (-1, 7600), (80, 11026), (80,), "80-7600", 80])
def test_a_range_that_is_none_is_refused(edges: object) -> None:
    with pytest.raises(UsageError, match=r"mel_range.*from 0 to 11025 Hz"):
        MelFormat()._replace(range=edges).check(CONFIG.model, RATE)
