"""With linear prediction a network's codes are an excitation, from windows to audio and bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import wavenet
from tests.helpers import VOCODER, as_checkpoint, network, noisy, tone, write_recordings
from tests.helpers import wavenet as command
from wavenet.audio import linear_prediction, mel
from wavenet.config import Config, ModelConfig
from wavenet.data import dataset as dataset_module
from wavenet.data import varispeed
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.pcm_cache import index_folder
from wavenet.engines import create_engine
from wavenet.errors import ConfigError, UsageError
from wavenet.generation.conditions import Conditions
from wavenet.generation.sampler import Sampler
from wavenet.generation.voicing import Concentration
from wavenet.glossary import Array, Samples
from wavenet.model.conditioning.front_end import Source
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.target import target_of

RATE = 8000
EXCITED = replace(
    VOCODER, mel_bands=20, frame_hop=32, frame_window=256, linear_prediction=8, output="logistic"
)


def recording(seconds: float = 0.6, seed: int = 0) -> Array:
    """A tone that swells, in noise, with 16-bit samples."""
    wav = tone(seconds, RATE) * np.linspace(0.05, 1, round(seconds * RATE))
    return np.rint(32768 * (wav + noisy(seconds, RATE, seed, 0.003))) / 32768


def source_of(wav: Array) -> Source:
    return Source((32768 * wav).astype(np.int16), 0)


def codes_of(wav: Array, model: ModelConfig) -> Samples:
    target = target_of(model, RATE, source_of(wav), 0, len(wav))
    return distribution_for(model).encode(target)


@pytest.mark.parametrize("output", ["logistic", "mulaw"])
def test_the_excitation_of_a_recording_is_played_as_the_recording(output: Any) -> None:
    wav, model = recording(), replace(EXCITED, output=output, levels=1024)
    codes, checkpoint = codes_of(wav, model), as_checkpoint(network(model))
    engine = create_engine("reference", model, checkpoint.weights)
    done = 0

    def generate(state: object, noise: Array, *_: object) -> Samples:
        nonlocal done
        done += noise.shape[1]
        return codes[None, done - noise.shape[1] : done]

    engine.generate = generate  # type: ignore[method-assign]
    conditions = [Conditions.from_audio(wav, checkpoint, "wav")]
    sampler = Sampler(checkpoint, seed=0, engine=engine, conditions=conditions)
    played = np.concatenate([block[0] for block in sampler.blocks(len(wav), block=300)])
    error = np.sqrt(np.mean((played - wav) ** 2) / np.mean(wav**2))
    assert error < (1e-3 if output == "logistic" else 0.05)


def dataset(folder: Path, config: Config, **train: Any) -> WindowDataset:
    config = replace(config, model=EXCITED, train=replace(config.train, **train))
    return WindowDataset(Corpus.open(index_folder(folder, config.audio, trim=False), config))


def test_windows_hold_the_excitation_of_their_recording(
    small_config: Config, tmp_path: Path
) -> None:
    wavs = {f"{i}.wav": recording(seed=i) for i in range(4)}
    windows = dataset(write_recordings(tmp_path / "r", wavs), small_config)
    span = windows.corpus.training[0]
    codes = codes_of(wavs[span.recording.name], EXCITED)
    for start in (0, 320, 1600):
        x = windows.window(span, start).x
        first = start - windows.receptive_field
        assert (x[max(0, -first) :] == codes[max(0, first) : first + len(x)]).all()
        assert (x[: max(0, -first)] == windows.corpus.distribution.silence).all()
        # However loud, it is the same, and its frames are louder.
        louder = windows.window(span, start, 2.0)
        assert (louder.x == x).all()
        plain = windows.window(span, start).conditioning_input.values["mel"]
        assert (louder.conditioning_input.values["mel"] != plain).any()


def test_windows_that_glide_hold_an_excitation(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wavs = {f"{i}.wav": recording(seed=i) for i in range(4)}
    windows = dataset(write_recordings(tmp_path / "r", wavs), small_config, augment_pitch=3.0)
    played = []

    def keep(*call: Any) -> Any:
        played.append(varispeed.played(*call))
        return played[-1]

    monkeypatch.setattr(dataset_module, "varispeed", SimpleNamespace(**vars(varispeed)))
    monkeypatch.setattr(dataset_module.varispeed, "played", keep)
    batch, first = windows.batch(3), windows.receptive_field
    for x, (source, at, begin) in zip(batch.x, played, strict=True):
        # The whole that was played, by its own frames.
        codes = codes_of(source.pcm / 32768, EXCITED)
        begin = max(at - first, begin)
        expected = codes[begin : at + len(x) - first]
        assert (x[begin - at + first :][: len(expected)] == expected).mean() > 0.98
    plain = dataset(tmp_path / "r", small_config).batch(3)
    assert (batch.x != plain.x).any()


@pytest.mark.parametrize(("hop", "context"), [(16, 0), (80, 0), (32, 2)])
def test_a_part_has_the_filters_of_the_whole(hop: int, context: int) -> None:
    wav, rng = recording(), np.random.default_rng(0)
    model = replace(EXCITED, frame_hop=hop, frame_context=context)
    frames = mel.frames_of(wav.astype(np.float32), RATE, model)
    # Frames of others are read beside the recording.
    given = Source(source_of(wav).pcm, 0, {"mel": lambda low, high: frames[low:high]})
    for source in (source_of(wav), given):
        whole = target_of(model, RATE, source, 0, len(wav))
        for start in rng.integers(0, len(wav) - 400, 8):
            part = target_of(model, RATE, source, start, start + 400)
            np.testing.assert_allclose(part, whole[start : start + 400], atol=1e-5)


def test_a_long_recording_is_predicted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    wav = recording()
    whole = target_of(EXCITED, RATE, source_of(wav), 0, len(wav))
    monkeypatch.setattr(linear_prediction, "PIECE_BLOCKS", 3)
    assert (target_of(EXCITED, RATE, source_of(wav), 0, len(wav)) == whole).all()


def test_frames_that_no_sound_has_make_numbers() -> None:
    frames = np.full((30, 20), -5.0)
    # Silence is at our floor, so they are taken for ours.
    frames[0], frames[7:9] = mel.FLOOR, 400
    vocoder = as_checkpoint(network(EXCITED))
    assert np.isfinite(np.asarray(wavenet.vocode(vocoder, frames, seed=1))).all()


def test_scores_are_of_the_excitation() -> None:
    wav, model = recording(), as_checkpoint(network(EXCITED))
    parallel = wavenet.score(model, wav)
    by_engine = wavenet.score(model, wav, engine="reference")
    assert by_engine.bits_per_sample == pytest.approx(parallel.bits_per_sample, abs=1e-4)
    # A recording half as loud has the same.
    softer = wavenet.score(model, wav / 2)
    assert softer.bits_per_sample == pytest.approx(parallel.bits_per_sample, abs=0.05)


def test_a_run_with_linear_prediction_trains_plays_and_is_scored(
    make_folder: Callable[..., Path], small_config: Config, tmp_path: Path
) -> None:
    folder = make_folder({f"{i}.wav": recording(seed=i) for i in range(5)})
    config, run = tmp_path / "excited.toml", tmp_path / "run"
    train = replace(small_config.train, sample_seconds=0.1)
    config.write_text(replace(small_config, model=EXCITED, train=train).to_toml(), "utf-8")
    trained = command("train", folder, "--config", config, "-o", run)
    assert trained.exit_code == 0, trained.output
    assert "no sample rendered" not in trained.output
    assert list((run / "samples").glob("*.wav"))
    played = command("vocode", run, folder / "0.wav", "-o", tmp_path / "0.wav", "--seed", 1)
    assert played.exit_code == 0, played.output
    scored = command("evaluate", run, folder, "--vocoded", 1)
    assert scored.exit_code == 0, scored.output
    assert "bits per 16-bit sample of the excitation over" in scored.output
    assert "F0 %" in scored.output


def test_linear_prediction_needs_mel_frames() -> None:
    with pytest.raises(ConfigError, match="needs model\\.mel_bands above 0"):
        ModelConfig(linear_prediction=16)


def test_draws_are_held_together_where_harmonics_stand_out() -> None:
    model = ModelConfig(mel_bands=80, mel_high_hz=4000.0)
    time = np.arange(2 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    wav = np.where(time < 1, 0.1 * np.asarray(voice), noisy(2.0, RATE)).astype(np.float32)
    concentration = Concentration(mel.frames_of(wav, RATE, model), model)
    factors = concentration(0, len(wav) + 1000)
    assert np.median(factors[:7000]) == pytest.approx(0.6, abs=0.02)
    assert np.median(factors[9000:]) > 0.9
    assert (concentration(5000, 6000) == factors[5000:6000]).all()


def test_audio_is_no_prompt_for_an_excitation() -> None:
    wav, model = recording(), as_checkpoint(network(EXCITED))
    conditions = [Conditions.from_audio(wav, model, "wav")]
    prompt = wavenet.read_prompt(wav, model)
    with pytest.raises(UsageError, match="predicts an excitation"):
        Sampler(model, seed=0, prompt=prompt, conditions=conditions)
