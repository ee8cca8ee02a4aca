"""Noise, prompts, and samples: the same for a seed, however they are drawn."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import wavenet
from tests.helpers import SMALL, as_checkpoint, network, tone
from wavenet.config import AudioConfig, Config
from wavenet.errors import UsageError
from wavenet.generation.noise import uniforms
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler


def test_noise_is_the_same_however_it_is_cut() -> None:
    whole = uniforms(5, 2, 0, 100)
    parts = [uniforms(5, 2, a, b - a) for a, b in [(0, 1), (1, 7), (7, 8), (8, 64), (64, 100)]]
    assert (np.concatenate(parts) == whole).all()
    assert (uniforms(5, 3, 0, 100) != whole).any()
    assert (uniforms(6, 2, 0, 100) != whole).any()


def test_large_seeds_differ() -> None:
    assert (uniforms(2**63, 0, 0, 50) != uniforms(2**63 + 1, 0, 0, 50)).any()
    assert (uniforms(2**64 - 1, 0, 0, 50) != uniforms(2**63, 0, 0, 50)).any()


def test_noise_is_uniform_and_strictly_inside() -> None:
    noise = uniforms(0, 0, 0, 200_000)
    assert noise.dtype == np.float32
    assert 0 < noise.min() < 1e-4
    assert 1 - 1e-4 < noise.max() < 1
    counts = np.histogram(noise, 10, (0, 1))[0]
    assert np.abs(counts - 20_000).max() < 600


def test_noise_is_pinned() -> None:
    """The same seed must give the same audio in years to come."""
    scaled = uniforms(7, 0, 0, 4).astype(np.float64) * 2**23 - 0.5
    assert (scaled == np.round(scaled)).all()
    assert scaled.astype(int).tolist() == [7315482, 2477704, 3524034, 3400676]


def test_the_library_in_four_lines() -> None:
    model = as_checkpoint(network(SMALL))
    wav = wavenet.generate(model, seconds=0.1, seed=7)
    assert wav.shape == (800,)
    assert wav.dtype == np.float32
    assert (wav == wavenet.generate(model, seconds=0.1, seed=7)).all()
    assert (wav != wavenet.generate(model, seconds=0.1, seed=8)).any()
    several = wavenet.generate(model, seconds=0.1, seed=7, count=3)
    assert several.shape == (3, 800)
    assert (several[0] == wav).all()


def test_blocks_of_any_size_make_the_same_audio() -> None:
    model = as_checkpoint(network(SMALL))
    whole = np.stack(Sampler(model, seed=1, count=2).collect([300, 300]))
    pieces = np.concatenate(list(Sampler(model, seed=1, count=2).blocks(300, 7)), axis=1)
    sampler = Sampler(model, seed=1, count=2)
    stopped = np.concatenate([*sampler.blocks(100), *sampler.blocks(200)], axis=1)
    assert (whole == pieces).all()
    assert (whole == stopped).all()


def test_memory_does_not_grow_with_length() -> None:
    model = as_checkpoint(network(SMALL))

    def peak(samples: int) -> int:
        sampler = Sampler(model, seed=1, engine="numba")
        # The first block compiles the kernels.
        next(sampler.blocks(1))
        tracemalloc.start()
        for _ in sampler.blocks(samples):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(200_000) < 2 * peak(5_000)


def test_a_prompt_is_continued_at_its_own_level(make_folder: Callable[..., Path]) -> None:
    """With `audio.level = "peak"`, a quiet prompt and the same one louder continue alike.

    Each continuation has the loudness of its prompt.
    """
    plain = as_checkpoint(network(SMALL))
    config = Config(audio=AudioConfig(sample_rate=8000, level="peak"), model=SMALL)
    model = wavenet.Model(config, plain.arrays)
    folder = make_folder(
        {"loud.wav": tone(0.5, amplitude=0.8), "quiet.wav": tone(0.5, amplitude=0.08)}
    )
    loud = wavenet.generate(model, 0.1, 1, prompt=folder / "loud.wav")
    quiet = wavenet.generate(model, 0.1, 1, prompt=folder / "quiet.wav")
    np.testing.assert_allclose(quiet * 10, loud, rtol=1e-3)
    assert (loud != wavenet.generate(model, 0.1, 1)).any()


def test_a_prompt_of_any_length_and_rate_continues(make_folder: Callable[..., Path]) -> None:
    model = as_checkpoint(network(SMALL))
    full = tone(2.0, amplitude=0.8)
    folder = make_folder({"long.wav": full, "end.wav": full[-11:], "two.wav": full[-2:]})
    continued = wavenet.generate(model, 0.05, 3, prompt=folder / "long.wav")
    # Only the last samples matter, as many as the receptive field has.
    assert (continued == wavenet.generate(model, 0.05, 3, prompt=folder / "end.wav")).all()
    assert (continued != wavenet.generate(model, 0.05, 3, prompt=folder / "two.wav")).any()
    several = wavenet.generate(model, 0.05, 3, count=3, prompt=folder / "long.wav")
    assert (several[0] == continued).all()
    assert (several[1] != continued).any()
    sf.write(folder / "fast.wav", tone(1.0, 44100), 44100)
    assert len(read_prompt(folder / "fast.wav", model).x) == 11


WRONG = {"seconds": 0, "count": 0, "seed": -1, "engine": "warp", "temperature": -1, "label": "ada"}


@pytest.mark.parametrize(("parameter", "value"), WRONG.items())
def test_an_argument_out_of_range_is_named(parameter: str, value: Any) -> None:
    with pytest.raises(UsageError) as e:
        wavenet.generate(as_checkpoint(network(SMALL)), **{parameter: value})
    assert (e.value.parameter, str(e.value.value)) == (parameter, str(value))


WRONG_FOR_A_SAMPLER: dict[str, Any] = {
    "model": "demo-voice",
    "seed": None,
    "count": 1.5,
    "first": -1,
    "sampling": 0.9,
    "engine": 3,
    "options": "fp32",
    "prompt": np.zeros(9),
    "labels": "ada",
}


@pytest.mark.parametrize("parameter", WRONG_FOR_A_SAMPLER)
def test_a_sampler_names_the_argument_that_does_not_fit(parameter: str) -> None:
    right = {"model": as_checkpoint(network(SMALL)), "seed": 1, "engine": "reference"}
    with pytest.raises(ValueError, match=f"^`{parameter}`") as e:
        Sampler(**right | {parameter: WRONG_FOR_A_SAMPLER[parameter]})
    assert isinstance(e.value, UsageError)


def test_a_sampler_makes_a_number_of_samples_for_each_stream() -> None:
    sampler = Sampler(as_checkpoint(network(SMALL)), seed=1, count=2, engine="reference")
    for samples in ([5], 5, [5, -1], [5, 0.5]):
        with pytest.raises(UsageError, match="`samples`"):
            sampler.collect(samples)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`block` 0: must be 1"):
        next(sampler.blocks(5, block=0))
    assert sampler.time == 0
