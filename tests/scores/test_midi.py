"""MIDI files as notes, and what is wrong with some."""

import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import write_midi
from wavenet.errors import ScoreError, UsageError, WavenetError
from wavenet.scores import limits, midi
from wavenet.scores.notes import Note

mido = pytest.importorskip("mido")
MELODY = [(0, 1, 60, 90), (480, 1, 60, 0), (480, 1, 62, 50), (960, 1, 62, 0)]


def variable(tick: int) -> bytes:
    return bytes([0x80 | tick >> 7, tick & 0x7F])


def raw_midi(track: bytes, ticks: bytes = b"\x01\xe0", format: int = 0) -> bytes:
    header = b"MThd\0\0\0\x06" + bytes([0, format, 0, 1]) + ticks
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


END = b"\0\xff\x2f\0"


def test_times_are_in_seconds(tmp_path: Path) -> None:
    # 120 quarter notes a minute where nothing is set.
    assert midi.read(write_midi(tmp_path / "a.mid", MELODY)) == [
        Note(0, 0.5, 60, 90),
        Note(0.5, 1.0, 62, 50),
    ]


def test_changes_of_tempo_are_followed_from_another_track(tmp_path: Path) -> None:
    path = write_midi(tmp_path / "a.mid", [(0, 1_000_000), (720, 250_000)], MELODY)
    assert [(n.start, n.end) for n in midi.read(path)] == [(0, 1.0), (1.0, 1.625)]


def test_running_status_and_sustain_pedal(tmp_path: Path) -> None:
    pedal = b"\0\xb0\x40\x7f"
    on, off = b"\0\x92\x3c\x50", variable(480) + b"\x3c\0"
    track = pedal + on + off + b"\0\x3e\x50" + off.replace(b"\x3c", b"\x3e") + END
    path = tmp_path / "a.mid"
    path.write_bytes(raw_midi(track))
    assert [(n.start, n.end, n.pitch) for n in midi.read(path)] == [(0, 0.5, 60), (0.5, 1, 62)]


def test_a_note_that_is_struck_again_or_never_ends(tmp_path: Path) -> None:
    rows = [(0, 1, 60, 90), (480, 1, 60, 70), (960, 1, 72, 0)]
    assert midi.read(write_midi(tmp_path / "a.mid", rows)) == [
        Note(0, 0.5, 60, 90),
        Note(0.5, 1.0, 60, 70),
    ]


def wheel(position: int, channel: int = 1) -> Any:
    return mido.Message("pitchwheel", channel=channel - 1, pitch=position)


def control(number: int, value: int) -> Any:
    return mido.Message("control_change", control=number, value=value)


def test_pitch_bends_are_seconds_of_their_note_and_semitones(tmp_path: Path) -> None:
    # Up half a semitone in the first note, and there until the middle of the second.
    turns = [(240, wheel(2048)), (720, wheel(0)), (960, wheel(-8192)), (1200, wheel(0))]
    first, second = midi.read(write_midi(tmp_path / "a.mid", [*MELODY, *turns]))
    assert first == Note(0, 0.5, 60, 90, ((0, 0), (0.25, 0.5)))
    # The wheel went down when that note ended, and no note was left to bend.
    assert second == Note(0.5, 1, 62, 50, ((0, 0.5), (0.25, 0)))


def test_the_wheel_has_the_range_that_the_file_sets(tmp_path: Path) -> None:
    whole = [(0, control(101, 0)), (0, control(100, 0)), (0, control(6, 12)), (0, control(38, 50))]
    # Another parameter has values of its own, and none has none.
    other = [(1, control(100, 1)), (1, control(6, 3)), (2, control(101, 127)), (2, control(6, 5))]
    turns = [(120, wheel(4096)), (240, control(121, 0))]
    path = write_midi(tmp_path / "a.mid", [*whole, *other, *turns, *MELODY[:2]])
    (note,) = midi.read(path)
    assert note.bends == ((0, 0), (0.125, 6.25), (0.25, 0))


def test_a_reset_ends_the_choice_of_a_parameter(tmp_path: Path) -> None:
    rows = [control(101, 0), control(100, 0), control(6, 12), control(121, 0), control(6, 24)]
    path = write_midi(tmp_path / "a.mid", [*((0, m) for m in rows), (0, wheel(4096)), *MELODY[:2]])
    assert [note.bends for note in midi.read(path)] == [((0, 6),)]


def test_a_wheel_that_turns_in_a_chord_takes_no_memory_for_each_note(tmp_path: Path) -> None:
    chord = [(0, 1, pitch, 90) for pitch in range(128)]
    turns = [(tick, wheel(tick % 8000 + 1)) for tick in range(1, 20_000)]
    path = write_midi(tmp_path / "a.mid", [*chord, *turns, (20_000, 1, 0, 0)])
    tracemalloc.start()
    with pytest.raises(ScoreError, match="sound at once"):
        midi.read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # For each of 128 notes it would be 300 MB.
    assert most < 50e6


def test_each_channel_has_a_wheel_of_its_own(tmp_path: Path) -> None:
    second = [(960, 4, 64, 80), (1000, wheel(8191, channel=4)), (1440, 4, 64, 0)]
    notes = midi.read(write_midi(tmp_path / "a.mid", MELODY, second))
    assert [len(note.bends) for note in notes] == [0, 0, 2]


def test_channels_that_take_turns_are_one_voice(tmp_path: Path) -> None:
    second = [(960, 4, 64, 80), (1440, 4, 64, 0)]
    path = write_midi(tmp_path / "a.mid", MELODY, second)
    assert [n.pitch for n in midi.read(path)] == [60, 62, 64]
    assert [n.pitch for n in midi.read(path, channel=4)] == [64]


def test_channels_at_once_are_listed(tmp_path: Path) -> None:
    path = write_midi(tmp_path / "a.mid", MELODY, [(0, 4, 40, 80), (960, 4, 40, 0)])
    with pytest.raises(ScoreError) as caught:
        midi.read(path)
    assert str(caught.value) == (
        f"{path}: at 0.00 s C4 and E2 sound at once; it has notes in channels 1 and 4; "
        "choose one with `channel`"
    )
    assert [n.pitch for n in midi.read(path, channel=1)] == [60, 62]
    with pytest.raises(UsageError, match=r"`channel` 3: has no notes; .* channels 1 and 4"):
        midi.read(path, channel=3)


@pytest.mark.parametrize("channel", [0, 17, 1.5])
def test_channels_that_there_are_not(tmp_path: Path, channel: int) -> None:
    with pytest.raises(UsageError, match="`channel`"):
        midi.read(write_midi(tmp_path / "a.mid", MELODY), channel)


def test_chords_in_one_channel(tmp_path: Path) -> None:
    chord = [(0, 1, 60, 80), (0, 1, 64, 80), (480, 1, 60, 0), (480, 1, 64, 0)]
    path = write_midi(tmp_path / "a.mid", chord)
    with pytest.raises(ScoreError, match="C4 and E4 sound at once") as caught:
        midi.read(path)
    assert str(path) in str(caught.value)


def test_drums_are_left_out(tmp_path: Path) -> None:
    drums = [(240, 10, 38, 80), (300, 10, 38, 0)]
    assert len(midi.read(write_midi(tmp_path / "a.mid", MELODY, drums))) == 2
    alone = write_midi(tmp_path / "b.mid", drums)
    with pytest.raises(ScoreError, match="drums alone"):
        midi.read(alone)
    assert [n.pitch for n in midi.read(alone, channel=10)] == [38]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"RIFF" + bytes(100), "is no MIDI file"),
        (b"\x89PNG\r\n", "is no MIDI file"),
        (b"MThd", "ends too early"),
        (raw_midi(END)[:-2], "ends too early"),
        (raw_midi(b"\0\x3c\x50"), "is damaged"),
        (raw_midi(b"\0\x90\xff\x50" + END), "is damaged"),
        (raw_midi(b"\0\xff\x51\x01\x00" + END), "is damaged"),
        (raw_midi(END), "holds no notes"),
        (raw_midi(b"\0\x90\x3c\x50\0\x80\x3c\0" + END), "holds no notes"),
        (raw_midi(END, ticks=b"\xe7\x28"), "SMPTE"),
        (raw_midi(END, ticks=b"\0\0"), "SMPTE"),
        (raw_midi(END, format=2), "MIDI format 2"),
        (raw_midi(b"\0\x90\x3c\x50\xff\xff\xff\x7f\x80\x3c\0" + END), "more than a day"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(content)
    with pytest.raises(ScoreError) as caught:
        midi.read(path)
    assert part in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="no such file"):
        midi.read(tmp_path / "a.mid")
    with pytest.raises(ScoreError, match="cannot be read"):
        midi.read(tmp_path)


def test_too_many_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_midi(tmp_path / "a.mid", MELODY)
    monkeypatch.setattr(limits, "MOST", 1)
    with pytest.raises(ScoreError, match="has more than 1 notes"):
        midi.read(path)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_midi(tmp_path / "a.mid", MELODY)
    monkeypatch.setattr(midi.files, "MOST_BYTES", 20)
    with pytest.raises(ScoreError, match="is larger than"):
        midi.read(path)


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(4, 80), st.binary(min_size=1, max_size=8), st.integers(0, 80))
def test_damage_anywhere_is_notes_or_one_error(
    tmp_path: Path, place: int, damage: bytes, cut: int
) -> None:
    path = write_midi(tmp_path / "a.mid", [(0, 400_000)], MELODY)
    content = bytearray(path.read_bytes())
    content[place : place + len(damage)] = damage
    path.write_bytes(bytes(content[: len(content) - cut]))
    with suppress(WavenetError):
        assert midi.read(path)
