"""Notes as they are typed and moved, and one voice of them."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.errors import ScoreError, UsageError, WavenetError
from wavenet.scores import limits, typed
from wavenet.scores.notes import (
    Note,
    at_tempo,
    name_of,
    parse,
    require_one_voice,
    transposed,
)


def test_typed_notes_follow_each_other() -> None:
    assert parse("C4:0.25 D4 | -:1, e4:.5@100\n-  F4") == [
        Note(0, 0.25, 60),
        Note(0.25, 0.5, 62),
        Note(1.5, 2.0, 64, 100),
        # A rest lasts as long as the note before it, too.
        Note(2.5, 3.0, 65),
    ]
    assert parse("A4") == [Note(0, 0.5, 69)]


def test_a_rest_does_not_set_how_long_notes_last() -> None:
    assert [n.end - n.start for n in parse("C4:1 -:0.25 D4")] == [1, 1]


@pytest.mark.parametrize(
    ("name", "pitch"),
    [
        ("C-1", 0),
        ("C−1", 0),
        ("c4", 60),
        ("C#4", 61),
        ("D♭4", 61),
        ("f♯3", 54),
        ("Bb4", 70),
        ("bb4", 70),
        ("B4", 71),
        ("Cb4", 59),
        ("B#3", 60),
        ("Ebb4", 62),
        ("A0", 21),
        ("B9", 131),
    ],
)
def test_names_of_notes(name: str, pitch: int) -> None:
    assert parse(name)[0].pitch == pitch


def test_every_pitch_has_a_name_that_is_read_back() -> None:
    assert [parse(name_of(pitch))[0].pitch for pitch in range(132)] == list(range(132))
    assert [name_of(pitch) for pitch in (60, 66, 60.4, 60.5)] == ["C4", "F#4", "C4", "C#4"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("C4 H4", "word 2, H4: is no name of a note"),
        ("C4 D", "word 2, D: is no name"),
        ("C10", "word 1, C10"),
        ("Cb-1", "is no name of a note from C-1 to B9"),
        ("B#9", "is no name of a note from C-1 to B9"),
        ("C#b4", "is no name"),
        ("C4:half", "word 1, C4:half: what stands behind its colon is no number"),
        ("C4:", "no number of seconds"),
        ("C4:-1", "no number of seconds"),
        ("C4:nan", "no number of seconds"),
        ("C4:٣", "no number of seconds"),
        ("C4:0", "lasts less than"),
        ("C4:0,5", "decimals have a point"),
        (":1", "has no name"),
        ("C4@", "nothing stands behind @"),
        ("C4@0", "its velocity must be a whole number from 1 to 127"),
        ("C4@128", "its velocity"),
        ("C4@1.5", "its velocity"),
        ("C4@100:1", "its velocity"),
        ("-@3", "a rest has no velocity"),
        ("C4:86401", "more than a day"),
        ("C4:86399 -:2", "word 2, -:2: ends after more than a day"),
        ("C4:" + "9" * 400, "more than a day"),
        ("", "holds nothing that sounds"),
        (" |, -:3 ", "holds nothing that sounds"),
        ("\0", "is no name"),
    ],
)
def test_what_is_no_note_is_one_clear_error(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_more_notes_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed, "MOST", 3)
    monkeypatch.setattr(limits, "MOST", 3)
    notes = parse("C4 C4 - C4")
    with pytest.raises(UsageError, match="`notes`: has more than 3 names; cut it into several"):
        parse("C4 C4 - C4 C4")
    with pytest.raises(ScoreError, match="has more than 3 notes"):
        require_one_voice([*notes, Note(9, 10, 60)])


@pytest.mark.property
@given(st.text(alphabet="CDb#4:.5@-| ,H1♯\n\0é", max_size=30))
def test_any_text_is_notes_or_one_error(text: str) -> None:
    with suppress(WavenetError):
        notes = parse(text)
        assert require_one_voice(notes) == notes


@pytest.mark.parametrize(
    "values",
    [
        (1, 1, 60),
        (2, 1, 60),
        (-1, 1, 60),
        (0, float("nan"), 60),
        (0, float("inf"), 60),
        (0, 86401, 60),
        (0, 1, 132),
        (0, 1, -0.5),
        (0, 1, float("nan")),
        (0, 1, 60, 0),
        (0, 1, 60, 128),
        (0, 1, 60, 80.5),
        (0, 1, 60, 80, ((0.5, 1), (0.4, 2))),
        (0, 1, 60, 80, ((-0.5, 1),)),
        (0, 1, 60, 80, ((0.5, float("nan")),)),
        (0, 1, 60, 80, ((0.5, 131),)),
        (0, 1, 60, 80, (0.5, 1)),
        (0, 1, 60, 80, 1),
        (0, 1, 60, 80, ((10**400, 1),)),
        (0, 1, 60, 80, (("0.5", 1),)),
        (0, 1, 60, 80, ((0.5, 1 + 2j),)),
        (0, 1, 60, 80, [(0.5, 1)]),
        (0, 1, 60, 80, iter([(0.5, 1)])),
    ],
)
def test_a_note_cannot_be_what_no_note_is(values: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        Note(*values)


def test_transposed() -> None:
    notes = parse("C4 E4")
    assert [n.pitch for n in transposed(notes, -1.5)] == [58.5, 62.5]
    with pytest.raises(UsageError, match="`transpose` 68: moves E4 out of the range"):
        transposed(notes, 68)


def test_tempo() -> None:
    notes = parse("C4:1 D4:0.5")
    assert at_tempo(notes, 2) == parse("C4:0.5 D4:0.25") == parse("C4:1 D4:0.5", tempo=2)
    assert at_tempo([Note(0, 1, 60, bends=((0.5, 1),))], 2)[0].bends == ((0.25, 1),)
    for factor in (0, -1, float("nan"), float("inf"), 1e-3):
        with pytest.raises(UsageError, match="`tempo`"):
            at_tempo(notes, factor)
    with pytest.raises(UsageError, match="more than a day"):
        at_tempo([Note(0, 80000, 60)], 0.5)


def test_a_legato_overlap_is_cut() -> None:
    first, second = Note(0, 1.02, 60), Note(1, 2, 62)
    assert require_one_voice([second, first]) == [replace(first, end=1), second]


@pytest.mark.parametrize(
    "other",
    [Note(0.9, 2, 64), Note(0.5, 0.51, 64), Note(0, 1, 64), Note(0, 0.01, 64)],
)
def test_chords_are_refused(other: Note) -> None:
    with pytest.raises(ScoreError, match=r"at \d\.\d\d s .*sound at once") as caught:
        require_one_voice([Note(0, 1, 60), other])
    assert {"C4", "E4"} <= set(str(caught.value).split())


def test_no_notes_are_no_voice() -> None:
    with pytest.raises(ScoreError, match="no notes"):
        require_one_voice([])


@pytest.mark.parametrize("values", [(0, 1, "C4"), ("0", 1, 60), (0, None, 60), (0, 1, None)])
def test_a_note_of_something_else_than_numbers_is_refused(values: Any) -> None:
    with pytest.raises(UsageError, match="must be"):
        Note(*values)
