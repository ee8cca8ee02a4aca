"""Labels of recordings: each rule, and each message read once."""

import re
from pathlib import Path

import pytest

from wavenet.data import labels
from wavenet.errors import CorpusError, EngineError
from wavenet.model import known_labels

NAMES = ["allison/1.wav", "allison/loud/2.wav", "bob/3.flac"]
VOICES = {"allison/1.wav": "Allison", "allison/loud/2.wav": "Allison", "bob/3.flac": "Bob"}
THREE_WAYS = (
    "there are three ways: a folder for every label, "
    "--label-from labels.csv with rows of file,label, "
    r"or a pattern on the names, --label-from '(?P<label>[a-z]+)_\d+'"
)


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(names: list[str], folder: Path, rule: str) -> str:
    with pytest.raises(CorpusError) as caught:
        labels.read(names, folder, rule)
    message = str(caught.value)
    assert message.isprintable()
    return message


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_is_its_recordings_label() -> None:
    by_file = labels.read(NAMES, Path("voices"), "folder")
    assert by_file == {
        "allison/1.wav": "allison",
        "allison/loud/2.wav": "allison/loud",
        "bob/3.flac": "bob",
    }
    assert list(by_file) == NAMES


def test_a_label_is_spelt_in_one_way_whatever_the_disk_does() -> None:
    names = ["Zoe\u0308/1.wav", "Zo\u00eb/2.wav", " Zo\u00eb /3.wav"]
    assert set(labels.read(names, Path("voices"), "folder").values()) == {"Zo\u00eb"}


def test_a_recording_outside_all_folders_is_named() -> None:
    one = refused(["a.wav", *NAMES], Path("voices"), "folder")
    assert one == f"voices: in no subfolder to take a label from: a.wav; {THREE_WAYS}"
    two = refused(["a.wav", *NAMES, "b.wav"], Path("voices"), "folder")
    assert "from: a.wav and 1 more; there are" in two


def test_a_folder_without_folders_says_so() -> None:
    message = refused(["a.wav", "b.wav"], Path("voices"), "folder")
    assert message == f"voices: has no subfolders to take labels from; {THREE_WAYS}"


def test_a_name_of_any_bytes_is_refused_in_words() -> None:
    # Python reads a name that is not UTF-8 with such surrogates.
    raw = "\udce9t\udce9/1.wav"
    assert refused([raw], Path("voices"), "folder") == (
        r"voices: \udce9t\udce9/1.wav: its label \udce9t\udce9 holds a character "
        "that cannot be printed; rename it"
    )
    assert refused([" /1.wav"], Path("voices"), "folder") == "voices:  /1.wav: its label is empty"


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
    message = refused([*names, "\udce9.wav"], tmp_path, "labels.csv")
    assert r"has no row for \udce9.wav in" in message


def test_a_full_name_goes_before_a_base_name(tmp_path: Path) -> None:
    table(tmp_path, "a.wav,root\nbob/a.wav,bob\nb,bare\nb.wav,full\n")
    names = ["a.wav", "bob/a.wav", "b", "b.wav"]
    expected = dict(zip(names, ["root", "bob", "bare", "full"], strict=True))
    assert labels.read(names, tmp_path, "labels.csv") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,label\n1.wav;Allison\n",
            "line 2: 1.wav;Allison is not file,label: two columns, one comma",
        ),
        (
            "1.wav,Allison,loud\n",
            "line 1: 1.wav,Allison,loud is not file,label: two columns, one comma",
        ),
        ("\n,Allison\n", "line 2: ,Allison is not file,label: two columns, one comma"),
        (
            '1.wav,Allison\n"2.wav,Allison\n',
            "line 2: not a row of file,label (unexpected end of data)",
        ),
        ("1.wav, \n", "line 1: 1.wav: its label is empty"),
        (
            "1.wav,Alli\x07son\n",
            r"line 1: 1.wav: its label Alli\x07son holds a character "
            "that cannot be printed; rename it",
        ),
        (
            "1,Allison\n3,Bob\nallison/1.wav,Carol\n",
            "line 3: allison/1.wav is Carol here and Allison in line 1; keep one of them",
        ),
        (
            b"1.wav,Allison\n2.wav,All\xefson\n",
            "line 2: not UTF-8 text; save the table as CSV in UTF-8",
        ),
        (
            "1.wav,Allison\n".encode("utf-16"),
            "line 1: not UTF-8 text; save the table as CSV in UTF-8",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    path = table(tmp_path, text)
    assert refused(NAMES, tmp_path, "labels.csv") == f"{path}: {message}"


def test_a_recording_without_a_row_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "1.wav,Allison\n")
    advice = "write files relative to that folder"
    assert refused(NAMES, tmp_path, str(path)) == (
        f"{path}: has no row for allison/loud/2.wav and 1 more in {tmp_path}; {advice}"
    )
    table(tmp_path, "1.wav,Allison\nvoices/bob/3.flac,Bob\nx,y\n2,Allison\n")
    strangers = "rows of no recording: 2, the first for voices/bob/3.flac"
    assert refused(NAMES, tmp_path, str(path)) == (
        f"{path}: has no row for bob/3.flac in {tmp_path}; {strangers}; {advice}"
    )


def test_a_base_name_of_two_recordings_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "1,Allison\n")
    message = refused(["a/1.wav", "b/1.wav"], tmp_path, "labels.csv")
    assert message == (
        f"{path}: line 1: 1 may be a/1.wav or b/1.wav; write the folder and the suffix too"
    )


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused(NAMES, tmp_path, "no.csv") == (
        f"no.csv: no such file here, nor in {tmp_path}; it holds rows of file,label"
    )
    (tmp_path / "folder.csv").mkdir()
    message = refused(NAMES, tmp_path, "folder.csv")
    assert re.fullmatch(r".*folder\.csv: cannot be read \(.+\)", message)
    assert re.fullmatch(r"a\\x00\.csv: cannot be read \(.+\)", refused(NAMES, tmp_path, "a\0.csv"))


# --- a pattern ------------------------------------------------------------------------------------


def test_a_pattern_finds_the_label_in_the_name() -> None:
    names = ["0_jackson_1.wav", "deep/9_theo_12.flac", "\udce9/7_Zoe\u0308_1.wav"]
    digits = labels.read(names, Path("digits"), r"\d_(?P<label>\w+)_\d+")
    assert list(digits.values()) == ["jackson", "theo", "Zo\u00eb"]
    voices = labels.read(NAMES, Path("voices"), "^(?P<label>[^/]+)/")
    assert voices["allison/loud/2.wav"] == "allison"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "(?P<label>[a-z",
            "not a regular expression (unterminated character set at position 10); "
            "for example '{example}'",
        ),
        (
            "folders",
            "neither folder nor a .csv file, and as a pattern it has no group named label; "
            "for example '{example}'",
        ),
        (
            "(?P<label>bob)",
            "finds no label in allison/1.wav and 1 more in voices; for example '{example}'",
        ),
        (
            "^(?P<label>x)?",
            "finds no label in allison/1.wav and 2 more in voices; for example '{example}'",
        ),
        ("(?P<label>x*)", "allison/1.wav: its label is empty"),
    ],
)
def test_a_pattern_that_gives_no_label_is_refused(rule: str, message: str) -> None:
    expected = f"--label-from {rule}: {message}".replace("{example}", r"(?P<label>[a-z]+)_\d+")
    assert refused(NAMES, Path("voices"), rule) == expected


def test_a_pattern_that_finds_raw_bytes_is_refused_in_words() -> None:
    message = refused(["\udce9_1.wav"], Path("voices"), "(?P<label>.)_")
    assert message == (
        r"--label-from (?P<label>.)_: \udce9_1.wav: its label \udce9 holds a character "
        "that cannot be printed; rename it"
    )


# --- labels asked for -----------------------------------------------------------------------------


def test_labels_asked_for_are_found_in_order() -> None:
    known = ["jackson", "theo", "Zo\u00eb"]
    assert known_labels.choose(["theo", " Zoe\u0308 ", "theo"], known) == [1, 2, 1]
    assert known_labels.choose([], ["jackson"]) == []


@pytest.mark.parametrize(
    ("asked", "known", "message"),
    [
        (
            "jakson",
            ["jackson", "theo"],
            "--label jakson: unknown; the model knows jackson, theo; did you mean jackson?",
        ),
        ("7", ["jackson", "theo"], "--label 7: unknown; the model knows jackson, theo"),
        (
            "p99",
            [f"p{i}" for i in range(57)],
            "--label p99: unknown; the model knows "
            f"{', '.join(f'p{i}' for i in range(20))}, ... (20 of 57)",
        ),
        ("theo", [], "--label theo: the model was trained without labels; leave it out"),
    ],
)
def test_an_unknown_label_is_refused_with_the_known_ones(
    asked: str, known: list[str], message: str
) -> None:
    with pytest.raises(EngineError) as caught:
        known_labels.choose([asked], known)
    assert str(caught.value).partition("; did you mean p")[0] == message
