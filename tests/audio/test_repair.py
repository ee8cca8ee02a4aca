"""Samples that are not as they should be: found in any file, set right, and told."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import noisy, tone
from wavenet.audio.reading import AudioFile
from wavenet.glossary import Array

RATE = 16000
VOICE = tone(1.5, RATE, 200) + noisy(1.5, RATE, amplitude=0.05)


def repaired(
    path: Path, samples: Array, rate: int = RATE, *, to_peak: bool = False
) -> tuple[Array, list[str]]:
    """Samples (frames,) or (frames, channels) as a file gives them, and what is said."""
    sf.write(path, samples, rate, subtype="FLOAT", format="WAV")
    file = AudioFile(path, RATE, to_peak=to_peak)
    file.measure(trim_db=50)
    return np.concatenate(list(file.blocks())), file.notes


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("quieter", [1, 60])
def test_integers_stored_as_floats_are_scaled(tmp_path: Path, bits: int, quieter: int) -> None:
    full_scale = 2.0 ** (bits - 1)
    for samples in (VOICE * full_scale, np.rint(VOICE * full_scale)):
        wav, notes = repaired(tmp_path / "a", samples / quieter)
        np.testing.assert_allclose(wav * quieter, VOICE, atol=1e-3)
        assert notes == [f"its floats count the steps of {bits}-bit integers: scaled"]


def test_the_loudest_of_16_bits_is_scaled_too(tmp_path: Path) -> None:
    square = np.where(np.arange(RATE) // 50 % 2, -32768.0, 32767.0)
    wav, notes = repaired(tmp_path / "a", square)
    assert np.abs(wav).max() == 1
    assert len(notes) == 1


@pytest.mark.parametrize("peak", [1.05, 4, 20, 100])
def test_floats_that_were_mixed_too_loud_are_no_integers(tmp_path: Path, peak: float) -> None:
    wav, notes = repaired(tmp_path / "a", VOICE * peak / np.abs(VOICE).max())
    assert np.abs(wav).max() == pytest.approx(peak, rel=1e-4)
    assert notes == []


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("wild", [30.0, 1e6, 1e30])
@pytest.mark.parametrize("places", [[100], [100, 101, 900], [0]])
def test_a_wild_sample_does_not_reach_its_neighbours(
    tmp_path: Path, rate: int, wild: float, places: list[int]
) -> None:
    voice = tone(1.5, rate, 200) + noisy(1.5, rate, amplitude=0.05)
    usual, _ = repaired(tmp_path / "a", voice, rate)
    samples = voice.copy()
    samples[places] = wild
    wav, notes = repaired(tmp_path / "a", samples, rate)
    assert np.abs(wav).max() < 0.7
    # Away from the places nothing is changed.
    np.testing.assert_allclose(wav[RATE // 2 :], usual[RATE // 2 :], atol=1e-3)
    assert notes == ["a wild sample clipped" if len(places) == 1 else "3 wild samples clipped"]


def test_a_wild_sample_among_integers(tmp_path: Path) -> None:
    samples = np.rint(VOICE * 32768)
    samples[5000] = 2e9
    wav, notes = repaired(tmp_path / "a", samples)
    np.testing.assert_allclose(np.delete(wav, 5000), np.delete(VOICE, 5000), atol=0.05)
    assert len(notes) == 2


def test_within_full_scale_a_click_is_left_unless_it_would_set_the_level(tmp_path: Path) -> None:
    quiet = 0.05 * VOICE
    quiet[7000] = 0.9
    wav, notes = repaired(tmp_path / "a", quiet)
    np.testing.assert_allclose(wav, quiet, atol=1e-6)
    assert notes == []
    wav, notes = repaired(tmp_path / "a", quiet, to_peak=True)
    assert np.abs(wav).max() < 0.03
    assert notes == ["a wild sample clipped"]


@pytest.mark.parametrize("to_peak", [False, True])
def test_clicks_and_beats_that_are_the_sound_stay(tmp_path: Path, to_peak: bool) -> None:
    # A counter that ticks, and one beat of a drum.
    ticks = noisy(3.0, RATE, amplitude=0.001)
    ticks[1000::4000] = 0.9
    time = np.arange(RATE) / RATE
    beat = 0.9 * np.exp(-30 * time) * np.cos(2 * np.pi * 60 * time)
    for wav in (ticks, beat):
        read, notes = repaired(tmp_path / "a", wav, to_peak=to_peak)
        np.testing.assert_allclose(read, wav, atol=1e-6)
        assert notes == []


@pytest.mark.parametrize("to_peak", [False, True])
def test_an_event_of_a_millisecond_is_no_wild_sample(tmp_path: Path, to_peak: bool) -> None:
    knock = 1.5 * np.sin(np.arange(30) * 0.7)
    for amplitude in (0.003, 0.0):
        quiet = noisy(60.0, RATE, amplitude=amplitude)
        quiet[400_000:400_030] = knock
        read, notes = repaired(tmp_path / "a", quiet, to_peak=to_peak)
        np.testing.assert_allclose(read, quiet, atol=1e-6)
        assert notes == []
    # Where all else is silence, one sample is the sound.
    impulse = np.zeros(RATE)
    impulse[800] = 3.0
    read, notes = repaired(tmp_path / "a", impulse, to_peak=to_peak)
    assert read.max() == 3
    assert notes == []


def test_many_channels_that_have_nothing_in_common_do_not_cancel(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).normal(0, 0.1, (RATE, 40))
    only_one = np.zeros((RATE, 40))
    only_one[:, 3] = noisy(1.0, RATE)
    for samples in (channels, only_one):
        wav, notes = repaired(tmp_path / "a", samples)
        np.testing.assert_allclose(wav, samples.mean(axis=1), atol=1e-5)
        assert notes == []


@pytest.mark.parametrize("balance", [1.0, 0.8])
def test_of_channels_that_cancel_each_other_the_louder_is_taken(
    tmp_path: Path, balance: float
) -> None:
    # A constant offset of both must not hide it.
    for offset in (0.0, 0.2):
        stereo = np.stack([-balance * VOICE + offset, VOICE + offset], axis=1)
        wav, notes = repaired(tmp_path / "a", stereo)
        expected = VOICE if balance < 1 else -VOICE
        np.testing.assert_allclose(wav - np.median(wav), expected - np.median(expected), atol=1e-2)
        number = 2 if balance < 1 else 1
        assert notes[0] == f"channels cancel each other: number {number} alone was taken"


def test_other_channels_are_averaged(tmp_path: Path) -> None:
    other = noisy(1.5, RATE, amplitude=0.3, seed=2)
    for channels in ([VOICE, VOICE], [VOICE, 0 * VOICE], [VOICE, other], [VOICE, -0.3 * VOICE]):
        stereo = np.stack(channels, axis=1)
        wav, notes = repaired(tmp_path / "a", stereo)
        np.testing.assert_allclose(wav, stereo.mean(axis=1), atol=1e-6)
        assert notes == []


@pytest.mark.parametrize("offset", [0.3, -0.05])
def test_a_constant_offset_is_removed(tmp_path: Path, offset: float) -> None:
    wav, notes = repaired(tmp_path / "a", VOICE + offset)
    np.testing.assert_allclose(wav, VOICE, atol=0.005)
    assert notes == [f"an offset of {offset:+.3f} removed"]


def test_a_small_offset_and_a_lopsided_sound_stay(tmp_path: Path) -> None:
    time = np.arange(2 * RATE) / RATE
    # It lies above zero on the whole, and ends at zero.
    lopsided = np.exp(-8 * time) * (0.5 + 0.4 * np.sin(2 * np.pi * 100 * time))
    fading = np.exp(-1.2 * time) * (0.5 * np.sin(2 * np.pi * 100 * time) - 0.1)
    ends_in_silence = np.concatenate([0.2 + VOICE, np.zeros(RATE)])
    for wav in (VOICE + 0.004, lopsided, fading, ends_in_silence, np.full(50, 0.3)):
        read, notes = repaired(tmp_path / "a", wav)
        np.testing.assert_allclose(read, wav, atol=1e-6)
        assert notes == []


def test_what_is_not_finite_is_left_for_others_to_refuse(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        samples = VOICE.copy()
        samples[9000] = value
        sf.write(tmp_path / "a", samples, RATE, subtype="FLOAT", format="WAV")
        assert not AudioFile(tmp_path / "a", RATE).measure(trim_db=50).finite
