"""Files and several folders are chosen as one folder is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import noisy, tone, write_recordings
from wavenet.config import AudioConfig
from wavenet.data.cache_folders import entries
from wavenet.data.discovery import audio_files
from wavenet.data.pcm_cache import index_folder
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError, UsageError

AUDIO = AudioConfig(sample_rate=8000)
FILES = ("ada/1.wav", "ada/in/2.wav", "bob/1.wav", "cy.wav")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with recordings of three voices."""
    write_recordings(tmp_path, {name: noisy(0.2, seed=i) for i, name in enumerate(FILES)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*paths: object) -> list[str]:
    return [file.name for file in audio_files(Selection.of([Path(str(p)) for p in paths]))[0]]


def test_names_are_relative_to_the_folder_around_all_that_is_named(work: Path) -> None:
    assert names("ada") == ["1.wav", "in/2.wav"]
    assert names("ada", "bob") == ["ada/1.wav", "ada/in/2.wav", "bob/1.wav"]
    assert names("ada/in", "ada/1.wav") == ["1.wav", "in/2.wav"]
    assert names(work / "bob", "cy.wav") == ["bob/1.wav", "cy.wav"]
    assert names("ada/in/../1.wav", "cy.wav") == ["ada/1.wav", "cy.wav"]
    assert names("ada/1.wav") == ["1.wav"]
    # The words of the user stay, because other machines have other working directories.
    assert Selection.of([Path("ada"), Path("bob")]) == Selection(Path(), ("ada", "bob"))
    assert Selection.of([work / "bob", Path("ada")]) == Selection(work, ("ada", "bob"))


def test_what_is_named_twice_or_lies_in_what_is_named_counts_once(work: Path) -> None:
    once = Selection(Path("ada"))
    assert Selection.of(Path("ada")) == once
    assert Selection.of([Path("ada/in/2.wav"), Path("./ada"), Path("ada/in"), Path("ada/")]) == once
    assert Selection.of([Path("cy.wav"), Path("cy.wav")]) == Selection(Path(), ("cy.wav",))
    # A folder under two names.
    (work / "again").symlink_to(work / "bob")
    assert names("again", "bob") == ["again/1.wav"]


def test_links_keep_their_names(work: Path) -> None:
    (work / "links").mkdir()
    for who in ("ada", "bob"):
        (work / "links" / f"{who}-link").symlink_to(work / who)
    assert names("links/ada-link", "links/bob-link")[-1] == "bob-link/1.wav"


def test_a_path_that_is_not_there_is_named(work: Path) -> None:
    for given in ([work / "no"], [Path("ada"), work / "no", Path("never")]):
        with pytest.raises(CorpusError, match="no such file or folder") as e:
            Selection.of(given)
        assert e.value.subject == work / "no"
    with pytest.raises(UsageError, match="names no recordings"):
        Selection.of([])
    # Another machine may lack what the first one has.
    chosen = Selection.of([Path("ada"), Path("bob")])
    shutil.rmtree("bob")
    with pytest.raises(CorpusError) as e:
        index_folder(chosen, AUDIO, trim=False)
    assert e.value.subject == Path("bob")


def test_a_selection_says_what_it_is_of(work: Path) -> None:
    assert str(Selection.of(Path("ada"))) == "ada"
    assert str(Selection.of(work / "cy.wav")) == str(work / "cy.wav")
    assert str(Selection.of([Path("bob"), Path("ada")])) == "ada, bob"
    assert str(Selection(work, ("1", "2", "3", "4", "5"))) == f"1, 2, 3 and 2 more in {work}"


def test_a_file_that_is_named_is_tried_whatever_its_suffix(work: Path) -> None:
    (work / "cy.wav").rename("take.1")
    shutil.copy("bob/1.wav", ".hidden")
    Path("notes.txt").write_text("not audio")
    assert names(".") == ["ada/1.wav", "ada/in/2.wav", "bob/1.wav"]
    index = index_folder([Path("take.1"), Path(".hidden"), Path("notes.txt")], AUDIO, trim=False)
    assert [r.name for r in index.recordings] == [".hidden", "take.1"]
    assert [(s.name, "cannot be read as audio" in s.reason) for s in index.skipped] == [
        ("notes.txt", True)
    ]
    with pytest.raises(CorpusError, match=r"^notes\.txt: cannot be read as audio") as e:
        index_folder(Path("notes.txt"), AUDIO, trim=False)
    assert e.value.subject == Path("notes.txt")


def test_whatever_is_chosen_of_a_folder_shares_its_cache(work: Path) -> None:
    def decoded(*paths: str) -> int:
        return index_folder([Path(p) for p in paths], AUDIO, trim=False).decoded

    assert decoded("ada", "bob") == 3
    (entry,) = entries()
    assert (entry.folder, entry.paths, entry.recordings) == (str(work), ("ada", "bob"), 3)
    # One recording more is decoded, and none when a part is chosen.
    assert decoded("cy.wav", "ada") == 1
    assert decoded("cy.wav", "bob") == 0
    assert [e.paths for e in entries(of=Path("bob"))] == [("ada", "bob", "cy.wav")]
    assert entries(of=Path("ada/in")) == []
    # All of it is no choice any more, whatever is chosen later.
    for of in (".", "bob", "cy.wav"):
        assert decoded(of) == (1 if of == "bob" else 0)
    assert {e.paths for e in entries(of=Path())} == {()}


def test_a_file_alone_is_the_recording_that_it_is_in_its_folder(
    make_folder: Callable[..., Path],
) -> None:
    folder = make_folder({"a.wav": tone(0.4), "b.wav": noisy(0.4)})
    whole, one = (index_folder(f, AUDIO, trim=True) for f in (folder, folder / "b.wav"))
    assert one.recordings == whole.recordings[1:]
    assert (one.pcm(one.recordings[0]) == whole.pcm(whole.recordings[1])).all()
    assert (one.folder, one.ignored, one.decoded) == (folder, 0, 0)
