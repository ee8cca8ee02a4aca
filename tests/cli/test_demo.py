"""The demo, cut to a few steps, and the pictures it ends with."""

import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf

from tests.helpers import SMALL, as_checkpoint, matches, network, noisy, tone, wavenet
from wavenet import plotting
from wavenet.cli import demo
from wavenet.config import TrainConfig
from wavenet.model import checkpoint, locate
from wavenet.training.trainer import Trainer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A smaller model to begin from."""
    model = network(replace(SMALL, levels=256))
    base = as_checkpoint(model, 16000)
    train = TrainConfig(batch=1, segment_seconds=0.05, sample_seconds=0)
    path = tmp_path / "base-small.safetensors"
    checkpoint.save(path, replace(base, config=replace(base.config, train=train)))
    monkeypatch.setattr(demo, "BASE", str(path))
    monkeypatch.setattr(demo, "PROMPT_SECONDS", 0.2)
    monkeypatch.setattr(demo, "NEW_SECONDS", 0.3)


def test_the_demo_ends_with_audio_and_a_picture(
    quick: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    wavs = {
        f"{i}.wav": tone(1.2, 16000, 120 + 9 * i) + noisy(1.2, 16000, i, 0.01) for i in range(5)
    }
    text = wavenet("demo", make_folder(wavs, 16000), "-o", out, "--steps", 6).stdout
    last = f"""
after ... of training: ... bits per sample on speech it never heard
  knowing only how often each level occurs takes ..., knowing the sample before ...
  {out}/continued.wav     a held-back recording, continued after 0.2 s
  {out}/from-nothing.wav  from silence
  {out}/demo.png          waveforms, spectrograms, loss
next:
  wavenet generate {out} --seconds 10 -o new.wav
  wavenet train path/to/your/recordings --init-from ...
  wavenet receptive-field {out}
"""
    assert matches(text.partition("\n\n")[2], last[1:]), text
    assert sf.info(out / "continued.wav").frames == 0.5 * 16000
    assert sf.info(out / "from-nothing.wav").frames == 0.3 * 16000
    prompt = sf.read(out / "prompt.wav")[0]
    assert (sf.read(out / "continued.wav")[0][: len(prompt)] == prompt).mean() > 0.99
    continued, new = (sf.SoundFile(out / f"{n}.wav") for n in ("continued", "from-nothing"))
    assert continued.comment.startswith("Synthetic audio after 0.20 s of a recording, made by")
    assert new.comment.startswith("Synthetic audio, made by")
    assert continued.comment.endswith(": model demo, step 6 (begun from base-small), seed 1")
    # Parts of recordings.
    for name in ("held-back", "prompt"):
        assert not sf.SoundFile(out / f"{name}.wav").copy_metadata()
    width = int.from_bytes((out / "demo.png").read_bytes()[16:20], "big")
    assert width > 1000


def test_a_demo_goes_on_with_its_own_length(
    quick: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_folder({f"{i}.wav": tone(1.2, 16000, 120 + 9 * i) for i in range(5)}, 16000)
    out = tmp_path / "demo"
    first = wavenet("demo", folder, "-o", out, "--minutes", 0.001).stdout
    again = wavenet("demo", folder, "-o", out)
    assert again.exit_code == 0
    assert "resuming" in again.stdout
    assert first.partition("\n\n")[2] == again.stdout.partition("\n\n")[2] != ""


def test_the_demo_begins_from_a_model_that_comes_with_the_program() -> None:
    assert demo.BASE in locate.bundled()


def test_a_demo_that_cannot_draw_says_the_rest(
    quick: None,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no fonts")

    monkeypatch.setattr(plotting, "blank", refuse)
    out = tmp_path / "demo"
    wavs = {f"{i}.wav": tone(1.2, 16000, 120 + 9 * i) for i in range(5)}
    result = wavenet("demo", make_folder(wavs, 16000), "-o", out, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert f"  no picture: {out}/demo.png: cannot be drawn (no fonts)\nnext:" in result.stdout


def test_an_interrupted_demo_names_the_command_that_goes_on_with_it(
    quick: None,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_folder(
        {f"{i}.wav": tone(1.2, 16000, 120 + 9 * i) for i in range(5)}, 16000, "My Voice"
    )
    out, cache, train_step = tmp_path / "a demo", tmp_path / "cache", Trainer.train_step

    def interrupted(trainer: Trainer) -> float:
        signal.raise_signal(signal.SIGINT)
        return train_step(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    command = ("demo", folder, "-o", out, "--cache", cache)
    stopped = wavenet(*command, "--steps", 3).stdout
    assert "Go on with" not in stopped
    words = shlex.split(stopped.splitlines()[-1].partition(": ")[2])
    assert words == ["wavenet", *map(str, command)]
