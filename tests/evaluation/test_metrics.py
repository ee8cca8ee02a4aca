"""What is closer scores better, in every figure; what cannot be measured is None."""

import sys
import warnings
from dataclasses import asdict, astuple, replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import STARTER, tone
from wavenet.audio import mel
from wavenet.config import ModelConfig
from wavenet.evaluation import metrics
from wavenet.glossary import Array

RATE = 16000
MODEL = ModelConfig(mel_bands=40, frame_hop=128, frame_window=512)
BETTER_WHEN_HIGH = {"stoi", "pesq"}


@pytest.fixture(scope="module")
def speech() -> Array:
    wav, rate = sf.read(STARTER / "speech" / "allison" / "hello-world.flac", dtype="float32")
    assert rate == RATE
    return np.asarray(wav)


def with_noise(wav: Array, amplitude: float) -> Array:
    noise = np.random.default_rng(0).standard_normal(len(wav))
    return (wav + amplitude * noise).astype(np.float32)


def assert_worse(worse: metrics.CopyMetrics, better: metrics.CopyMetrics, names: set[str]) -> None:
    for name in names:
        low, high = getattr(better, name), getattr(worse, name)
        assert (low > high) if name in BETTER_WHEN_HIGH else (low < high), (name, low, high)


def test_a_copy_has_no_distance(speech: Array) -> None:
    scores = metrics.compare(speech, speech.copy(), RATE, MODEL)
    assert (scores.spectral_convergence, scores.log_stft_db, scores.mel_db) == (0, 0, 0)


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_a_copy_is_as_intelligible_and_as_good(speech: Array, rate: int) -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    scores = metrics.compare(speech, speech.copy(), rate, MODEL)
    assert scores.stoi == pytest.approx(1, abs=1e-6)
    assert scores.pesq is not None
    assert 4.6 < scores.pesq < 4.7


def test_more_noise_is_worse_in_every_figure(speech: Array) -> None:
    noisy = [with_noise(speech, amplitude) for amplitude in (0.001, 0.01, 0.1)]
    levels = [metrics.compare(speech, wav, RATE, MODEL) for wav in noisy]
    measured = {name for name, value in asdict(levels[0]).items() if value is not None}
    # The pitch is found in noise, too.
    measured -= {"pitch_accuracy", "voicing_error"}
    assert measured >= {"spectral_convergence", "log_stft_db", "mel_db"}
    for better, worse in pairwise(levels):
        assert_worse(worse, better, measured)


def test_half_the_amplitude_is_6_db_away() -> None:
    wav = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    scores = metrics.compare(wav, wav / 2, RATE, MODEL)
    assert scores.spectral_convergence == pytest.approx(0.5, abs=1e-5)
    assert scores.log_stft_db == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert scores.mel_db == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_distances_do_not_depend_on_the_size_of_the_blocks(
    speech: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = with_noise(speech, 0.01)
    at_once = metrics.compare(speech, noisy, RATE, MODEL)
    monkeypatch.setattr(mel, "BLOCK_FRAMES", 7)
    in_blocks = metrics.compare(speech, noisy, RATE, MODEL)
    assert in_blocks.spectral_convergence == pytest.approx(at_once.spectral_convergence, rel=1e-5)
    assert in_blocks.log_stft_db == pytest.approx(at_once.log_stft_db, rel=1e-5)


def test_griffin_lim_is_close_but_no_copy(speech: Array) -> None:
    word = speech[4000:9000]
    frames = mel.frames_of(word, RATE, MODEL)
    wav = metrics.griffin_lim(frames, len(word), RATE, MODEL)
    assert wav.dtype == np.float32
    assert wav.shape == word.shape
    np.testing.assert_array_equal(wav, metrics.griffin_lim(frames, len(word), RATE, MODEL))
    scores = metrics.compare(word, wav, RATE, MODEL)
    assert 0.1 < scores.mel_db < 3
    copy = metrics.compare(word, word, RATE, MODEL)
    assert_worse(scores, copy, {"spectral_convergence", "log_stft_db", "mel_db"})
    assert scores.mel_db < metrics.compare(word, with_noise(word, 0.01), RATE, MODEL).mel_db


@pytest.mark.parametrize("window", [512, 511])
@pytest.mark.parametrize("samples", [0, 1, 127, 128, 1280, 5000])
def test_griffin_lim_is_exactly_as_long_as_asked(samples: int, window: int) -> None:
    model = replace(MODEL, frame_window=window)
    frames = np.full((mel.count(samples, model.frame_hop), model.mel_bands), -2.0, np.float32)
    assert metrics.griffin_lim(frames, samples, RATE, model).shape == (samples,)


def test_missing_packages_leave_their_figures_out(
    speech: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pystoi", None)
    monkeypatch.setitem(sys.modules, "pesq", None)
    scores = metrics.compare(speech, with_noise(speech, 0.01), RATE, MODEL)
    assert (scores.stoi, scores.pesq) == (None, None)
    assert scores.mel_db > 0


@pytest.mark.parametrize(
    "wav", [np.zeros(RATE), tone(0.1, RATE), np.zeros(0)], ids=["silent", "short", "empty"]
)
def test_what_the_measures_refuse_is_none_without_a_word(
    wav: Array, capfd: pytest.CaptureFixture[str]
) -> None:
    wav = wav.astype(np.float32)
    with warnings.catch_warnings(action="error"):
        scores = metrics.compare(wav, wav, RATE, MODEL)
    assert astuple(scores) in [(0, 0, 0, None, None, accuracy, 0) for accuracy in (None, 1)]
    assert capfd.readouterr() == ("", "")


def test_broken_audio_has_no_perceptual_scores(speech: Array) -> None:
    broken = speech.copy()
    broken[5000] = np.nan
    scores = metrics.compare(speech, broken, RATE, MODEL)
    assert (scores.pitch_accuracy, scores.voicing_error) == (None, None)
    assert (scores.stoi, scores.pesq) == (None, None)


def test_pitch_and_voicing_are_those_of_the_reference(speech: Array) -> None:
    exact = metrics.compare(speech, speech, RATE, MODEL)
    assert (exact.pitch_accuracy, exact.voicing_error) == (1, 0)
    noise = with_noise(0 * speech, 0.1)
    whispered = metrics.compare(speech, noise, RATE, MODEL)
    assert whispered.pitch_accuracy == 0
    assert whispered.voicing_error == metrics.compare(noise, speech, RATE, MODEL).voicing_error
    assert whispered.voicing_error is not None
    assert whispered.voicing_error > 0.3
    # A semitone off, in all frames that are voiced in both.
    low, high = (tone(1.0, hertz=hertz).astype(np.float32) for hertz in (200.0, 212.0))
    off = metrics.compare(low, high, 8000, replace(MODEL, mel_high_hz=4000.0))
    assert off.pitch_accuracy == 0
    assert off.voicing_error is not None
    assert off.voicing_error < 0.1


def test_pesq_of_many_utterances(speech: Array) -> None:
    """The package itself crashes on 60 of them."""
    pytest.importorskip("pesq")
    utterance = np.concatenate([speech[: RATE // 2], np.zeros(RATE // 2, np.float32)])
    wav = np.tile(utterance, 60)
    noisy = with_noise(wav, 0.001)
    few = metrics.compare(wav[: 15 * RATE], noisy[: 15 * RATE], RATE, MODEL).pesq
    many = metrics.compare(wav, noisy, RATE, MODEL).pesq
    assert many == pytest.approx(few, abs=0.2)
