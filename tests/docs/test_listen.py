"""The clips of docs/listen.md: all are there, say what they are, and hold what the page says."""

import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from PIL import Image

from docs.tools import gallery, pictures, sound_figures, sounds, student_figures, studio_pictures
from docs.tools.commands import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "listen.md").read_text("utf-8")
CLIPS = sorted(sounds.FOLDER.glob("*.mp3"))
RECORDINGS = {"sentence", "flute", "spoken"}


def read(name: str) -> tuple[np.ndarray, int]:
    wav, rate = sf.read(sounds.FOLDER / f"{name}.mp3", dtype="float32")
    return wav, rate


def test_the_page_leads_to_every_clip() -> None:
    linked = re.findall(r"\(audio/([\w-]+\.mp3)\)", PAGE)
    assert sorted(linked) == [path.name for path in CLIPS]
    assert len(linked) == len(set(linked)) > 8


def test_the_readme_leads_to_three_of_them_before_its_first_heading() -> None:
    first = (ROOT / "README.md").read_text("utf-8").partition("\n## ")[0]
    linked = re.findall(r"\(docs/audio/([\w-]+)\.mp3\)", first)
    assert len(linked) == 3
    assert not {*linked} & RECORDINGS
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", first) == ["docs/sounds.png"]


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_a_clip_is_small_can_be_heard_and_says_what_it_is(path: Path) -> None:
    assert path.stat().st_size < 60_000
    with sf.SoundFile(path) as file:
        wav, comment = file.read(dtype="float32"), file.comment
        assert 1.9 < len(wav) / file.samplerate < 9
    loud = np.abs(wav[: len(wav) // 1600 * 1600].reshape(-1, 1600)).max(axis=1) > 0.01
    assert loud.mean() > 0.3
    if path.stem in RECORDINGS:
        assert comment.startswith("A recording: ")
    else:
        assert "made by wavenet" in comment
    # Whoever spoke is credited in the file itself.
    spoken = not path.stem.startswith(("voice", "flute", "tune"))
    assert ("Allison Smith, CC BY-SA 3.0" in comment) == spoken


def test_a_continued_clip_begins_with_the_recording_and_then_leaves_it() -> None:
    (recording, rate), (continued, _) = read("sentence"), read("sentence-continued")
    ends = round(sounds.PROMPT_SECONDS * rate)
    begun = slice(0, ends - 500)
    assert np.corrcoef(recording[begun], continued[begun])[0, 1] > 0.99
    rest = slice(ends + 500, len(recording))
    assert abs(np.corrcoef(recording[rest], continued[rest])[0, 1]) < 0.5


def test_the_stages_begin_alike() -> None:
    clips = [read(f"stage-{step}") for step in sounds.STAGES]
    ends = round(sounds.LEAD_SECONDS * clips[0][1])
    for clip, _ in clips[1:]:
        assert np.corrcoef(clips[0][0][: ends - 500], clip[: ends - 500])[0, 1] > 0.99
        assert np.corrcoef(clips[0][0][ends + 500 :], clip[ends + 500 :])[0, 1] < 0.9


def test_every_picture_of_the_pages_is_made_by_a_script() -> None:
    made = [student_figures.FOLDER / name for name in student_figures.PICTURES]
    made += [DOCS / name for name in sound_figures.PICTURES]
    made += [gallery.PICTURES / name for _, _, name in gallery.reports() if name]
    made += [gallery.PICTURES / name for name in ("paper.png", "measured.png")]
    made.append(studio_pictures.PICTURE)
    assert sorted(made) == sorted(DOCS.rglob("*.png"))
    tools = {student_figures, sound_figures, gallery, studio_pictures}
    assert set(pictures.TOOLS) == tools


def test_a_check_of_the_pictures_leaves_them_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"before")

    def draw_all() -> list[Path]:
        (tmp_path / "a.png").write_bytes(b"after")
        (tmp_path / "new.png").write_bytes(b"new")
        return [tmp_path / "a.png"]

    monkeypatch.setattr(pictures, "DOCS", tmp_path)
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    monkeypatch.setattr(pictures, "TOOLS", (SimpleNamespace(draw_all=draw_all),))
    monkeypatch.setattr("sys.argv", ["pictures", "--check"])
    with pytest.raises(SystemExit) as ended:
        pictures.main()
    assert ended.value.code == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"before"}


# Letters and colours of another version of matplotlib may differ a little.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "place"),
    [(student_figures, "FOLDER"), (gallery, "PICTURES"), (sound_figures, "DOCS")],
    ids=["student", "gallery", "sound"],
)
def test_the_pictures_are_what_their_scripts_draw(
    tool: ModuleType, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = getattr(tool, place)
    monkeypatch.setattr(tool, place, tmp_path)
    drawn = tool.draw_all()
    assert drawn
    for path in drawn:
        with Image.open(path) as new, Image.open(folder / path.name) as old:
            assert new.size == old.size, path.name
            one, other = (np.array(image.convert("RGB"), float) for image in (new, old))
        # Of what is drawn, and not of the paper around it.
        ink = (one.min(axis=2) < 250) | (other.min(axis=2) < 250)
        differs = np.abs(one - other).max(axis=2) > 60
        assert (differs & ink).sum() < 0.03 * ink.sum(), path.name
