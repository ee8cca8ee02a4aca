"""`wavenet receptive-field`, as typed.

The drawing, tables side by side, pictures, and what stays unloaded.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from tests.helpers import (
    VOICES,
    as_checkpoint,
    loaded_by,
    network,
    noisy,
    wavenet,
    write_recordings,
)
from wavenet.analysis import figure
from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.analysis.report import StackReport
from wavenet.analysis.text import FINE, PLAIN, Glyphs, bars, draw_curve, draw_text
from wavenet.config import Config, ModelConfig, loading
from wavenet.model import checkpoint

GAPPY = ("--set", "model.dilations=[4,4,4,4]")
ENDLESS = Config(model=ModelConfig(layers=42, dilation_cycle=2**20, kernel_size=64))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings"), {"a.wav": noisy(0.5)})


def printed(*args: object) -> str:
    result = wavenet("receptive-field", *args)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_one_source_gets_a_drawing_a_table_and_advice() -> None:
    lines = printed("paper").splitlines()
    assert lines[0] == "paper: hears 3,070 samples = 191.9 ms at 16000 Hz"
    assert max(map(len, lines)) <= 100
    assert "▂▅▇███████▂▅▇███████▂▅▇███████" in lines[6]
    assert "     29       256       2     2558 samples   159.88 ms" in lines
    assert lines[-2] == "  hears every sample of it; half of all paths lead 73.3 to 118.5 ms back"


def test_gaps_are_said_and_drawn() -> None:
    out = printed("small", *GAPPY)
    gaps = "only every 4th sample is heard; 12 of 17 samples are never heard: lags 1-3, 5-7, 9-11,"
    assert gaps in " ".join(out.split())
    assert re.search(r"1 │ ▇▇▇ {9}███ {9}███ {9}███ {9}▇▇▇$", out, re.MULTILINE)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model.dilations": [1]},
        {"model.layers": 1000},
        {"model.dilations": [3, 9, 27, 81, 243]},
        {"model.kernel_size": 64},
    ],
)
@pytest.mark.parametrize("glyphs", [FINE, PLAIN], ids=["fine", "plain"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_drawings_keep_to_their_width_and_plain_ones_to_ascii(
    settings: dict[str, Any], glyphs: Glyphs, width: int
) -> None:
    lines = draw_text(StackReport("a", loading.load("small", settings), 100), glyphs, width)
    assert max(map(len, lines)) <= width
    assert "\n".join(lines).isascii() == (glyphs is PLAIN)
    has_wide_gaps = settings == {"model.dilations": [3, 9, 27, 81, 243]}
    assert any("heard" in line for line in lines) == has_wide_gaps


def test_a_drawing_without_paths_shows_the_dilations_alone() -> None:
    lines = draw_text(StackReport("a", ENDLESS, 100), FINE)
    assert "dilation of each layer" in lines[0]
    assert "paths" not in lines[0]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("sources", [["paper"], ["small", "paper", "music"]])
def test_a_report_fits_the_terminal(
    width: int, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(*sources).splitlines()
    assert max(map(len, lines)) <= width
    # Only the drawing may be as wide as that.
    assert any(len(line) > width - 12 for line in lines) or len(sources) > 1


def test_a_curve_falls_from_its_highest_to_its_lowest_value() -> None:
    lines = draw_curve([(10, 8.0), (20, 6.0), (40, 2.0)], FINE, 40)
    assert lines[1].startswith("    8.000 │ █▇")
    assert lines[3].startswith("    2.000 │ ██")
    assert lines[3].rstrip()[-1] == "▂"
    assert lines[4].split() == ["step", "10", "40"]
    assert max(map(len, lines)) == 40
    assert draw_curve([(1, 5.0), (2, 5.0)], PLAIN, 40)[1].startswith("    5.000 |")


def test_bars_fill_rows_from_the_bottom_and_nothing_above_zero_vanishes() -> None:
    assert bars(np.array([0, 1e-9, 0.5, 1]), 2, FINE.blocks) == ["   █", " ▁██"]


def test_a_terminal_without_utf8_gets_ascii() -> None:
    command = [sys.executable, "-m", "wavenet", "receptive-field", "small"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    out = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert b".:########.:########" in out
    assert out.isascii()


def test_several_sources_stand_side_by_side(model: Path) -> None:
    lines = printed("small", "paper", model, "--pitch", 200).splitlines()
    heading, paper = (" ".join(line.split()) for line in (lines[0], lines[2]))
    assert heading == "layers hears ms periods unheard parameters multiply-adds state"
    assert paper == "paper 30 3,070 191.9 38.4 0 777,984 753,664 786 kB"
    assert lines[3].split()[:4] == [str(model), "5", "11", "1.4"]
    assert lines[5] == "periods of 200 Hz"
    assert "paper: only every 4th sample is heard; 12 of 17" in printed("small", "paper", *GAPPY)


def test_json_reports_coverage_and_influence(model: Path, recordings: Path) -> None:
    (report,) = json.loads(printed(model, "--on", recordings, "--pitch", 400, "--json"))
    assert report["coverage"]["samples_heard"] == 11
    assert report["coverage"]["gaps"] == []
    paths = [round(10**p) for p in report["coverage"]["log10_paths"]]
    assert paths == [1, 2, 3, 4, 4, 4, 4, 4, 3, 2, 1]
    assert report["pitch_periods"] == pytest.approx(11 / 20)
    influence = report["influence"]
    extents = [influence.pop(f"samples_within_{percent}") for percent in (50, 90, 99)]
    assert influence.keys() == {"source", "moments", "shares"}
    assert sum(influence["shares"]) == pytest.approx(1, abs=1e-4)
    assert [1, *extents, 11] == sorted([1, *extents, 11])


def test_json_of_several_sources_is_a_list() -> None:
    several = json.loads(printed("small", "paper", *GAPPY, "--json"))
    assert [one["name"] for one in several] == ["small", "paper"]
    assert several[0]["coverage"]["gaps"] == [[1, 3], [5, 7], [9, 11], [13, 15]]
    assert several[0]["coverage"]["log10_paths"][:5] == [0, None, None, None, 0.6021]
    assert several[0]["influence"] is None


def test_measured_influence_is_reported_and_compared(
    model: Path, recordings: Path, tmp_path: Path
) -> None:
    out = " ".join(printed(model, "--on", recordings / "a.wav").split())
    assert "half of what it uses lies within " in out
    assert f"(at 100 moments of {recordings / 'a.wav'})" in out
    assert "what only the last cycle reaches, beyond 1.0 ms, holds " in out
    voices = tmp_path / "voices.safetensors"
    checkpoint.save(voices, as_checkpoint(network(VOICES)))
    table = printed(model, voices, "--on", recordings / "a.wav").splitlines()
    assert table[0].endswith("half in  90 % in  99 % in")
    assert all(row.count(" ms") == 3 for row in table[1:3])


@pytest.mark.parametrize("dilations", ["[1]", "[4,4,4,4]", "[3,9,27,81,243]"])
def test_pictures_are_drawn(dilations: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    out = printed("small", "--set", f"model.dilations={dilations}", "--picture", path)
    assert out.splitlines()[-1] == str(path)
    drawn = matplotlib.image.imread(path)[..., :3]
    assert drawn.shape[1] == 2000
    # Neither the stack nor the paths are blank.
    for rows in (drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]):
        assert (rows < 0.9).any(axis=2).mean() > 0.005


def test_a_measurement_adds_a_panel_to_the_picture(
    model: Path, recordings: Path, tmp_path: Path
) -> None:
    measured, theory = tmp_path / "measured.png", tmp_path / "theory.png"
    printed(model, "--on", recordings, "--picture", measured)
    printed(model, "--picture", theory)
    heights = [len(matplotlib.image.imread(path)) for path in (measured, theory)]
    assert heights[0] > heights[1] + 400


def test_the_same_network_makes_the_same_svg(model: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.SVG", tmp_path / "b.svg"]
    for path in paths:
        assert printed(model, "--json", "--picture", path).startswith("[")
    svg, again = (path.read_text(encoding="utf-8") for path in paths)
    assert svg.startswith("<?xml")
    assert len(svg) > 10_000
    assert svg == again


def test_a_picture_of_wide_measured_receptive_fields_has_every_panel(tmp_path: Path) -> None:
    wide = loading.load("small", {"model.layers": 24, "model.dilation_cycle": 2048})
    influence = np.geomspace(1, 1e-9, wide.model.receptive_field)
    measured = EffectiveReceptiveField(influence / influence.sum(), 64, "here")
    figure.draw(tmp_path / "a.png", StackReport("wide", wide, 100, measured))
    assert len(matplotlib.image.imread(tmp_path / "a.png")) > 1800


@pytest.mark.parametrize("args", [["small"], ["small", "paper", "--json"]])
def test_theory_needs_neither_torch_nor_matplotlib(args: list[str]) -> None:
    names = loaded_by(
        f"from wavenet.cli import app\napp(['receptive-field', *{args!r}], standalone_mode=False)"
    )
    assert "wavenet.analysis.report" in names
    assert not names & {"torch", "numba", "librosa", "matplotlib", "soundfile"}
