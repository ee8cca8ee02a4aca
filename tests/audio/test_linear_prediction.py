"""An excitation makes its recording again in blocks of any length, and is alike everywhere."""

import numpy as np
import pytest
import soundfile as sf
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from tests.helpers import STARTER
from wavenet.audio import linear_prediction, mel
from wavenet.audio.linear_prediction import Synthesis, excitation, filters
from wavenet.config import ModelConfig
from wavenet.glossary import Array, Wav

RATE = 16000
MODELS = [
    ModelConfig(mel_bands=80, linear_prediction=16),
    ModelConfig(mel_bands=20, frame_hop=100, frame_window=401, linear_prediction=24),
]


def speech() -> Wav:
    wav, rate = sf.read(STARTER / "speech/allison/vm-intro.flac", dtype="float32")
    assert rate == RATE
    return np.asarray(wav[: 2 * RATE])


def excitation_of(wav: Wav, model: ModelConfig) -> tuple[Wav, Array]:
    """Of a whole recording, with its frames."""
    frames = mel.frames_of(wav, RATE, model)
    return excitation(wav, 0, 0, filters(frames, RATE, model, 0, len(wav))), frames


@pytest.mark.parametrize("model", MODELS)
def test_synthesis_is_the_inverse_of_prediction(model: ModelConfig) -> None:
    wav = speech()
    excited, frames = excitation_of(wav, model)
    np.testing.assert_allclose(Synthesis(frames, RATE, model)(excited), wav, atol=1e-5)


def test_the_same_samples_come_in_blocks_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_prediction, "PIECE_BLOCKS", 3)
    excited, frames = excitation_of(speech(), MODELS[0])
    whole = Synthesis(frames, RATE, MODELS[0])(excited)
    synthesis, lengths = Synthesis(frames, RATE, MODELS[0]), [1, 63, 64, 65, 500, 0, 7]
    ends = np.cumsum(lengths)
    parts = np.split(excited, ends)
    np.testing.assert_array_equal(np.concatenate([synthesis(part) for part in parts]), whole)
    assert synthesis.time == len(excited)


@pytest.mark.parametrize("model", MODELS)
def test_part_of_a_recording_has_its_part_of_the_excitation(model: ModelConfig) -> None:
    wav = speech()
    whole, frames = excitation_of(wav, model)
    start, stop, first = 9_001, 15_000, 20
    part = filters(frames[first:], RATE, model, start, stop, first)
    begin = start - model.linear_prediction
    np.testing.assert_array_equal(
        excitation(wav[begin:stop], begin, start, part), whole[start:stop]
    )
    np.testing.assert_array_equal(excitation(wav[100:stop], 100, start, part), whole[start:stop])


def test_an_excitation_is_as_loud_as_any_other() -> None:
    wav = speech()
    excited, frames = excitation_of(wav, MODELS[0])
    softer, _ = excitation_of(wav / 8, MODELS[0])
    loud = frames.mean(axis=1).repeat(256)[: len(wav)] > -5
    assert 0.5 < excited[loud].std() / linear_prediction.RMS < 1.5
    np.testing.assert_allclose(excited[loud].std(), softer[loud].std(), rtol=0.02)
    blocks = excited[: len(excited) // 800 * 800].reshape(-1, 800).std(axis=1)
    of_recording = wav[: len(excited) // 800 * 800].reshape(-1, 800).std(axis=1)
    sounding = of_recording > 0.01
    assert np.log(blocks[sounding]).std() < np.log(of_recording[sounding]).std() / 2


def test_of_noise_of_any_colour_the_emphasis_is_left() -> None:
    white = 0.01 * np.random.default_rng(0).standard_normal(4 * RATE)
    emphasised = lfilter([1], [1, -linear_prediction.EMPHASIS], white)
    for coloured in (white, lfilter([1], [1, -1.2, 0.8], white)):
        left = excitation_of(coloured.astype(np.float32), MODELS[0])[0]
        assert left.std() == pytest.approx(linear_prediction.RMS, rel=0.15)
        for lag in (1, 2, 5):
            ours, expected = (
                (x[lag:] @ x[:-lag]) / (x @ x) for x in (left.astype(float), emphasised)
            )
            assert ours == pytest.approx(expected, abs=0.12)


def test_coefficients_solve_the_normal_equations() -> None:
    generator = np.random.default_rng(0)
    signals = lfilter([1], [1, -0.9], generator.standard_normal((3, 400)))
    correlations = np.array(
        [[signal[lag:] @ signal[: 400 - lag] for lag in range(9)] for signal in signals]
    )
    coefficients, error = linear_prediction._levinson(correlations)
    for ours, left, r in zip(coefficients, error, correlations, strict=True):
        np.testing.assert_allclose(ours, solve_toeplitz(r[:-1], r[1:]), rtol=1e-8)
        assert left == pytest.approx(r[0] - ours @ r[1:])


def test_silence_has_a_filter_and_stays_silence() -> None:
    silence = np.zeros(5000, np.float32)
    excited, frames = excitation_of(silence, MODELS[0])
    assert not excited.any()
    assert not Synthesis(frames, RATE, MODELS[0])(excited).any()
