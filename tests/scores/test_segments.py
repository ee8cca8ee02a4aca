"""Labelled segments: typed, and from the files of other programs."""

import codecs
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import write_midi
from wavenet.errors import ScoreError, UsageError, WavenetError
from wavenet.scores import segments, textgrid
from wavenet.scores.segments import Segment

pytest.importorskip("praatio")
WORDS = [(0, 0.25, ""), (0.25, 0.75, " one "), (0.75, 1.0, 'a "b"'), (1.0, 1.5, "cafe\u0301")]
EXPECTED = [Segment(0.25, 0.75, "one"), Segment(0.75, 1, 'a "b"'), Segment(1, 1.5, "café")]
POINT = "point"


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def long_grid(**tiers: list[tuple[float, float, str]]) -> str:
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        "xmax = 1.5 ",
    ]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for i, (name, rows) in enumerate(tiers.items(), 1):
        kind = "TextTier" if name == POINT else "IntervalTier"
        noun = "points" if name == POINT else "intervals"
        lines += [
            f"    item [{i}]:",
            f'        class = "{kind}" ',
            f"        name = {quoted(name)} ",
        ]
        lines += [
            "        xmin = 0 ",
            "        xmax = 1.5 ",
            f"        {noun}: size = {len(rows)} ",
        ]
        for j, (start, end, label) in enumerate(rows, 1):
            lines.append(f"        {noun} [{j}]:")
            if name == POINT:
                lines += [f"            number = {start} ", f"            mark = {quoted(label)} "]
            else:
                lines += [f"            xmin = {start} ", f"            xmax = {end} "]
                lines.append(f"            text = {quoted(label)} ")
    return "\n".join(lines)


def short_grid(**tiers: list[tuple[float, float, str]]) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "1.5", "<exists>"]
    lines.append(str(len(tiers)))
    for name, rows in tiers.items():
        lines += ['"IntervalTier"', quoted(name), "0", "1.5", str(len(rows))]
        for start, end, label in rows:
            lines += [str(start), str(end), quoted(label)]
    return "\n".join(lines)


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_typed_labels_follow_each_other() -> None:
    assert segments.parse("three:0.5 -:0.25 four ha:ha:1") == [
        Segment(0, 0.5, "three"),
        Segment(0.75, 1.25, "four"),
        Segment(1.25, 2.25, "ha:ha"),
    ]
    assert segments.parse("cafe\u0301@2")[0].label == "café@2"


@pytest.mark.parametrize("text", ["", "-", "a:b", "a:0", "\x01", "a:99999", "\ud800"])
def test_what_is_no_typed_label(text: str) -> None:
    with pytest.raises(UsageError, match="`segments`"):
        segments.parse(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", [long_grid, short_grid])
def test_both_formats_of_textgrids(tmp_path: Path, form: object, encoding: str) -> None:
    text = form(words=WORDS)  # type: ignore[operator]
    for end in ("\n", "\r\n", "\r"):
        path = written(tmp_path, "a.TextGrid", text.replace("\n", end), encoding)
        assert segments.read(path) == EXPECTED
    big = written(tmp_path, "b.textgrid", "")
    big.write_bytes(codecs.BOM_UTF16_BE + text.encode("utf-16-be"))
    assert segments.read(big) == EXPECTED


@pytest.mark.parametrize("form", [long_grid, short_grid])
def test_times_with_exponents(tmp_path: Path, form: Callable[..., str]) -> None:
    text = form(words=[(0, 5e-05, ""), (5e-05, 0.104, "one"), (0.104, 1.5, "xmax = 1e-05")])
    path = written(tmp_path, "a.TextGrid", text.replace("0.104", "1.04e-01"))
    expected = [Segment(5e-05, 0.104, "one"), Segment(0.104, 1.5, "xmax = 1e-05")]
    assert segments.read(path) == expected


def test_the_tier_is_the_only_one_of_intervals_or_the_one_named(tmp_path: Path) -> None:
    phones = [(0, 1.5, "x")]
    path = written(tmp_path, "a.TextGrid", long_grid(point=[(1, 1, "p")], words=WORDS))
    assert segments.read(path) == EXPECTED
    path = written(tmp_path, "a.TextGrid", long_grid(words=WORDS, phones=phones))
    with pytest.raises(ScoreError, match="several tiers: words and phones; choose one with `tier`"):
        segments.read(path)
    assert segments.read(path, tier=" phones") == [Segment(0, 1.5, "x")]
    with pytest.raises(
        UsageError, match=r"`tier` word: unknown; .*a\.TextGrid has words and phones"
    ):
        segments.read(path, tier="word")
    path = written(tmp_path, "a.TextGrid", long_grid(point=[(1, 1, "p")]))
    with pytest.raises(ScoreError, match="no interval tier"):
        segments.read(path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("hello", "is no TextGrid"),
        ('{"tiers": []}', "is no TextGrid"),
        (long_grid(words=WORDS[:-1]), "is damaged: intervals end at 1 s"),
        (short_grid(words=WORDS)[:-20], "is damaged"),
        (long_grid(words=WORDS)[:-8], "is damaged"),
        (long_grid(words=WORDS).replace("xmin = 0 ", "xmin = -1 ", 1), "begins before 0"),
        (long_grid(words=WORDS).replace("0.75", "half"), "is damaged"),
        (short_grid(words=WORDS).replace("0.75", "half"), "has no times"),
        (long_grid(words=[(0, 1.5, "  ")]), "holds no labels"),
        (
            long_grid(words=[(0, 1, "a"), (0.5, 1.5, "b")]),
            "b begins at 0.5 s, before a ends at 1 s",
        ),
        (long_grid(), "has no interval tier"),
        (short_grid(), "is damaged"),
    ],
)
def test_textgrids_that_cannot_be_read(tmp_path: Path, text: str, part: str) -> None:
    path = written(tmp_path, "a.TextGrid", text)
    with pytest.raises(ScoreError) as caught:
        segments.read(path)
    assert part in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_binary_textgrid(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"ooBinaryFile\x08TextGrid\0\0")
    with pytest.raises(ScoreError, match="binary TextGrid; save it in Praat as a text file"):
        segments.read(path)


def test_two_tiers_of_one_name(tmp_path: Path) -> None:
    text = long_grid(words=WORDS, others=WORDS).replace("others", "words")
    with pytest.raises(UsageError, match="several of this name"):
        segments.read(written(tmp_path, "a.TextGrid", text), tier="words")


def test_a_label_track(tmp_path: Path) -> None:
    frequencies, silence = "\\\t100.0\t2000.0\n", "2\t3\t\n4\t5"
    text = f'1.0\t1.5\tcafe\u0301\n{frequencies}0.25\t0.75\t one \n\n0.75\t1.0\ta "b"\n{silence}'
    assert segments.read(written(tmp_path, "a.txt", text)) == EXPECTED


def test_a_table(tmp_path: Path) -> None:
    rows = '1.0,1.5,cafe\u0301\r\n0.25,0.75, one \r\n0.75,1,"a ""b"""\r\n2,3,\r\n'
    for header in ("", "Start, End, Label\n"):
        path = written(tmp_path, "a.csv", header + rows, "utf-8-sig")
        assert segments.read(path) == EXPECTED


def test_notes_are_labels(tmp_path: Path) -> None:
    rows = [(0, 1, 61, 90), (480, 1, 61, 0), (0, 2, 72, 9), (960, 2, 72, 0)]
    path = write_midi(tmp_path / "a.mid", rows)
    assert segments.read(path, channel=1) == [Segment(0, 0.5, "C#4")]
    with pytest.raises(ScoreError, match="channels 1 and 2"):
        segments.read(path)


def test_rounded_times_are_no_overlap(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "0,1.0004,a\n1,2,b\n")
    assert segments.read(path) == [Segment(0, 1, "a"), Segment(1, 2, "b")]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.csv", "0,1,a\n0.5,2,b\n", "line 2: b begins at 0.5 s, before a ends at 1 s"),
        ("a.csv", "0,1,a\n0,1,b\n", "line 2: b begins"),
        ("a.csv", "0,1\n", "line 1: 0,1 is not start,end,label"),
        ("a.csv", "0,1,a,b\n", "double quotes"),
        ("a.csv", 'x\n"a', "line 1: x is not"),
        ("a.csv", '0,1,"a', "not a row of start,end,label"),
        ("a.csv", "0,1,a\nstart,end,label\n", "line 2: start and end are not two times"),
        ("a.csv", "0;1;a\n", "three columns; write commas between them"),
        ("a.csv", "\n\n", "holds no labels"),
        ("a.csv", "start,end,label\n", "holds no labels"),
        ("a.csv", "0,nan,a\n", "line 1: a at 0 s its times must be numbers"),
        ("a.csv", "-1,1,a\n", "begins before 0"),
        ("a.csv", "2,1,a\n", "ends before it begins"),
        ("a.csv", "0,1e9,a\n", "more than a day"),
        ("a.csv", "0,1,a\x07\n", "cannot be printed"),
        ("a.csv", "0,1,\0\n", "is no text"),
        ("a.txt", "0,5\t0,7\tx\n", "line 1: 0,5 and 0,7 are not two times; times are in seconds"),
        ("a.txt", "1.0\t1.0\tx\n", "is a point in time; mark it from where it begins"),
        ("a.txt", "What a reader reads.\n", "line 1: has no tab in it"),
        ("a.txt", "", "is empty"),
        ("a.wav", "x", "their names end in .textgrid, .csv, .mid, .midi and .txt"),
    ],
)
def test_files_that_cannot_be_followed(tmp_path: Path, name: str, text: str, part: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(ScoreError) as caught:
        segments.read(path)
    assert part in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.TextGrid"])
def test_rubbish_and_other_encodings(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("0,1,a\n1,2,é\n".encode("latin-1"))
    with pytest.raises(ScoreError, match="line 2: not UTF-8 text; save it as text in UTF-8"):
        segments.read(path)
    path.write_bytes(b"\xff\xfe\x00\xd8\x00")
    with pytest.raises(ScoreError):
        segments.read(path)
    with pytest.raises(ScoreError, match="no such file"):
        segments.read(path.with_name("other-" + name))


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["a.csv", "a.txt", "long.TextGrid", "short.TextGrid"]),
    st.integers(0, 600),
    st.text(alphabet='0.5,\t\n"[]= ax\\', max_size=6),
    st.integers(0, 500),
)
def test_damage_anywhere_is_segments_or_one_error(
    tmp_path: Path, name: str, place: int, damage: str, cut: int
) -> None:
    texts = {"long": long_grid(words=WORDS), "short": short_grid(words=WORDS)}
    text = texts.get(name.partition(".")[0], "0,1,a\n1,2,b\n" if "csv" in name else "0\t1\ta\n")
    text = text[:place] + damage + text[place + len(damage) :]
    path = written(tmp_path, name, text[: max(0, len(text) - cut)])
    with suppress(WavenetError):
        found = segments.read(path)
        assert found
        assert all(a.end <= b.start for a, b in pairwise(found))


def test_the_file_beside_a_recording(tmp_path: Path) -> None:
    recording = tmp_path / "take.1.flac"
    assert segments.beside(recording) is None
    grid = written(tmp_path, "take.1.TextGrid", "x")
    assert segments.beside(recording) == grid
    # A transcript beside it is none.
    transcript = written(tmp_path, "take.1.TXT", "x")
    assert segments.beside(recording) == grid
    grid.unlink()
    assert segments.beside(recording) == transcript


def test_a_textgrid_keeps_its_empty_intervals(tmp_path: Path) -> None:
    path = written(tmp_path, "a.TextGrid", short_grid(words=WORDS))
    assert [row.label for row in textgrid.rows(path)] == ["", "one", 'a "b"', "cafe\u0301"]
