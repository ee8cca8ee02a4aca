"""The demo, cut to a few steps, and the pictures it ends with."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile as sf

from tests.conftest import SMALL, noisy, tone
from wavenet.cli import demo
from wavenet.config import Config, ModelConfig, TrainConfig
from wavenet.errors import CorpusError, RunError


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`tiny`, made smaller still."""
    train = TrainConfig(
        steps=6, batch=1, segment_seconds=0.05, evaluate_every=3, sample_seconds=0.1
    )
    model = ModelConfig(**{**vars(SMALL), "levels": 256})
    (tmp_path / "quick.toml").write_text(Config(name="tiny", model=model, train=train).to_toml())
    monkeypatch.setattr(demo, "PRESET", str(tmp_path / "quick.toml"))


def speech(make_folder: Callable[..., Path]) -> Path:
    files = {
        f"{i}.wav": tone(2.5, 16000, 120 + 9 * i) + noisy(2.5, 16000, i, 0.01) for i in range(5)
    }
    return make_folder(files, 16000)


def test_the_demo_ends_with_audio_and_a_picture(
    quick: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    text = "\n".join(demo.run_demo(speech(make_folder), out, None, None))
    assert "bits per sample on speech it never heard" in text
    assert sf.info(out / "continued.wav").frames == round((1.5 + 3) * 16000)
    assert sf.info(out / "from-nothing.wav").frames == 3 * 16000
    prompt = sf.read(out / "prompt.wav")[0]
    assert (sf.read(out / "continued.wav")[0][: len(prompt)] == prompt).mean() > 0.99
    width = int.from_bytes((out / "demo.png").read_bytes()[16:20], "big")
    assert width > 1000
    for name in ("continued.wav", "from-nothing.wav", "demo.png"):
        assert str(out / name) in text


def test_a_demo_of_other_recordings_is_not_mixed_in(
    quick: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    list(demo.run_demo(speech(make_folder), tmp_path / "demo", None, None))
    message = (
        "holds a demo of other recordings or length; delete it, or choose another place with -o"
    )
    with pytest.raises(RunError, match=message):
        list(demo.run_demo(None, tmp_path / "demo", None, None))


def test_without_the_bundled_recordings_a_folder_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "BUNDLED", tmp_path / "not here")
    with pytest.raises(CorpusError, match="name a folder: wavenet demo FOLDER"):
        list(demo.run_demo(None, tmp_path / "demo", None, None))
