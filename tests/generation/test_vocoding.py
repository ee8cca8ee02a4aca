"""Recordings resynthesised: alone and in batches, from audio and from frames, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import wavenet
from tests.helpers import BOTH, VOCODER, VOICES, as_checkpoint, network, noisy, tone
from wavenet.audio import mel
from wavenet.config import ModelConfig
from wavenet.errors import AudioError, EngineError, UsageError
from wavenet.generation import mel_frames
from wavenet.generation.conditions import Conditions
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model

RATE = 8000


@pytest.fixture(scope="module")
def model() -> Model:
    return as_checkpoint(network(VOCODER))


def wavs(*samples: int) -> list[Array]:
    return [
        noisy(n / RATE, seed=i, amplitude=0.3).astype(np.float32) for i, n in enumerate(samples)
    ]


@pytest.mark.parametrize(
    ("config", "label"), [(VOCODER, None), (BOTH, "bob")], ids=["mel", "labels and mel"]
)
def test_streams_of_different_length_are_what_each_would_be_alone(
    config: ModelConfig, label: str | None
) -> None:
    model = as_checkpoint(network(config))
    sources = wavs(700, 33, 1500, 1, 700)
    together = wavenet.vocode(model, sources, seed=4, label=label)
    assert [len(w) for w in together] == [700, 33, 1500, 1, 700]
    for source, stream in zip(sources, together, strict=True):
        alone = wavenet.vocode(model, source, seed=4, label=label)
        assert (np.asarray(alone) == stream).all()
    # The two are as long, but follow different frames.
    assert (together[0] != together[4]).any()
    assert wavenet.vocode(model, []) == []


def test_a_vocoder_that_knows_labels_needs_one() -> None:
    model = as_checkpoint(network(BOTH))
    with pytest.raises(UsageError, match="ada, bob") as e:
        wavenet.vocode(model, wavs(100)[0])
    assert e.value.parameter == "label"
    ada, bob = (
        np.asarray(wavenet.vocode(model, wavs(300)[0], label=who)) for who in ("ada", "bob")
    )
    assert (ada != bob).any()


def test_a_quiet_recording_comes_out_as_quiet(model: Model) -> None:
    """With `audio.level = "peak"` the network works at full level; the gain is then undone."""
    config = replace(model.config, audio=replace(model.config.audio, level="peak"))
    levelled = replace(model, config=config)
    (wav,) = wavs(400)
    loud = np.asarray(wavenet.vocode(levelled, wav, seed=1))
    quiet = np.asarray(wavenet.vocode(levelled, wav * np.float32(2**-7), seed=1))
    np.testing.assert_allclose(np.clip(quiet * 2**7, -1, 1), loud, atol=1e-3)
    assert np.abs(loud).max() > 0.1


def test_integers_are_no_audio_to_follow(model: Model) -> None:
    with pytest.raises(AudioError, match="int16") as e:
        wavenet.vocode(model, np.full(50, 30000, np.int16))
    assert e.value.subject == "`wav_or_frames`"


@pytest.mark.parametrize("from_file", [False, True])
def test_a_recording_of_integers_or_with_a_wild_sample_is_followed_as_it_should_be(
    model: Model, tmp_path: Path, from_file: bool
) -> None:
    usual = np.rint(32768 * noisy(0.5, amplitude=0.2)) / 32768
    wild = usual.copy()
    wild[100] = 1e6
    expected = Conditions.from_audio(usual, model, "usual")
    assert expected.notes == ()
    for wav, said in ((32768 * usual, "16-bit integers"), (wild, "a wild sample clipped")):
        if from_file:
            sf.write(tmp_path / "a.wav", wav, RATE, subtype="FLOAT")
            followed = mel_frames.read(tmp_path / "a.wav", model)
        else:
            followed = Conditions.from_audio(wav, model, "a")
        assert followed.gain == 1
        # A window of 32 samples hears the wild one.
        np.testing.assert_allclose(
            followed.values["mel"][20:], expected.values["mel"][20:], atol=2e-3
        )
        assert np.abs(followed.values["mel"] - expected.values["mel"]).max() < 4
        assert said in followed.notes[0]


def test_square_frames_are_read_as_documented(model: Model) -> None:
    frames = np.random.default_rng(0).uniform(-11, 1, (6, 6)).astype(np.float32)
    assert (mel_frames.from_frames(frames, model, "f.npy").values["mel"] == frames).all()


def test_variable_length_blocks_of_any_size_make_the_same(model: Model) -> None:
    conditions = [Conditions.from_audio(w, model, "wav") for w in wavs(300, 41)]
    parts: list[list[Array]] = [[], []]
    for blocks in Sampler(model, seed=1, conditions=conditions).variable_length_blocks(
        [300, 41], 7
    ):
        for stream, wav in blocks:
            parts[stream].append(wav)
    advanced: list[int] = []
    whole = Sampler(model, seed=1, conditions=conditions).collect([300, 41], advanced.append)
    for pieces, wav in zip(parts, whole, strict=True):
        assert (np.concatenate(pieces) == wav).all()
    assert sum(advanced) == 341


def test_frames_computed_elsewhere_act_as_those_of_the_recording(
    model: Model, tmp_path: Path
) -> None:
    (wav,) = wavs(500)
    frames = mel.frames_of(wav, RATE, VOCODER)
    by_audio = np.asarray(wavenet.vocode(model, wav, seed=2))
    by_frames = np.asarray(wavenet.vocode(model, frames, seed=2))
    assert len(by_frames) == len(frames) * VOCODER.frame_hop
    assert (by_frames[:500] == by_audio).all()
    # librosa has (bands, frames).
    np.save(tmp_path / "f.npy", frames.T)
    mel_input = mel_frames.read(tmp_path / "f.npy", model)
    assert (mel_input.values["mel"] == frames).all()


def test_frames_of_other_scales_and_shapes_make_the_same_audio(model: Model) -> None:
    (wav,) = wavs(500)
    frames = mel.frames_of(wav, RATE, VOCODER)
    expected = np.asarray(wavenet.vocode(model, frames, seed=2))
    for scale, array in (
        ("db", 20 / np.log(10) * frames.astype(np.float64)),
        ("linear", np.exp(frames.astype(np.float64))),
        ("ln", frames.T[None]),
        ("ln", frames[None].astype(np.float64)),
    ):
        made = np.asarray(wavenet.vocode(model, array, seed=2, mel_scale=scale))
        np.testing.assert_allclose(made, expected, atol=1e-3)
    # A floor below ours is silence, too.
    lower = np.where(frames < -4, -23.0, frames)
    at_floor = np.where(frames < -4, mel.FLOOR, frames)
    a, b = (np.asarray(wavenet.vocode(model, array, seed=2)) for array in (lower, at_floor))
    assert (a == b).all()
    moved = np.asarray(wavenet.vocode(model, frames, seed=2, mel_offset=3))
    assert (moved != expected).any()
    as_it_is = (VOCODER.mel_low_hz, VOCODER.mel_high_hz)
    assert (np.asarray(wavenet.vocode(model, frames, seed=2, mel_range=as_it_is)) == expected).all()
    for wrong in ({"mel_scale": "mel"}, {"mel_offset": 33}, {"mel_range": (80, 4001)}):
        with pytest.raises(UsageError):
            wavenet.vocode(model, frames, **wrong)


@pytest.mark.parametrize(
    ("frames", "word"),
    [
        (np.zeros((10, 7)), "shape"),
        (np.zeros(10), "shape"),
        (np.zeros((0, 6)), "shape"),
        (np.full((10, 6), np.nan), "finite"),
        (np.full((10, 6), "x"), "finite"),
        (np.linspace(-80, 0, 60).reshape(10, 6), "decibels"),
    ],
)
def test_frames_that_do_not_fit_are_refused(model: Model, frames: Array, word: str) -> None:
    with pytest.raises(EngineError, match=word) as e:
        mel_frames.from_frames(frames, model, "f.npy")
    assert e.value.subject == "f.npy"


def test_files_that_hold_no_frames_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    np.savez(tmp_path / "z.npz", a=np.zeros((10, 6)))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    foreign = [(tmp_path / name).read_bytes() for name in ("z.npz", "pickle.npy")]
    for content in (b"", b"nothing like it", b"\x93NUMPY", *foreign):
        path.write_bytes(content)
        with pytest.raises(AudioError, match="numbers") as e:
            mel_frames.read(path, model)
        assert e.value.subject == path
    with pytest.raises(AudioError, match="no such file"):
        mel_frames.read(tmp_path / "no.npy", model)


def test_clips_take_labels_in_turn_and_a_stream_is_its_label_and_number() -> None:
    voices = as_checkpoint(network(VOICES))
    sampler = Sampler(voices, seed=1, count=5)
    assert sampler.labels == ["ada", "bob", "cy", "ada", "bob"]
    (together,) = sampler.blocks(300)
    bob = Sampler(voices, seed=1, count=5, labels=["bob"])
    (only,) = bob.blocks(300)
    assert (together[1] == only[1]).all()
    assert (together[4] == only[4]).all()
    assert (together[0] != only[0]).any()
    assert (wavenet.generate(voices, seconds=300 / RATE, seed=1, label="ada") == together[0]).all()


def test_a_prompt_is_continued_under_each_label(make_folder: Callable[..., Path]) -> None:
    voices = as_checkpoint(network(VOICES))
    prompt = make_folder({"p.wav": tone(0.05)}) / "p.wav"
    ada, bob = (
        wavenet.generate(voices, seconds=0.02, seed=1, label=who, prompt=prompt)
        for who in ("ada", "bob")
    )
    assert (ada != bob).any()
    continued = read_prompt(prompt, voices)
    sampler = Sampler(voices, seed=1, count=2, labels=["ada"], prompt=continued)
    assert (next(sampler.blocks(160))[0] == ada).all()
