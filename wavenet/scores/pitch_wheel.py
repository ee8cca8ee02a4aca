"""The pitch wheel of a MIDI keyboard or channel: how far notes are bent, and when."""

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from wavenet.errors import UsageError
from wavenet.scores.notes import MOST_BEND

if TYPE_CHECKING:
    import mido

CENTRE = 8192  # the wheel's way to either side
# How far all of it bends where nothing says so, in semitones.
RANGE = 2.0
# Controllers, by their numbers in MIDI 1.0. A registered parameter is chosen by two of them, and
# its value entered by two others: here only the range of the wheel, in semitones and cents.
_ENTRY, _ENTRY_FINE, _RESET = 6, 38, 121
_UNREGISTERED, _REGISTERED = (98, 99), (100, 101)
_NONE = 127


class Bends:
    """By how many semitones notes are bent, from each of some moments on."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._semitones: list[float] = []

    def bend(self, now: float, semitones: float) -> None:
        """Bend from `now` on, in seconds, in place of all that was to come.

        Raises UsageError for more than `MOST_BEND`.
        """
        if not abs(semitones) <= MOST_BEND:
            raise UsageError("bend", semitones, f"must be at most {MOST_BEND} semitones")
        kept = bisect_left(self._times, now)
        del self._times[kept:], self._semitones[kept:]
        if semitones != (self._semitones[-1] if kept else 0.0):
            self._times.append(now)
            self._semitones.append(semitones)

    def forget_before(self, time: float) -> None:
        """Keep nothing of before `time`, in seconds, but how far notes are bent then."""
        past = max(0, bisect_right(self._times, time) - 1)
        del self._times[:past], self._semitones[:past]

    def between(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        """The bends of a note: seconds since its start, and semitones from there on."""
        first, last = bisect_right(self._times, start), bisect_left(self._times, end)
        before = self._semitones[first - 1] if first else 0.0
        later = zip(self._times[first:last], self._semitones[first:last], strict=True)
        bends = ((0.0, before), *((time - start, by) for time, by in later))
        return bends if any(by for _, by in bends) else ()


class PitchWheel(Bends):
    """What the messages of one channel, in the order of time, make of its notes."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0.0
        self._range = {_ENTRY: RANGE, _ENTRY_FINE: 0.0}
        self._parameter = dict.fromkeys(_REGISTERED, _NONE)

    def turn(self, now: float, message: "mido.Message") -> None:
        """Take a `pitchwheel` or `control_change` message, at `now` in seconds."""
        if message.type == "pitchwheel":
            self._position = message.pitch / CENTRE
        elif message.control == _RESET:
            self._position = 0.0
            self._parameter = dict.fromkeys(_REGISTERED, _NONE)
        elif message.control in _REGISTERED:
            self._parameter[message.control] = message.value
        elif message.control in _UNREGISTERED:
            self._parameter = dict.fromkeys(_REGISTERED, _NONE)
        # The wheel's range is parameter 0.
        elif message.control in self._range and not any(self._parameter.values()):
            self._range[message.control] = message.value
        self.bend(now, self._position * (self._range[_ENTRY] + self._range[_ENTRY_FINE] / 100))
