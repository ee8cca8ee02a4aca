"""The demo, cut to a few steps, and the pictures it ends with."""

import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from tests.helpers import (
    FOLLOWING,
    SMALL,
    as_checkpoint,
    fails,
    matches,
    network,
    noisy,
    tone,
    wavenet,
)
from wavenet.cli import demo, demo_tune, demo_voice
from wavenet.config import ModelConfig, TrainConfig
from wavenet.model import checkpoint, locate
from wavenet.scores.notes import parse
from wavenet.training.trainer import Trainer


def begin_from(
    config: ModelConfig, what: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Let a demo begin from a small network."""
    base = as_checkpoint(network(config), 16000)
    train = TrainConfig(batch=1, segment_seconds=0.05, sample_seconds=0)
    path = folder / f"base-{what}.safetensors"
    checkpoint.save(path, replace(base, config=replace(base.config, train=train)))
    monkeypatch.setitem(demo.DEMOS, what, demo.DEMOS[what]._replace(base=str(path)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A smaller model to begin from, and shorter clips of a voice."""
    begin_from(replace(SMALL, levels=256), "voice", monkeypatch, tmp_path)
    monkeypatch.setattr(demo_voice, "PROMPT_SECONDS", 0.2)
    monkeypatch.setattr(demo_voice, "NEW_SECONDS", 0.3)


@pytest.fixture
def instrument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A smaller model to begin from, and a shorter tune."""
    config = replace(FOLLOWING["pitch and loudness"], levels=256, frame_hop=160, frame_window=512)
    begin_from(config, "tune", monkeypatch, tmp_path)
    monkeypatch.setattr(demo_tune, "TUNE", "A4:0.2 E4")


def tones(*hertz: float) -> dict[str, Any]:
    return {f"{i}.wav": tone(1.2, 16000, each) for i, each in enumerate(hertz)}


def test_a_voice_ends_with_audio_and_a_picture(
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
  wavenet receptive-field {out}
  wavenet train path/to/your/recordings --init-from ...
"""
    assert matches(text.partition("\n\n")[2], last[1:]), text
    assert sf.info(out / "continued.wav").frames == 0.5 * 16000
    assert sf.info(out / "from-nothing.wav").frames == 0.3 * 16000
    prompt = sf.read(out / "prompt.wav")[0]
    assert (sf.read(out / "continued.wav")[0][: len(prompt)] == prompt).mean() > 0.99
    continued, new = (sf.SoundFile(out / f"{n}.wav") for n in ("continued", "from-nothing"))
    assert continued.comment.startswith("Synthetic audio after 0.20 s of a recording, made by")
    assert new.comment.startswith("Synthetic audio, made by")
    assert continued.comment.endswith(": model demo, step 6 (begun from base-voice), seed 1")
    # Parts of recordings.
    for name in ("held-back", "prompt"):
        assert not sf.SoundFile(out / f"{name}.wav").copy_metadata()
    width = int.from_bytes((out / "demo.png").read_bytes()[16:20], "big")
    assert width > 1000


def test_a_tune_ends_with_audio_and_a_picture(
    instrument: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    folder = make_folder(tones(220, 330, 440, 500), 16000)
    text = wavenet("demo", folder, "--what", "tune", "-o", out, "--steps", 6).stdout
    last = f"""
after ... of training: Morning Mood (Grieg, 1875), ...% in tune
  {out}/tune.wav       the tune, of which it was given the notes
  {out}/held-back.wav  a recording it never heard, to compare the sound
  {out}/demo.png       both as spectrograms, and the pitch asked and found
next:
  wavenet play {out} 'C5:0.5 E5 G5 C6:1' -o mine.wav
  wavenet play {out} path/to/your/humming.wav
  wavenet train path/to/your/recordings --init-from ...
"""
    assert matches(text.partition("\n\n")[2], last[1:]), text
    tune = sf.SoundFile(out / "tune.wav")
    assert tune.frames > 0.4 * 16000
    assert "resynthesis from pitch and loudness" in tune.comment
    assert not sf.SoundFile(out / "held-back.wav").copy_metadata()
    assert int.from_bytes((out / "demo.png").read_bytes()[16:20], "big") > 1000


def test_a_run_of_one_demo_is_not_gone_on_with_by_another(
    quick: None, instrument: None, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = make_folder(tones(220, 330, 440, 500), 16000), tmp_path / "demo"
    assert wavenet("demo", folder, "-o", out, "--steps", 2).exit_code == 0
    refused = fails("demo", folder, "--what", "tune", "-o", out)
    assert "holds a demo of other recordings, kind or length" in refused


def test_the_tune_is_one_that_everybody_can_type() -> None:
    notes = parse(demo_tune.TUNE)
    assert [note.pitch for note in notes[:6]] == [78, 75, 73, 71, 73, 75]
    # Four bars of 6/8.
    bars = [round(note.start / 0.34, 6) for note in notes]
    assert {0, 6, 12, 18} <= {*bars}
    assert round(notes[-1].start / 0.34, 6) == 21


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


def test_demos_begin_from_models_and_recordings_that_come_with_the_program() -> None:
    for each in demo.DEMOS.values():
        assert each.base in locate.bundled()
        assert any(each.bundled.rglob("*.flac"))


def test_a_demo_that_cannot_draw_says_the_rest(
    quick: None,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no fonts")

    monkeypatch.setattr("wavenet.plotting.style.blank", refuse)
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
