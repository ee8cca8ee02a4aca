"""Labels of recordings: each rule, and what each refuses."""

from pathlib import Path

import pytest

from wavenet.data import labels
from wavenet.errors import CorpusError

NAMES = ["allison/1.wav", "allison/loud/2.wav", "bob/3.flac"]
VOICES = {"allison/1.wav": "Allison", "allison/loud/2.wav": "Allison", "bob/3.flac": "Bob"}


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(names: list[str], folder: Path, rule: str) -> CorpusError:
    with pytest.raises(CorpusError) as caught:
        labels.read(names, folder, rule)
    assert str(caught.value).isprintable()
    return caught.value


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_is_its_recordings_label() -> None:
    by_file = labels.read(NAMES, Path("voices"), "folder")
    assert [*by_file] == NAMES
    assert [*by_file.values()] == ["allison", "allison/loud", "bob"]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, ["19/198", "19/198/x", "26/198"]),
        (1, ["19", "19", "26"]),
        (2, ["19/198", "19/198", "26/198"]),
        (9, ["19/198", "19/198/x", "26/198"]),
    ],
)
def test_as_many_outer_folders_make_a_label_as_are_asked_for(
    depth: int, expected: list[str]
) -> None:
    names = ["19/198/a.wav", "19/198/x/a.wav", "26/198/a.wav"]
    assert [*labels.read(names, Path("libri"), "folder", depth).values()] == expected


def test_folders_within_folders_are_noticed_where_they_make_more_labels() -> None:
    assert labels.outer_folders(["19/198", "19/227", "26/198"]) == ["19", "26"]
    # As many labels as outer folders, in any depth.
    assert labels.outer_folders(["19/198", "26/198"]) == []
    assert labels.outer_folders(["ada", "bob"]) == []


def test_a_label_of_a_table_that_is_not_known_is_answered_with_the_nearest() -> None:
    with pytest.raises(CorpusError, match="did you mean theo") as caught:
        labels.label_ids({"a.wav": "Teo"}, Path("voices"), ("jackson", "theo"))
    assert "jackson, theo" in caught.value.reason


def test_a_label_is_spelt_in_one_way_whatever_the_disk_does() -> None:
    names = ["Zoe\u0308/1.wav", "Zo\u00eb/2.wav", " Zo\u00eb /3.wav"]
    assert set(labels.read(names, Path("voices"), "folder").values()) == {"Zo\u00eb"}


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a.wav", *NAMES], ": a.wav"),
        (["a.wav", *NAMES, "b.wav"], ": a.wav and 1 more"),
        (["a.wav", "b.wav"], "no subfolders"),
    ],
)
def test_a_recording_outside_all_folders_is_named_with_the_other_ways(
    names: list[str], word: str
) -> None:
    error = refused(names, Path("voices"), "folder")
    assert error.subject == Path("voices")
    assert error.reason.endswith(word) or word in error.reason
    assert "labels.csv" in error.advice
    assert labels.EXAMPLE in error.advice


def test_a_name_of_any_bytes_is_refused_in_words() -> None:
    # Python reads a name that is not UTF-8 with such surrogates.
    error = refused(["\udce9t\udce9/1.wav"], Path("voices"), "folder")
    assert str(error).startswith(r"voices: \udce9t\udce9/1.wav: its label \udce9t\udce9 holds")
    assert "empty" in refused([" /1.wav"], Path("voices"), "folder").reason


# --- a table --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "allison/1.wav,Allison\nallison/loud/2.wav,Allison\nbob/3.flac,Bob\n",
        "file,label\r\nallison\\1.wav,Allison\r\nallison\\loud\\2.wav,Allison\r\nbob\\3.flac,Bob\r\n",
        "\ufeffFile, Label\n1,Allison\n\n2 , Allison\n3.flac,Bob",
        "./allison/1,Allison\nallison/loud/2,Allison\nbob/3,Bob\nbob/3.flac,Bob\n"
        "bob/skipped.wav,Carol\nskipped.wav,\n",
        '"allison/1.wav","Allison"\n"2.wav",Allison\nbob/3.flac,"Bob"\n',
    ],
)
def test_a_table_names_files_in_any_sensible_way(text: str, tmp_path: Path) -> None:
    table(tmp_path, text)
    by_file = labels.read(NAMES, tmp_path, "labels.csv")
    assert by_file == VOICES
    assert list(by_file) == NAMES


def test_a_table_is_looked_for_as_given_and_then_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voices").mkdir()
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "voices", "a,inside", "T.CSV")
    assert labels.read(["a.wav"], Path("voices"), "T.CSV") == {"a.wav": "inside"}
    table(tmp_path, "a,here", "T.CSV")
    assert labels.read(["a.wav"], Path("voices"), "T.CSV") == {"a.wav": "here"}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert labels.read(["a.wav"], Path("voices"), "~/T.CSV") == {"a.wav": "here"}


def test_a_table_knows_names_of_any_bytes_and_spellings(tmp_path: Path) -> None:
    table(tmp_path, "Zo\u00eb.wav,z\nrest/b,b\n")
    names = ["Zoe\u0308.wav", "rest\\b.wav"]
    assert labels.read(names, tmp_path, "labels.csv") == dict(zip(names, "zb", strict=True))
    assert r"\udce9.wav" in str(refused([*names, "\udce9.wav"], tmp_path, "labels.csv"))


def test_a_full_name_goes_before_a_base_name(tmp_path: Path) -> None:
    table(tmp_path, "a.wav,root\nbob/a.wav,bob\nb,bare\nb.wav,full\n")
    names = ["a.wav", "bob/a.wav", "b", "b.wav"]
    expected = dict(zip(names, ["root", "bob", "bare", "full"], strict=True))
    assert labels.read(names, tmp_path, "labels.csv") == expected


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("file,label\n1.wav;Allison\n", 2, "1.wav;Allison is not file,label"),
        ("1.wav,Allison,loud\n", 1, "is not file,label"),
        ("\n,Allison\n", 2, ",Allison is not file,label"),
        ('1.wav,Allison\n"2.wav,Allison\n', 2, "unexpected end of data"),
        ("1.wav, \n", 1, "empty"),
        ("1.wav,Alli\x07son\n", 1, "printed"),
        ("1,Allison\n3,Bob\nallison/1.wav,Carol\n", 3, "Carol here and Allison in line 1"),
        (b"1.wav,Allison\n2.wav,All\xefson\n", 2, "UTF-8"),
        ("1.wav,Allison\n".encode("utf-16"), 1, "UTF-8"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(
    text: str | bytes, line: int, words: str, tmp_path: Path
) -> None:
    path = table(tmp_path, text)
    error = refused(NAMES, tmp_path, "labels.csv")
    assert str(error.subject).startswith(f"{path}: line {line}")
    assert words in error.reason


def test_a_recording_without_a_row_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "1.wav,Allison\n")
    error = refused(NAMES, tmp_path, str(path))
    assert error.subject == path
    assert "allison/loud/2.wav and 1 more" in error.reason
    table(tmp_path, "1.wav,Allison\nvoices/bob/3.flac,Bob\nx,y\n2,Allison\n")
    # Rows of no recording say how the table and the folder differ.
    error = refused(NAMES, tmp_path, str(path))
    assert "for bob/3.flac" in error.reason
    assert "2, the first for voices/bob/3.flac" in error.reason


def test_a_base_name_of_two_recordings_is_refused(tmp_path: Path) -> None:
    table(tmp_path, "1,Allison\n")
    error = refused(["a/1.wav", "b/1.wav"], tmp_path, "labels.csv")
    assert "a/1.wav or b/1.wav" in error.reason


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused(NAMES, tmp_path, "no.csv").subject == "no.csv"
    (tmp_path / "folder.csv").mkdir()
    assert refused(NAMES, tmp_path, "folder.csv").subject == tmp_path / "folder.csv"
    assert "cannot be read" in refused(NAMES, tmp_path, "a\0.csv").reason


# --- a pattern ------------------------------------------------------------------------------------


def test_a_pattern_finds_the_label_in_the_name() -> None:
    names = ["0_jackson_1.wav", "deep/9_theo_12.flac", "\udce9/7_Zoe\u0308_1.wav"]
    digits = labels.read(names, Path("digits"), r"\d_(?P<label>\w+)_\d+")
    assert list(digits.values()) == ["jackson", "theo", "Zo\u00eb"]
    voices = labels.read(NAMES, Path("voices"), "^(?P<label>[^/]+)/")
    assert voices["allison/loud/2.wav"] == "allison"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("(?P<label>[a-z", "unterminated character set"),
        ("folders", "neither folder nor a .csv file"),
        ("(?P<label>bob)", "in allison/1.wav and 1 more in voices"),
        ("^(?P<label>x)?", "in allison/1.wav and 2 more in voices"),
        ("(?P<label>x*)", "empty"),
    ],
)
def test_a_pattern_that_gives_no_label_is_refused(rule: str, words: str) -> None:
    error = refused(NAMES, Path("voices"), rule)
    assert str(error.subject).startswith(f"`label_from` {rule}")
    assert words in error.reason


# --- numbers ----------------------------------------------------------------------------------


def test_labels_are_numbered_as_the_network_knows_them() -> None:
    by_name = {"a": "x", "b": "y"}
    assert labels.label_ids(by_name, Path("voices"), ("z", "y", "x")) == {"a": 2, "b": 1}
    with pytest.raises(CorpusError) as caught:
        labels.label_ids(by_name, Path("voices"), ("x",), "relabel it")
    assert "b has the label y" in caught.value.reason
    assert caught.value.advice == "relabel it"
