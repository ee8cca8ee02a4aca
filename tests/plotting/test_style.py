"""Pictures are drawn whatever backend the environment names, and others' plots keep theirs."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from wavenet.errors import OutputError
from wavenet.plotting import style

DRAW = """
import os
from pathlib import Path
from wavenet.plotting.losses import losses
losses(Path("a.png"), {"run": [{"step": 1, "seconds": 1.0, "train_bits": 3.0}]}, "steps", {})
import matplotlib
print(os.environ["MPLBACKEND"], dict.__getitem__(matplotlib.rcParams, "backend"))
"""
# What Jupyter and Colab hand down to all that they start; there it may not be installed.
INLINE = "module://matplotlib_inline.backend_inline"
# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation
# of Color Vision Deficiency", 2009: what linear RGB becomes without one kind of cones.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("backend", [INLINE, "nonsense", "svg"])
def test_the_library_draws_under_any_backend_and_leaves_it_alone(
    backend: str, tmp_path: Path
) -> None:
    environment = os.environ | {"MPLBACKEND": backend}
    command = [sys.executable, "-c", DRAW]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    kept, used = result.stdout.split(maxsplit=1)
    assert kept == backend
    assert used.strip() == "svg" or backend != "svg"
    assert (tmp_path / "a.png").exists()


def seen(color: str, blindness: str | None) -> np.ndarray:
    """A colour as (lightness, a, b) of CIELAB."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if blindness:
        linear = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", [None, *BLINDNESS])
def test_colours_that_stand_side_by_side_can_be_told_apart(blindness: str | None) -> None:
    # Recording and model, taps and what was measured, a grid and a line.
    pairs = [(style.BLUE, style.ORANGE), (style.BLUE, style.AMBER), (style.BLUE, style.PALE)]
    pairs += [(style.BLUE, style.GREY), (style.ORANGE, style.PALE)]
    pairs += combinations(style.SERIES[:4], 2)
    for one, other in pairs:
        distance = np.linalg.norm(seen(one, blindness) - seen(other, blindness))
        # Just noticed is a distance of 2.3.
        assert distance > 15, (one, other, blindness, distance)


@pytest.mark.parametrize("color", [style.BLUE, style.ORANGE, style.GREY, style.BLACK])
def test_letters_in_these_colours_can_be_read_on_white(color: str) -> None:
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # W3C, WCAG 2.1, 1.4.3: 3 for large letters.
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 3


def test_each_line_has_a_marker_of_its_own() -> None:
    assert len(set(style.MARKERS)) == len(style.MARKERS) == len(set(style.SERIES))


def test_an_unknown_kind_of_picture_is_refused(tmp_path: Path) -> None:
    @style.drawing
    def draw(path: Path) -> None:
        style.save(style.blank(2, 2), path)

    draw(tmp_path / "a.svg")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(OutputError, match="cannot be drawn"):
        draw(tmp_path / "a.nonsense")


def test_pictures_fill_a_projector(tmp_path: Path) -> None:
    style.save(style.blank(10, 1), tmp_path / "a.png")
    assert int.from_bytes((tmp_path / "a.png").read_bytes()[16:20], "big") == 2000
