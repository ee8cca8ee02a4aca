"""Frames of other programs: converted where the scale is known, refused where it is not ours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import soundfile as sf
import torch
from scipy.ndimage import uniform_filter

from tests.helpers import STARTER
from wavenet.audio import mel, mel_files, mel_scales
from wavenet.audio.mel_files import FrameFormat, MelFormat
from wavenet.audio.mel_scales import MelStatistics, recognise
from wavenet.config import ModelConfig
from wavenet.errors import UsageError
from wavenet.glossary import Array

RATE = 16000
# As most programs have it.
MODEL = ModelConfig(mel_bands=80)
SPEECH = MelStatistics(middle=-5.3, high=-1.5, roughness=0.25, roughness_in_time=0.17)
NAMES = ("hello-world", "demo-abouttotry", "vm-intro", "digits/1")


def spectra(wav: Array, offset: int = 0) -> tuple[Array, Array]:
    """Mel magnitudes and mel powers (n, 80), the first frame centred on sample `offset`."""
    window, hop = MODEL.frame_window, MODEL.frame_hop
    padded = np.pad(wav, (window // 2 - offset, window))
    spectrum = mel.magnitudes(torch.from_numpy(padded.astype(np.float32))[None], window, hop)[0]
    filters, count = mel.filters(RATE, MODEL), mel.count(len(wav), hop)
    magnitudes, powers = (filters @ spectrum.numpy() ** power for power in (1, 2))
    return magnitudes.T[:count], powers.T[:count]


@cache
def speech() -> list[tuple[Array, Array]]:
    paths = sorted((STARTER / "speech" / "allison").glob("*.flac"))[:6]
    return [spectra(sf.read(path, dtype="float32")[0]) for path in paths]


def excerpts() -> Iterator[tuple[Array, Array]]:
    """Whole recordings and parts of two and of half a second, from -30 to 10 dB as loud."""
    rng = np.random.default_rng(0)
    for magnitudes, powers in speech():
        for gain in 10 ** (np.array([-30, -10, 0, 10]) / 20):
            for length in (len(magnitudes), 125, 40):
                start = rng.integers(max(1, len(magnitudes) - length))
                part = slice(start, start + length)
                yield magnitudes[part] * gain, powers[part] * gain**2


def ln(x: Array, floor: float = 1e-5) -> Array:
    logs: Array = np.log(np.maximum(x, floor))
    return logs


def zero_to_one(magnitudes: Array) -> Array:
    """As r9y9's wavenet_vocoder."""
    decibels = 20 * np.log10(np.maximum(magnitudes, 1e-5)) - 20
    return np.clip((decibels + 100) / 100, 0, 1)


def normalised(magnitudes: Array) -> Array:
    logs = ln(magnitudes)
    scaled: Array = (logs - logs.mean(0)) / np.maximum(logs.std(0), 1e-3)
    return scaled


@pytest.mark.parametrize("trained", [None, SPEECH], ids=["general", "trained"])
def test_natural_logarithms_are_never_refused(trained: MelStatistics | None) -> None:
    seen = 0
    for magnitudes, _ in excerpts():
        kinds = [ln(magnitudes, floor) for floor in (1e-5, 1e-10, 1e-2, 1e-12)]
        # As acoustic models make them.
        kinds += [uniform_filter(ln(magnitudes), size, mode="nearest") for size in ((5, 3), (9, 5))]
        for frames in kinds:
            foreign = recognise(frames, trained)
            assert foreign is None, (foreign, mel_scales.statistics(frames))
            seen += 1
    assert seen > 300


def test_natural_logarithms_that_lie_mostly_at_their_floor_are_not_refused() -> None:
    """Every half second of a guitar, of which a high floor leaves little."""
    wav = sf.read(STARTER / "music" / "guit_harmonics.flac", dtype="float32")[0]
    magnitudes = spectra(wav)[0]
    trained = mel_scales.statistics(ln(magnitudes))
    for start in range(0, len(magnitudes) - 40, 4):
        assert recognise(ln(magnitudes[start : start + 40], 1e-2), trained) is None


def test_natural_logarithms_of_next_to_nothing_are_not_refused() -> None:
    fading = speech()[0][0] * np.geomspace(1, 1e-7, 80)
    assert -27.6 < ln(fading, 1e-12).min() < -23.5
    assert recognise(ln(fading, 1e-12), SPEECH) is None


@pytest.mark.parametrize("trained", [None, SPEECH], ids=["general", "trained"])
@pytest.mark.parametrize("frames", [np.zeros((200, 80)), np.zeros((3, 80))])
def test_silence_and_a_few_frames_are_not_refused(
    frames: Array, trained: MelStatistics | None
) -> None:
    for floor in (1e-5, 1e-10, 1e-2):
        assert recognise(ln(frames, floor), trained) is None
    noise = np.random.default_rng(0).uniform(-11, 1, frames.shape)
    assert recognise(noise[:3], trained) is None


FOREIGN: list[tuple[str, Callable[[Array, Array], Array], str, float, float]] = [
    ("log10", lambda m, p: np.log10(np.maximum(m, 1e-10)), "base-10", 0.5, 0.5),
    ("decibels", lambda m, p: 20 * np.log10(np.maximum(m, 1e-5)), "decibels", 1, 1),
    ("of power", lambda m, p: 10 * np.log10(np.maximum(p, 1e-10)), "decibels", 1, 1),
    ("0 ... 1", lambda m, p: zero_to_one(m), "0 ... 1", 1, 0.95),
    ("-4 ... 4", lambda m, p: 8 * zero_to_one(m) - 4, "-4 ... 4", 0.9, 0.9),
    ("mean and variance", lambda m, p: normalised(m), "mean and variance", 1, 0.95),
    ("linear", lambda m, p: m, "magnitudes", 1, 0.8),
    ("log1p", lambda m, p: np.log1p(m), "magnitudes", 1, 0.8),
    ("power", lambda m, p: p, "powers", 1, 0.95),
]


@pytest.mark.parametrize("trained", [None, SPEECH], ids=["general", "trained"])
@pytest.mark.parametrize(
    ("name", "scale", "noun", "refused", "named"), FOREIGN, ids=[f[0] for f in FOREIGN]
)
def test_other_scales_are_refused_nearly_always_and_most_often_by_name(
    name: str,
    scale: Callable[[Array, Array], Array],
    noun: str,
    refused: float,
    named: float,
    trained: MelStatistics | None,
) -> None:
    """Base-10 logarithms, which only their statistics tell, in half of all excerpts."""
    found = [recognise(scale(m, p).astype(np.float32), trained) for m, p in excerpts()]
    nouns = [foreign.noun for foreign in found if foreign is not None]
    assert len(nouns) >= refused * len(found), f"{len(nouns)} of {len(found)}"
    assert sum(noun in each for each in nouns) >= named * len(found), nouns


@pytest.mark.parametrize("trained", [None, SPEECH], ids=["general", "trained"])
def test_base_10_logarithms_of_speech_as_loud_as_usual_are_told(
    trained: MelStatistics | None,
) -> None:
    found = [recognise(np.log10(np.maximum(m, 1e-5)), trained) for m, _ in speech()]
    told = [foreign.advice for foreign in found if foreign is not None]
    # The pauses of one recording are far quieter than those of the others.
    assert told == ["add `mel_scale` log10"] * 5


def test_values_far_above_what_was_trained_on_are_normalised_ones() -> None:
    """Mean and variance of a corpus, not of this recording."""
    for magnitudes, _ in speech():
        logs = ln(magnitudes)
        assert recognise(logs + 1.15, SPEECH) is None
        foreign = recognise((logs + 9) / 2, SPEECH)
        assert foreign is not None
        assert "mean and variance" in foreign.noun


def test_a_model_of_recordings_50_db_quieter_takes_frames_of_loud_ones() -> None:
    quiet = replace(SPEECH, middle=SPEECH.middle - 5.76, high=SPEECH.high - 5.76)
    for magnitudes, _ in speech():
        assert recognise(ln(magnitudes), quiet) is None


@pytest.mark.parametrize(
    ("scale", "of"),
    [
        ("log10", lambda x: np.log10(np.maximum(x, 1e-10))),
        ("db", lambda x: 20 * np.log10(np.maximum(x, 1e-10))),
        ("log1p", np.log1p),
        ("linear", lambda x: x),
    ],
)
def test_scales_of_magnitude_are_converted_exactly(
    scale: str, of: Callable[[Array], Array]
) -> None:
    magnitudes = speech()[0][0].astype(np.float64)
    ours = mel_scales.converted(of(magnitudes), scale, MODEL.frame_window / RATE)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, ln(magnitudes), atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "of"),
    [
        ("ln-power", np.log),
        ("log10-power", np.log10),
        ("db-power", lambda x: 10 * np.log10(x)),
        ("power", lambda x: x),
    ],
)
def test_scales_of_power_are_converted_to_within_a_decibel(
    scale: str, of: Callable[[Array], Array]
) -> None:
    for magnitudes, powers in speech():
        ours = mel_scales.converted(of(np.maximum(powers, 1e-12)), scale, MODEL.frame_window / RATE)
        heard = magnitudes > 1e-4
        off = 20 / np.log(10) * (ours - ln(magnitudes))[heard]
        assert abs(off.mean()) < 0.3
        assert off.std() < 1.2


def test_a_scale_that_frames_are_not_of_is_refused() -> None:
    logs = ln(speech()[0][0])
    format = FrameFormat(MODEL, RATE, MelFormat("linear"), trained=SPEECH)
    problem = format.problem(logs)
    assert problem is not None
    assert "below 0" in problem.reason
    assert format._replace(made=MelFormat("db")).problem(logs / 10) is not None
    right = format._replace(made=MelFormat("log10"))
    assert right.problem(np.log10(speech()[0][0] + 1e-5)) is None


def test_scales_and_offsets_that_there_are_not_are_refused() -> None:
    for wrong in ({"scale": "htk"}, {"offset": 1025}, {"offset": -1025}):
        with pytest.raises(UsageError) as e:
            MelFormat()._replace(**wrong).check(MODEL, RATE)
        assert e.value.parameter == f"mel_{next(iter(wrong))}"
    MelFormat(offset=-1024).check(MODEL, RATE)


def test_frames_come_by_time_or_by_band_and_in_a_batch_of_one() -> None:
    frames = np.random.default_rng(0).standard_normal((7, 5))
    for array in (frames, frames.T, frames[None], frames.T[None]):
        assert (mel_files.arranged(array, 5) == frames).all()
    for shape in ((2, 7, 5), (7, 4), (35,), (1, 1, 7, 5), (0, 5), (1, 0, 5)):
        assert mel_files.arranged(np.zeros(shape), 5) is None
    square = np.arange(25).reshape(5, 5)
    assert (mel_files.arranged(square[None], 5) == square).all()


@pytest.mark.parametrize("offset", [128, -128, 64, 512])
def test_frames_that_are_centred_elsewhere_become_those_that_are_centred_as_ours(
    offset: int,
) -> None:
    wav = sf.read(STARTER / "speech" / "allison" / "hello-world.flac", dtype="float32")[0]
    centred, elsewhere = ln(spectra(wav)[0]), ln(spectra(wav, offset)[0])
    format = FrameFormat(MODEL, RATE, MelFormat(offset=offset))
    ours = format.ours(elsewhere)
    assert ours.shape == centred.shape
    inside = slice(4, -4)
    before = np.sqrt(((elsewhere - centred)[inside] ** 2).mean())
    after = np.sqrt(((ours - centred)[inside] ** 2).mean())
    # Half a hop is the hardest: half of a frame there is of either neighbour.
    assert after < 0.6 * before
    assert after < 0.25
    if offset % MODEL.frame_hop == 0:
        np.testing.assert_allclose(ours[inside], centred[inside], atol=1e-2)
    # The wrong way is worse than nothing.
    wrong = format._replace(made=MelFormat(offset=-offset)).ours(elsewhere)
    assert np.sqrt(((wrong - centred)[inside] ** 2).mean()) > before


def test_frames_of_louder_sound_are_those_of_a_louder_recording() -> None:
    magnitudes = speech()[0][0]
    louder = mel_scales.louder(ln(magnitudes).astype(np.float32), float(np.log(0.1)))
    np.testing.assert_allclose(louder, ln(0.1 * magnitudes), atol=1e-5)
    silent = np.full((3, 80), mel_scales.FLOOR, np.float32)
    assert (mel_scales.louder(silent, 1.0) == silent).all()


def test_what_a_model_was_trained_on_says_what_its_frames_look_like() -> None:
    """A sine in noise, which differs from any speech: the recordings of recipe R05."""
    rng = np.random.default_rng(0)
    n = np.arange(24000)
    sounds = [0.3 * np.sin(n * (0.05 + 0.013 * i)) for i in range(3)]
    sounds = [sound + 0.01 * rng.standard_normal(len(n)) for sound in sounds]
    magnitudes = spectra(sounds[2])[0]
    trained = mel_scales.statistics(ln(spectra(sounds[0])[0]))
    assert trained is not None
    assert recognise(ln(magnitudes), trained) is None
    for frames in (
        np.log10(np.maximum(magnitudes, 1e-10)),
        zero_to_one(magnitudes),
        8 * zero_to_one(magnitudes) - 4,
        normalised(magnitudes),
        magnitudes,
    ):
        assert recognise(frames, trained) is not None
    # And noise that is trained on is not mistaken for speech in another scale.
    assert recognise(ln(magnitudes), replace(trained, middle=trained.middle + 1)) is None
