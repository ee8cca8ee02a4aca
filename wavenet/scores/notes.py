"""Notes: typed, moved in pitch and in time, and checked to be one voice."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from numbers import Real
from typing import Any

from wavenet.errors import ScoreError, UsageError
from wavenet.scores.limits import LONGEST_SECONDS, check_count, check_times
from wavenet.scores.typed import refused, spans

VELOCITY = 80
LOUDEST = 127
# MIDI note numbers: C-1 and B9.
LOWEST_PITCH, HIGHEST_PITCH = 0, 131
# In semitones: more than MIDI can express.
MOST_BEND = 130
# Players let one note ring into the next by about as much.
LEGATO_SECONDS = 0.03
EXAMPLE = 'write notes such as "C4:0.5 F#4:0.25@100 -:0.5 Bb3"'
_NAME = re.compile(r"([A-Ga-g])([#♯]{0,2}|[b♭]{0,2})([-−]1|[0-9])", re.ASCII)
_SLOWEST, _FASTEST = 0.01, 100


@dataclass(frozen=True)
class Note:
    """A note that sounds from `start` to `end`, in seconds.

    `pitch` is a MIDI note number, 0 to 131: 69 is A4, 440 Hz, and fractions are allowed.
    `velocity` is how hard it is played, 1 to 127. `bends` are pairs of seconds since its start,
    ascending, and the semitones that its pitch is bent by from there on. Raises UsageError for
    anything else.
    """

    start: float
    end: float
    pitch: float
    velocity: int = VELOCITY
    bends: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        check_times("notes", self.start, self.end)
        is_number = isinstance(self.pitch, Real)
        if not is_number or not LOWEST_PITCH <= self.pitch <= HIGHEST_PITCH:
            rule = f"must be a MIDI note number from {LOWEST_PITCH} to {HIGHEST_PITCH}"
            shown = f"{self.pitch:g}" if is_number else repr(self.pitch)
            raise UsageError("notes", f"of pitch {shown}", rule, "60 is C4")
        if self.velocity not in range(1, LOUDEST + 1):
            rule = f"must be a whole number from 1 to {LOUDEST}"
            raise UsageError("notes", f"of velocity {self.velocity}", rule)
        if not _are_bends(self.bends):
            rule = f"must be a tuple of pairs, ascending seconds and up to {MOST_BEND} semitones"
            raise UsageError("notes", f"with bends {str(self.bends)[:40]}", rule)


def _are_bends(bends: Any) -> bool:
    pairs = isinstance(bends, tuple) and all(isinstance(b, tuple) and len(b) == 2 for b in bends)
    if not pairs or not all(isinstance(number, Real) for bend in bends for number in bend):
        return False
    times = [0, *(time for time, _ in bends), LONGEST_SECONDS]
    ascend = all(before <= after for before, after in pairwise(times))
    return ascend and all(abs(semitones) <= MOST_BEND for _, semitones in bends)


def parse(text: str, tempo: float = 1.0) -> list[Note]:
    """The notes of a text such as "C4:0.5 D4 | -:1 Eb4:0.25@100", one after the other.

    A name is a letter from A to G in either case, an accidental (#, b, ♯, ♭, or two of them) and an
    octave from -1 to 9, of which A4 is 440 Hz. Behind a colon stand its seconds: the first note
    lasts 0.5 s where it does not say, any other as long as the note before it. Behind @ stands its
    velocity, 80 where it does not say. "-" is a rest. `tempo` is as in `at_tempo`.

    Raises UsageError, which names the word, for what is none of this.
    """
    notes = []
    for span in spans(text, "notes", EXAMPLE, marks=True):
        pitch = _pitch(span.name)
        if pitch is None:
            reason = "is no name of a note from C-1 to B9"
            raise refused("notes", span.word, span.number, reason, EXAMPLE)
        velocity = span.mark or str(VELOCITY)
        if not re.fullmatch(r"[0-9]{1,3}", velocity) or not 1 <= int(velocity) <= LOUDEST:
            reason = f"its velocity must be a whole number from 1 to {LOUDEST}"
            raise refused("notes", span.word, span.number, reason, EXAMPLE)
        notes.append(Note(span.start, span.end, pitch, int(velocity)))
    return at_tempo(notes, tempo)


@lru_cache(maxsize=1024)
def _pitch(name: str) -> int | None:
    """The MIDI note number of a name; None for what is none, or out of range."""
    if not _NAME.fullmatch(name):
        return None
    import librosa

    pitch = round(librosa.note_to_midi(name.replace("−", "-")))
    return pitch if LOWEST_PITCH <= pitch <= HIGHEST_PITCH else None


def name_of(pitch: float) -> str:
    """The name of the nearest note to a MIDI note number, such as C4 or F#4."""
    import librosa

    return str(librosa.midi_to_note(math.floor(pitch + 0.5), unicode=False))


def transposed(notes: Iterable[Note], semitones: float) -> list[Note]:
    """Notes moved up by `semitones`, or down by what is below 0.

    Raises UsageError where a note would leave the range of pitches.
    """
    moved = []
    for note in notes:
        pitch = note.pitch + semitones
        if not LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
            reason = f"moves {name_of(note.pitch)} out of the range from C-1 to B9"
            raise UsageError("transpose", f"{semitones:g}", reason, "move it by less")
        moved.append(replace(note, pitch=pitch))
    return moved


def at_tempo(notes: Iterable[Note], factor: float) -> list[Note]:
    """Notes played `factor` times as fast: at 2 in half the time.

    Raises UsageError for a factor outside 0.01 to 100, and where they would last more than a day.
    """
    if not _SLOWEST <= factor <= _FASTEST:
        rule = f"must be a factor from {_SLOWEST} to {_FASTEST}"
        raise UsageError("tempo", f"{factor:g}", rule, "2 is twice as fast")

    def played(note: Note) -> Note:
        bends = tuple((time / factor, by) for time, by in note.bends)
        return replace(note, start=note.start / factor, end=note.end / factor, bends=bends)

    return [played(note) for note in notes]


def require_one_voice(notes: Sequence[Note]) -> list[Note]:
    """Notes in the order of their starts, no two of which sound at once.

    A note that lasts up to 30 ms into the next is cut there, as in legato. Raises ScoreError for
    longer overlaps, for no notes and for more than `limits.MOST`.
    """
    if not notes:
        raise ScoreError("", "there are no notes")
    check_count("", len(notes), "notes")
    voice: list[Note] = []
    for note in sorted(notes, key=lambda n: (n.start, n.end)):
        if voice and voice[-1].end > note.start:
            before = voice[-1]
            # A note that would vanish is part of a chord.
            if before.end - note.start > LEGATO_SECONDS or note.start <= before.start:
                pair = f"{name_of(before.pitch)} and {name_of(note.pitch)} sound at once"
                reason = f"at {note.start:.2f} s {pair}"
                raise ScoreError("", reason, "one note at a time can be followed: leave one out")
            voice[-1] = replace(before, end=note.start)
        voice.append(note)
    return voice
