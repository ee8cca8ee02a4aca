"""It learns: a chord of a second is predicted almost without doubt, and what is generated is that chord."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

import wavenet
from tests.conftest import tone
from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig
from wavenet.run import Run
from wavenet.session import Report, Request, train

RATE = 2000
CHORD = (155.56, 196.00, 233.08)  # Hz


def chord_power_share(wav: np.ndarray) -> float:  # type: ignore[type-arg]
    """Share of the power within 4 Hz of the three tones."""
    power = np.abs(np.fft.rfft(wav * np.hanning(len(wav)))) ** 2
    hertz = np.fft.rfftfreq(len(wav), 1 / RATE)
    near = np.min([np.abs(hertz - f) for f in CHORD], axis=0) < 4
    return float(power[near].sum() / power.sum())


def test_a_chord_is_learnt_and_played(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    wav = sum(tone(1.0, RATE, f, 0.3) for f in CHORD)
    folder = make_folder({"chord.wav": wav}, RATE)
    config = Config(
        name="chord",
        audio=AudioConfig(sample_rate=RATE, trim=False),
        model=ModelConfig(
            layers=14, dilation_cycle=64, residual_channels=24, gate_channels=48, skip_channels=48, head_channels=48, levels=256
        ),
        train=TrainConfig(steps=400, batch=4, segment_seconds=0.4, learning_rate=1e-2, warmup_steps=20, sample_seconds=0),
    )
    (tmp_path / "chord.toml").write_text(config.to_toml())
    run = train(Request(folder, str(tmp_path / "chord.toml"), out=tmp_path / "run"), Report())
    nats = [m["train_bits"] for m in Run(run.folder).metrics() if "train_bits" in m][-1] * np.log(2)
    assert nats < 0.1, f"{nats:.3f} nats per sample"
    made = wavenet.generate(wavenet.load(run.folder), seconds=0.9, seed=0, temperature=0.5)
    assert chord_power_share(made) > 0.7
    assert chord_power_share(wav) > 0.95
