"""What `wavenet.generate` and `wavenet.vocode` take and give in Python."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch

import wavenet
from tests.helpers import SMALL, VOCODER, as_checkpoint, network, tone
from tests.helpers import wavenet as command
from wavenet.errors import AudioError, EngineError, UsageError
from wavenet.generation.prompt import read_prompt
from wavenet.model.checkpoint import Model

RATE = 8000


@pytest.fixture(scope="module")
def model() -> Model:
    return as_checkpoint(network(SMALL))


def test_a_model_may_be_a_path_or_a_name(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    model.save(path)
    expected = np.asarray(wavenet.generate(model, 0.05, 7))
    for source in (path, str(path)):
        assert (wavenet.generate(source, 0.05, 7) == expected).all()
    assert wavenet.generate("demo-voice", 0.01).sample_rate == 16000
    assert wavenet.load(path).name == "mine"


def test_a_network_is_no_model_yet_and_the_error_says_what_makes_one(model: Model) -> None:
    for call in (wavenet.generate, wavenet.vocode, wavenet.score):
        with pytest.raises(UsageError, match=r"is a WaveNet, .*wavenet\.Model\.from_network") as e:
            call(model.network(), np.zeros(9))  # type: ignore[operator]
        assert e.value.parameter == "model"


def test_a_prompt_is_a_file_or_an_array_at_any_rate(model: Model, tmp_path: Path) -> None:
    wav = tone(0.3).astype(np.float32)
    sf.write(tmp_path / "p.wav", wav, RATE, subtype="FLOAT")
    expected = np.asarray(wavenet.generate(model, 0.05, 1, prompt=tmp_path / "p.wav"))
    prompts: list[Any] = [
        str(tmp_path / "p.wav"),
        wav,
        wav.astype(np.float64),
        sf.read(tmp_path / "p.wav"),
        wavenet.Audio(wav, RATE),
        read_prompt(wav, model),
    ]
    for prompt in prompts:
        assert (wavenet.generate(model, 0.05, 1, prompt=prompt) == expected).all()
    assert (wavenet.generate(model, 0.05, 1) != expected).any()
    fast = tone(0.3, 3 * RATE).astype(np.float32)
    resampled = soxr.resample(fast, 3 * RATE, RATE)
    for prompt in ((fast, 3 * RATE), wavenet.Audio(fast, 3 * RATE)):
        np.testing.assert_array_equal(read_prompt(prompt, model).x, read_prompt(resampled, model).x)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (np.zeros((2, 100)), "`prompt`: has shape (2, 100) instead of (time,); give the samples"),
        (np.full(100, 3000, np.int16), "`prompt`: holds int16 numbers; give floats in -1 ... 1"),
        ((np.zeros(9), 0.5), "`prompt`: has a rate of 0.5; give it in Hz, as in (wav, 44100)"),
        *(
            ((np.zeros(9), rate), f"`prompt`: has a rate of {rate}; give it in Hz")
            for rate in (0, None, False, np.inf, "8k")
        ),
        ((np.zeros(9), RATE, 1), "`prompt`: is a tuple of 3; give (wav, rate)"),
        ((RATE, np.zeros(9)), "`prompt`: is a tuple of (rate, wav); give (wav, rate)"),
        ((np.zeros(9), np.zeros(9)), "`prompt`: is a tuple, but not of (wav, rate); several"),
        (("a.wav", "b.wav"), "`prompt`: is a tuple, but not of (wav, rate); several"),
        (3, "`prompt`: has shape () instead of (time,)"),
        (object(), "`prompt`: is of type object; give a path, an array"),
        (np.full(100, np.nan), "`prompt`: holds NaN or infinite samples; repair it first"),
        (np.zeros(100), "`prompt`: is silent; leave out `prompt` to start from silence"),
        (np.zeros(1), "`prompt`: holds 1 samples; a prompt needs at least 2"),
    ],
)
def test_what_is_no_prompt_is_refused_by_name(model: Model, prompt: Any, message: str) -> None:
    with pytest.raises(AudioError) as e:
        wavenet.generate(model, prompt=prompt)
    assert str(e.value).startswith(message)


def test_without_a_seed_a_new_one_is_drawn_and_told(model: Model) -> None:
    first, second = (wavenet.generate(model, 0.05, seed=None) for _ in range(2))
    assert first.seed != second.seed
    assert (wavenet.generate(model, 0.05, seed=first.seed) == first).all()
    assert wavenet.generate(model, 0.05, seed=3).seed == 3


def test_clips_are_saved_as_the_command_writes_them(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "mine.safetensors")
    options = ("--seconds", 0.05, "--seed", 7, "--count", 2, "-o", tmp_path / "cli.wav")
    assert command("generate", tmp_path / "mine.safetensors", *options).exit_code == 0
    clips = wavenet.generate(tmp_path / "mine.safetensors", 0.05, seed=7, count=2)
    clips.save(tmp_path / "python.wav")
    clips[1].save(tmp_path / "second.wav")
    for ours, theirs in (("python-1", "cli-1"), ("python-2", "cli-2"), ("second", "cli-2")):
        content = (tmp_path / f"{ours}.wav").read_bytes()
        assert content == (tmp_path / f"{theirs}.wav").read_bytes()


def test_vocode_takes_files_arrays_and_pairs(tmp_path: Path) -> None:
    vocoder = as_checkpoint(network(VOCODER))
    wav = tone(0.05).astype(np.float32)
    sf.write(tmp_path / "a.wav", wav, RATE, subtype="FLOAT")
    np.save(tmp_path / "a.npy", np.full((50, 6), -5.0))
    expected = np.asarray(wavenet.vocode(vocoder, wav, seed=1))
    assert expected.shape == wav.shape
    for source in (tmp_path / "a.wav", (wav, RATE)):
        assert (wavenet.vocode(vocoder, source, seed=1) == expected).all()
    several = wavenet.vocode(vocoder, [(wav, RATE), tmp_path / "a.npy", wav], seed=1)
    assert [len(wav) for wav in several] == [400, 400, 400]
    assert (several[0] == expected).all()
    assert several[1].tags[0]["title"].startswith("Synthetic audio (resynthesis from mel frames)")
    assert len(wavenet.vocode(vocoder, (tone(0.1, 2 * RATE), 2 * RATE))) == 800
    assert wavenet.vocode(vocoder, [], seed=None) == []


def test_a_tensor_that_needs_gradients_is_a_prompt_and_frames(model: Model) -> None:
    wav = torch.from_numpy(tone(0.3)).requires_grad_()
    expected = wavenet.generate(model, 0.05, 1, prompt=tone(0.3))
    for prompt in (wav, (wav, RATE)):
        assert (wavenet.generate(model, 0.05, 1, prompt=prompt) == expected).all()
    vocoder = as_checkpoint(network(VOCODER))
    frames = torch.full((50, 6), -5.0, requires_grad=True)
    expected = wavenet.vocode(vocoder, frames.detach().numpy())
    assert (wavenet.vocode(vocoder, frames) == expected).all()


def test_a_prompt_is_for_models_of_its_rate_and_codes(model: Model) -> None:
    prompt = read_prompt(tone(0.3), model)
    for other, reason in (
        (as_checkpoint(network(SMALL), 16000), "was read for a model of 8000 Hz, and this one"),
        (
            as_checkpoint(network(replace(SMALL, output="logistic"))),
            "was read for a model of 32 levels, and this one is of 65536",
        ),
    ):
        with pytest.raises(UsageError, match=reason) as e:
            wavenet.generate(other, 0.05, prompt=prompt)
        assert e.value.parameter == "prompt"


def test_models_and_prompts_are_compared_by_what_they_are(model: Model) -> None:
    prompt = read_prompt(tone(0.3), model)
    for thing in (model, prompt):
        assert thing in {thing}
        assert thing != copy.deepcopy(thing)


VOCODER_MODEL = as_checkpoint(network(VOCODER))
FRAMES = np.full((50, 6), -5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: wavenet.generate(m, "2"), "`seconds` 2: must be a number"),
        (lambda m: wavenet.generate(m, None), "`seconds` None: must be a number"),
        (lambda m: wavenet.generate(m, 0.1, True), "`seed` True: must be an integer"),
        (lambda m: wavenet.generate(m, 0.1, engine=3), "`engine` of type int: must be of type"),
        (lambda m: wavenet.generate(m, 0.1, prompt=""), "`prompt`: is empty"),
        (lambda m: wavenet.generate(""), "`source`: is empty"),
        (lambda m: wavenet.load(None), "`source` of type NoneType: must be a path"),
        (lambda m: wavenet.read_prompt(FRAMES[0], "tiny"), "`model` of type str"),
        (lambda m: wavenet.vocode(VOCODER_MODEL, FRAMES, mel_offset="1"), "`mel_offset` '1': must"),
        (lambda m: wavenet.vocode(VOCODER_MODEL, [], mel_offset=1.5), "`mel_offset` 1.5: must"),
        (lambda m: wavenet.vocode(VOCODER_MODEL, FRAMES, mel_scale=None), "`mel_scale` None: must"),
        (lambda m: wavenet.vocode(VOCODER_MODEL, ""), "`wav_or_frames`: is empty"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_by_name(
    model: Model, call: Callable[[Model], Any], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        call(model)


def test_which_of_several_cannot_be_vocoded_is_said() -> None:
    with pytest.raises(EngineError) as e:
        wavenet.vocode(VOCODER_MODEL, [FRAMES, FRAMES[:, :3]])
    assert e.value.subject == "`wav_or_frames[1]`"
    with pytest.raises(AudioError, match="`wav_or_frames`: is a tuple, but not of"):
        wavenet.vocode(VOCODER_MODEL, (tone(0.1), tone(0.1)))  # type: ignore[arg-type]
