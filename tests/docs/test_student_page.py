"""The page for students shows the pictures that its script draws, by name and size."""

import re
from pathlib import Path

import pytest
from PIL import Image

from docs.tools import student_figures
from docs.tools.commands import ROOT

PAGE = ROOT / "docs" / "dilated-convolutions.md"
PICTURES = sorted(student_figures.PICTURES)


def test_page_shows_every_picture_of_the_script_once_and_no_other() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == [f"{student_figures.FOLDER.name}/{name}" for name in PICTURES]


def test_folder_holds_the_pictures_of_the_script_and_nothing_else() -> None:
    assert sorted(path.name for path in student_figures.FOLDER.glob("*.png")) == PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_light_and_wide_enough_for_a_projector(name: str) -> None:
    path = student_figures.FOLDER / name
    with Image.open(path) as image:
        assert image.width == 2000
    assert path.stat().st_size < 80_000


def test_a_picture_drawn_twice_is_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "rings.png"
    monkeypatch.setattr(student_figures, "PICTURES", {name: student_figures.PICTURES[name]})
    files = []
    for folder in ("once", "again"):
        monkeypatch.setattr(student_figures, "FOLDER", tmp_path / folder)
        student_figures.main()
        files.append((tmp_path / folder / name).read_bytes())
    assert files[0] == files[1]
