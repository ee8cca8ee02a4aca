"""`wavenet receptive-field`, as typed.

The drawing, tables side by side, pictures, and what stays unloaded.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tests.conftest import CONDITIONED, SMALL, as_checkpoint, network, noisy
from tests.test_cli import fails, wavenet
from tests.test_imports import loaded_by
from wavenet.analysis import figure
from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.analysis.report import stack_report
from wavenet.analysis.text import bars, draw_text
from wavenet.config import Config, ModelConfig, loading
from wavenet.errors import OutputError
from wavenet.model import checkpoint

GAPPY = ("--set", "model.dilations=[4,4,4,4]")


@pytest.fixture
def recordings(make_folder: Callable[..., Path]) -> Path:
    return make_folder({"a.wav": noisy(0.5)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL)))
    return path


def test_one_source_gets_a_drawing_a_table_and_advice() -> None:
    lines = wavenet("receptive-field", "paper").stdout.splitlines()
    assert lines[0] == "paper: hears 3,070 samples = 191.9 ms at 16000 Hz"
    assert max(map(len, lines)) <= 100
    assert "▂▅▇███████▂▅▇███████▂▅▇███████" in lines[6]
    assert "     29       256       2     2558 samples   159.88 ms" in lines
    assert lines[-2] == "  hears every sample of it; half of all paths lead 73.3 to 118.5 ms back"


def test_gaps_are_said_and_drawn() -> None:
    out = wavenet("receptive-field", "small", *GAPPY).stdout
    gaps = (
        "only every 4th sample is heard; 12 of 17 samples are never heard: "
        "lags 1-3, 5-7, 9-11, 13-15"
    )
    assert gaps in " ".join(out.split())
    assert re.search(r"1 │ ▇▇▇ {9}███ {9}███ {9}███ {9}▇▇▇$", out, re.MULTILINE)


@pytest.mark.parametrize(
    "settings",
    [[], ["dilations=[1]"], ["layers=1000"], ["dilations=[3,9,27,81,243]"], ["kernel_size=64"]],
)
@pytest.mark.parametrize("plain", [False, True])
def test_drawings_keep_to_100_columns_and_plain_ones_to_ascii(
    settings: list[str], plain: bool
) -> None:
    report = stack_report("a", loading.load("small", [f"model.{s}" for s in settings]), 100)
    lines = draw_text(report, plain)
    assert max(map(len, lines)) <= 100
    assert "\n".join(lines).isascii() == plain
    assert any("heard" in line for line in lines) == (settings == ["dilations=[3,9,27,81,243]"])


def test_a_drawing_without_paths_shows_the_dilations_alone() -> None:
    endless = Config(model=ModelConfig(layers=42, dilation_cycle=2**20, kernel_size=64))
    lines = draw_text(stack_report("a", endless, 100), False)
    assert "dilation of each layer" in lines[0]
    assert "paths" not in lines[0]


def test_bars_fill_rows_from_the_bottom_and_nothing_above_zero_vanishes() -> None:
    assert bars(np.array([0, 1e-9, 0.5, 1]), 2, " ▁▂▃▄▅▆▇█") == ["   █", " ▁██"]


def test_a_terminal_without_utf8_gets_ascii() -> None:
    command = [sys.executable, "-m", "wavenet", "receptive-field", "small"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    out = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert b".:########.:########" in out
    assert out.isascii()


def test_several_sources_stand_side_by_side(model: Path) -> None:
    lines = wavenet("receptive-field", "small", "paper", model, "--pitch", 200).stdout.splitlines()
    assert lines[0].split() == [
        "layers",
        "hears",
        "ms",
        "periods",
        "unheard",
        "parameters",
        "multiply-adds",
        "state",
    ]
    assert lines[2].split() == [
        "paper",
        "30",
        "3,070",
        "191.9",
        "38.4",
        "0",
        "777,984",
        "753,664",
        "786",
        "kB",
    ]
    assert lines[3].split()[:4] == [str(model), "5", "11", "1.4"]
    assert lines[5] == "periods of 200 Hz"
    gappy = wavenet("receptive-field", "small", "paper", *GAPPY).stdout
    assert "paper: only every 4th sample is heard; 12 of 17" in gappy


def test_json_reports_coverage_and_influence(model: Path, recordings: Path) -> None:
    report = json.loads(
        wavenet("receptive-field", model, "--on", recordings, "--pitch", 400, "--json").stdout
    )
    assert report["coverage"]["samples_heard"] == 11
    assert report["coverage"]["gaps"] == []
    paths = [round(10**p) for p in report["coverage"]["log10_paths"]]
    assert paths == [1, 2, 3, 4, 4, 4, 4, 4, 3, 2, 1]
    assert report["pitch_periods"] == pytest.approx(11 / 20)
    influence = report["influence"]
    assert influence.keys() == {
        "source",
        "moments",
        "samples_within_50",
        "samples_within_90",
        "samples_within_99",
        "shares",
    }
    assert sum(influence["shares"]) == pytest.approx(1, abs=1e-4)
    within = [influence[f"samples_within_{percent}"] for percent in (50, 90, 99)]
    assert 1 <= within[0] <= within[1] <= within[2] <= 11
    several = json.loads(wavenet("receptive-field", "small", "paper", *GAPPY, "--json").stdout)
    assert [one["name"] for one in several] == ["small", "paper"]
    assert several[0]["coverage"]["gaps"] == [[1, 3], [5, 7], [9, 11], [13, 15]]
    assert several[0]["coverage"]["log10_paths"][:5] == [0, None, None, None, 0.6021]
    assert several[0]["influence"] is None


def test_measured_influence_is_reported_and_compared(
    model: Path, recordings: Path, tmp_path: Path
) -> None:
    out = " ".join(wavenet("receptive-field", model, "--on", recordings / "a.wav").stdout.split())
    assert "half of what it uses lies within " in out
    assert f"(at 100 moments of {recordings / 'a.wav'})" in out
    assert "what only the last cycle reaches, beyond 1.0 ms, holds " in out
    voices = tmp_path / "voices.safetensors"
    checkpoint.save(voices, as_checkpoint(network(CONDITIONED["labels"])))
    header = wavenet("receptive-field", model, voices, "--on", recordings).stdout.splitlines()[0]
    assert header.endswith("half in  90 % in  99 % in")
    assert wavenet("receptive-field", voices, "--on", recordings, "--label", "bob").exit_code == 0
    assert "--label dot: unknown; the model knows ada, bob, cy" in fails(
        "receptive-field", voices, "--on", recordings, "--label", "dot"
    )


@pytest.mark.parametrize(
    "settings",
    [["dilations=[1]"], ["dilations=[4,4,4,4]"], ["layers=60"], ["dilations=[3,9,27,81,243]"]],
)
def test_pictures_are_drawn(settings: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    result = wavenet("receptive-field", "small", "--set", f"model.{settings[0]}", "--picture", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(path)
    drawn = matplotlib.image.imread(path)[..., :3]
    assert drawn.shape[1] == 1100
    # Neither the stack nor the paths are blank.
    for rows in (drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]):
        assert (rows < 0.9).any(axis=2).mean() > 0.005


def test_a_measurement_adds_a_panel_and_an_svg_is_the_same_each_time(
    model: Path, recordings: Path, tmp_path: Path
) -> None:
    taller = tmp_path / "measured.png"
    assert wavenet("receptive-field", model, "--on", recordings, "--picture", taller).exit_code == 0
    assert wavenet("receptive-field", model, "--picture", tmp_path / "theory.png").exit_code == 0
    measured, theory = (
        matplotlib.image.imread(tmp_path / name) for name in ("measured.png", "theory.png")
    )
    assert len(measured) > len(theory) + 150
    path = tmp_path / "a.SVG"
    assert wavenet("receptive-field", model, "--json", "--picture", path).stdout.startswith("{")
    svg = path.read_text(encoding="utf-8")
    assert svg.startswith("<?xml")
    assert len(svg) > 10_000
    assert "<dc:date>" not in svg


def test_a_picture_of_wide_measured_receptive_fields_has_every_panel(tmp_path: Path) -> None:
    influence = np.geomspace(1, 1e-9, 20_476)
    measured = EffectiveReceptiveField(influence / influence.sum(), 64, "here")
    wide = loading.load("small", ["model.layers=60", "model.dilation_cycle=2048"])
    figure.draw(tmp_path / "a.png", stack_report("wide", wide, 100, measured))
    assert len(matplotlib.image.imread(tmp_path / "a.png")) > 1200


def test_a_receptive_field_too_long_to_draw_is_refused(tmp_path: Path) -> None:
    endless = Config(model=ModelConfig(layers=42, dilation_cycle=2**20, kernel_size=64))
    message = r"a.png: custom hears 264,241,027 samples, too many to draw; lower the dilations"
    with pytest.raises(OutputError, match=message):
        figure.draw(tmp_path / "a.png", stack_report("custom", endless, 100))


@pytest.mark.parametrize("args", [["small"], ["small", "paper", "--json"]])
def test_theory_needs_neither_torch_nor_matplotlib(args: list[str]) -> None:
    names = loaded_by(
        f"from wavenet.cli import app\napp(['receptive-field', *{args!r}], standalone_mode=False)"
    )
    assert "wavenet.cli.receptive_field" in names
    assert not names & {"torch", "numba", "librosa", "matplotlib", "soundfile"}
