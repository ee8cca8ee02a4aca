"""It learns: a chord of a second is predicted almost without doubt, and that chord is generated."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wavenet
from tests.helpers import STARTER, noisy, tone, train_run
from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig
from wavenet.glossary import Array
from wavenet.training.run_folder import Run
from wavenet.training.session import train

RATE = 2000
AUDIO = AudioConfig(sample_rate=RATE, trim=False)
TRAINING = TrainConfig(learning_rate=1e-2, warmup_steps=20, sample_seconds=0)
CHORD = (155.56, 196.00, 233.08)  # Hz


def chord_power_share(wav: Array) -> float:
    """The part of the power that lies within 4 Hz of the three tones, 0 ... 1."""
    power = np.abs(np.fft.rfft(wav * np.hanning(len(wav)))) ** 2
    hertz = np.fft.rfftfreq(len(wav), 1 / RATE)
    near = np.min([np.abs(hertz - f) for f in CHORD], axis=0) < 4
    return float(power[near].sum() / power.sum())


@pytest.mark.slow
def test_a_chord_is_learnt_and_played(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    wav = sum(tone(1.0, RATE, f, 0.3) for f in CHORD)
    folder = make_folder({"chord.wav": wav}, RATE)
    model = ModelConfig(
        layers=14,
        dilation_cycle=64,
        residual_channels=24,
        gate_channels=48,
        skip_channels=48,
        head_channels=48,
        levels=256,
    )
    training = replace(TRAINING, steps=200, batch=2, segment_seconds=0.4)
    config = Config(name="chord", audio=AUDIO, model=model, train=training)
    (tmp_path / "chord.toml").write_text(config.to_toml())
    run = train(folder, config=str(tmp_path / "chord.toml"), out=tmp_path / "run")
    nats = [m["train_bits"] for m in Run(run.folder).metrics() if "train_bits" in m][-1] * np.log(2)
    assert nats < 0.1, f"{nats:.3f} nats per sample"
    generated = wavenet.generate(wavenet.load(run.folder), seconds=0.9, seed=0, temperature=0.5)
    assert chord_power_share(generated) > 0.7
    assert chord_power_share(wav) > 0.95


TONES = {"low": 150.0, "middle": 260.0, "high": 420.0}  # Hz


def test_the_chosen_tone_is_ten_times_the_others(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """One network learns three tones that only their labels tell apart."""
    folder = make_folder(
        {
            f"{name}/{i}.wav": tone(1.0, RATE, f, 0.3 + 0.1 * i)
            for name, f in TONES.items()
            for i in range(2)
        },
        RATE,
    )
    model = ModelConfig(
        layers=7,
        dilation_cycle=64,
        residual_channels=24,
        gate_channels=48,
        skip_channels=32,
        head_channels=32,
        levels=64,
        label_channels=8,
    )
    training = replace(TRAINING, steps=200, batch=6, segment_seconds=0.3)
    config = Config(name="tones", audio=AUDIO, model=model, train=training)
    (tmp_path / "tones.toml").write_text(config.to_toml())
    run = train(folder, config=str(tmp_path / "tones.toml"), out=tmp_path / "run")
    model = wavenet.load(run.folder)
    assert model.config.model.labels == ("high", "low", "middle")
    for name in TONES:
        generated = wavenet.generate(model, seconds=1.5, seed=0, label=name, temperature=0.5)
        settled = generated[RATE // 2 :]
        power = {other: tone_power(settled, f) for other, f in TONES.items()}
        loudest_other = max(p for other, p in power.items() if other != name)
        assert power[name] > 10 * loudest_other, (name, power)


def tone_power(wav: Array, hertz: float) -> float:
    """The power within 8 Hz of a tone."""
    power = np.abs(np.fft.rfft(wav * np.hanning(len(wav)))) ** 2
    distance = np.abs(np.fft.rfftfreq(len(wav), 1 / RATE) - hertz)
    return float(power[distance < 8].sum())


@pytest.mark.parametrize("output", ["mulaw", pytest.param("logistic", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["noise", "speech"])
def test_nothing_learnt_fires_on_white_noise_and_not_on_speech(
    kind: str, output: str, make_folder: Callable[..., Path], config_file: Path, tmp_path: Path
) -> None:
    noise = make_folder({f"{i}.wav": noisy(1.0, seed=i) for i in range(5)})
    folder = noise if kind == "noise" else STARTER / "speech" / "carlo"
    settings = ("train.steps=80", "train.evaluate_every=80", "train.warmup_steps=10")
    settings += ("train.learning_rate=5e-3", f"model.output={output}")
    _, notes = train_run(folder, tmp_path / "run", *settings, config=str(config_file))
    assert ("nothing has been learnt" in notes) == (kind == "noise"), notes
