"""The pitch wheel of a MIDI channel: how many semitones its notes are bent by, and when."""

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mido

CENTRE = 8192  # the wheel's range to either side
# What the whole range is where nothing sets it, in semitones.
RANGE = 2.0
# Controllers, by their numbers in MIDI 1.0. A registered parameter is chosen by two of them, and
# its value entered by two others: here only the range of the wheel, in semitones and cents.
_ENTRY, _ENTRY_FINE, _RESET = 6, 38, 121
_UNREGISTERED, _REGISTERED = (98, 99), (100, 101)
_NONE = 127


class PitchWheel:
    """What the messages of one channel, in the order of time, make of its pitch."""

    def __init__(self) -> None:
        # Seconds at which it was turned, and semitones from there on.
        self._times: list[float] = []
        self._semitones: list[float] = []
        self._position = 0.0
        self._range = {_ENTRY: RANGE, _ENTRY_FINE: 0.0}
        self._parameter = dict.fromkeys(_REGISTERED, _NONE)

    def turn(self, now: float, message: "mido.Message") -> None:
        """Take a `pitchwheel` or `control_change` message, at `now` in seconds."""
        if message.type == "pitchwheel":
            self._position = message.pitch / CENTRE
        elif message.control == _RESET:
            self._position = 0.0
        elif message.control in _REGISTERED:
            self._parameter[message.control] = message.value
        elif message.control in _UNREGISTERED:
            self._parameter = dict.fromkeys(_REGISTERED, _NONE)
        # The wheel's range is parameter 0.
        elif message.control in self._range and not any(self._parameter.values()):
            self._range[message.control] = message.value
        semitones = self._position * (self._range[_ENTRY] + self._range[_ENTRY_FINE] / 100)
        if semitones != (self._semitones[-1] if self._semitones else 0.0):
            self._times.append(now)
            self._semitones.append(semitones)

    def between(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        """The bends of a note: seconds since its start, and semitones from there on."""
        first, last = bisect_right(self._times, start), bisect_left(self._times, end)
        before = self._semitones[first - 1] if first else 0.0
        turned = zip(self._times[first:last], self._semitones[first:last], strict=True)
        bends = ((0.0, before), *((time - start, by) for time, by in turned))
        return bends if any(by for _, by in bends) else ()
