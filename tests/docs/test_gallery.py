"""The pictures of docs/receptive-field.md are those of its script, and look as they were drawn."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from docs.tools import gallery
from docs.tools.drawing import palettized
from wavenet.analysis import figure
from wavenet.plotting.style import ORANGE

PICTURES = sorted(gallery.PICTURES.glob("*.png"))


def test_page_shows_every_picture_of_the_folder_once_and_no_other() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", gallery.PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == [f"{gallery.PICTURES.name}/{path.name}" for path in PICTURES]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_light_and_wide_enough_for_a_projector(path: Path) -> None:
    with Image.open(path) as image:
        assert image.width == 2000
    assert path.stat().st_size < 200_000


def test_a_picture_drawn_twice_is_the_same_file(tmp_path: Path) -> None:
    report = next(report for pattern, report, _ in gallery.reports() if pattern.name == "gridding")
    files = []
    for name in ("once.png", "again.png"):
        figure.draw(tmp_path / name, report)
        palettized(tmp_path / name, 256)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.slow
def test_the_measured_picture_is_of_what_the_page_says() -> None:
    report = gallery.measured()
    assert report.effective_field is not None
    extents = [report.ms(extent) for extent in report.effective_field.extents.values()]
    half, most, nearly_all = extents
    text = gallery.PAGE.read_text(encoding="utf-8")
    assert f"within {half} ms of 127.9, 90 % within {most}, 99 % within {nearly_all}" in text


def test_few_colours_keep_one_of_few_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    drawn = np.zeros((300, 300, 3), np.uint8)
    drawn[..., 2] = np.linspace(100, 255, 300, dtype=np.uint8)
    drawn[100:110, 100:110] = orange = [round(255 * part) for part in to_rgb(ORANGE)]
    Image.fromarray(drawn).save(path)
    palettized(path, 32)
    with Image.open(path) as image:
        assert len(image.getcolors() or []) <= 32
        assert np.abs(np.array(image.convert("RGB"))[105, 105] - orange).max() <= 2
