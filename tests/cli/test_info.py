"""`wavenet info`: what it tells of runs, models, configs and audio."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from tests.helpers import GOLDEN, loaded_by, tone, wavenet, write_recordings
from wavenet.cli.main import app
from wavenet.generation.api import load
from wavenet.generation.provenance import read_comment, synthetic_tags


def told(*args: object) -> dict[str, str]:
    """The first line of each head, by head."""
    found: dict[str, str] = {}
    for line in wavenet("info", *args).stdout.splitlines():
        found.setdefault(line[:10].strip(), line[11:])
    return found


def described(source: object) -> Any:
    (about,) = json.loads(wavenet("info", source, "--json").stdout)
    return about


def test_a_run_is_told_with_its_data_its_training_and_its_best() -> None:
    lines = told(GOLDEN / "run-1")
    assert lines["config"] == "golden"
    assert lines["network"].startswith("4 layers, 1,688 parameters, hears 9 samples = 1.1 ms")
    assert lines["settings"] == "audio.sample_rate = 8000  (default 16000)"
    assert lines["data"] == "/recordings, 8 recordings, 6.4 s, 1 of them held out"
    assert lines["labels"] == "ada, bob"
    assert lines["training"].startswith("step 8 of 16, 0.00 hours, fp32, torch 2.13.0")
    assert lines["best"] == "4.731 bits per sample at step 8, the last"
    assert lines["saved"].startswith("of step 8 (")
    about = described(GOLDEN / "run-1")
    assert about["kind"] == "run"
    assert about["validations"] == [[8, 4.73123]]
    assert about["checkpoints"] == [8]


def test_all_settings_are_told_with_verbose() -> None:
    short, long = (wavenet("info", "tiny", *v).stdout for v in ([], ["-v"]))
    assert "train.steps = 1400  (default 20000)" in short
    assert "train.patience = 0" not in short
    assert "train.patience = 0\n" in long


def test_a_model_that_comes_along_is_told_with_its_curve_its_base_and_its_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    lines = wavenet("info", "base-music").stdout.splitlines()
    assert max(map(len, lines)) <= 72
    text = " ".join(" ".join(lines).split())
    assert "1,006 recordings, 42:06, 95 of them held out" in text
    assert "begun from base-speech (step 13,000)" in text
    assert "validation, bits per sample" in text
    assert "Licence and credit. MIT" in text
    assert "What it reached." not in text
    about = described("base-music")
    assert about["kind"] == "model"
    assert about["best_step"] == 9000
    assert any(part.startswith("Licence and credit.") for part in about["card"])


def test_a_checkpoint_of_a_run_knows_its_run_and_one_alone_itself(tmp_path: Path) -> None:
    file = "checkpoints/step-00000008.safetensors"
    assert described(GOLDEN / "run-1" / file)["recordings"]["count"] == 8
    shutil.copy(GOLDEN / "run-1" / file, tmp_path / "alone.safetensors")
    about = described(tmp_path / "alone.safetensors")
    assert about["kind"] == "checkpoint"
    assert about["recordings"]["count"] is None
    assert about["recordings"]["folder"] == "/recordings"
    assert about["training"]["step"] == 8


def test_audio_of_this_program_tells_its_model_and_seed(tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    options = ("--seconds", 0.05, "--seed", 3, "--engine", "reference", "-o", out)
    assert wavenet("generate", GOLDEN / "format-1.safetensors", *options).exit_code == 0
    lines = told(out)
    assert (lines["model"], lines["seed"]) == ("format-1", "3")
    about = described(out)
    assert about["made_by_wavenet"]["model"] == "format-1"
    assert about["seconds"] == pytest.approx(0.05)


def test_other_audio_is_measured(tmp_path: Path) -> None:
    write_recordings(tmp_path, {"a.wav": tone(1.0, amplitude=0.5)})
    lines = told(tmp_path / "a.wav")
    assert lines["length"] == "1.0 s at 8000 Hz, mono"
    assert lines["level"].startswith("peak -6.0 dBFS, loudest 20 ms -9.0 dBFS")
    assert described(tmp_path / "a.wav")["made_by_wavenet"] is None
    sf.write(tmp_path / "silent.wav", np.zeros((800, 2)), 8000)
    silent = described(tmp_path / "silent.wav")
    assert (silent["peak_db"], silent["channels"]) == (None, 2)


def test_comments_are_read_back() -> None:
    model = load(GOLDEN / "format-1.safetensors")
    for clip in (None, 2):
        comment = synthetic_tags("my, model", model, 7, clip=clip, lead_seconds=0.5)["comment"]
        read = read_comment(comment)
        assert (read["model"], read["seed"], read.get("clip")) == (
            "my, model", 7, clip
        )  # fmt: skip
    assert read_comment("made by hand") == {}


def test_several_sources_are_told_one_after_the_other() -> None:
    printed = wavenet("info", "tiny", GOLDEN / "run-1").stdout
    assert printed.startswith("tiny: a config\n")
    assert f"\n\n{GOLDEN / 'run-1'}: a run\n" in printed
    both = json.loads(wavenet("info", "tiny", GOLDEN / "run-1", "--json").stdout)
    assert [about["kind"] for about in both] == ["config", "run"]


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["presets"], "wavenet.model.checkpoint"),
        (["settings"], "wavenet.config.reference"),
        (["runs", str(GOLDEN)], "wavenet.training.run_summary"),
        (["info", str(GOLDEN / "run-1"), "base-speech"], "wavenet.model.cards"),
        (["plot", str(GOLDEN / "run-1"), "-o", "loss.png"], "matplotlib"),
        (["cache"], "wavenet.data.cache_folders"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_only_looks_never_imports_torch(
    command: list[str], module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = loaded_by(
        "import os\nfrom wavenet.cli import app\nsys.stdout = open(os.devnull, 'w')\n"
        f"app({command!r}, standalone_mode=False)\nsys.stdout = sys.__stdout__"
    )
    assert module in names
    assert not names & {"torch", "numba", "librosa", "scipy"}


def test_one_that_is_nothing_leaves_what_is_told_of_the_others(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", tone(0.1), 8000)
    result = wavenet("info", tmp_path / "a.wav", "nope", "tiny")
    assert result.exit_code == 1
    assert result.stderr == "wavenet: nope: no such run, file, preset or model\n"
    assert f"{tmp_path / 'a.wav'}: audio" in result.stdout
    assert "tiny: a config" in result.stdout
    several = wavenet("info", tmp_path / "a.wav", "nope", "tiny", "--json")
    assert several.exit_code == 1
    assert [about["kind"] for about in json.loads(several.stdout)] == ["audio", "config"]
    assert wavenet("info", "nope", "neither", "--json").stdout == ""


@pytest.mark.parametrize("dash", ["-", "/dev/stdin"])
def test_audio_on_standard_input_is_told(dash: str, tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", tone(0.1), 8000)
    content = (tmp_path / "a.wav").read_bytes()
    lines = CliRunner().invoke(app, ["info", dash], input=content).stdout.splitlines()
    assert lines[:2] == ["standard input: audio", "length     0.1 s at 8000 Hz, mono"]
    wrong = CliRunner().invoke(app, ["info", dash], input=b"nothing")
    assert wrong.output.startswith("wavenet: standard input: cannot be read as audio")


def test_a_model_beyond_its_schedule_is_at_a_step_alone() -> None:
    assert told("base-speech")["training"].startswith("step 26,000, ")
