"""Notes that are played while they are heard, as features of a model that follows pitch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wavenet.engines.conditioning import Projection
from wavenet.generation.sources import How, from_notes, require_playable
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model
from wavenet.scores.notes import Note
from wavenet.scores.pitch_wheel import Bends

# So far ahead of the present a note that is held is taken to sound, and silence to last.
AHEAD_SECONDS = 1.0
# A note has faded so long after its end, and its attack is over so long after its start.
FADED_SECONDS = 3.0
# Shorter notes than this are made so long: somebody wanted to hear them.
SHORTEST_SECONDS = 0.03
SILENT_DB = -90.0


@dataclass
class _Held:
    """A note that began at `start`, in seconds; `end` is None for as long as it is held."""

    start: float
    pitch: float
    velocity: int
    end: float | None = None


class LiveNotes:
    """One voice that is played now, indexed by numbers of frames like an array of features (F, C).

    A note that is pressed takes over from the one before, which sounds again when the new one is
    released first and the old one is still held. Times are samples of the stream, and never go back
    by more than a few seconds.
    """

    def __init__(self, model: Model, projection: Projection, label: int | None = None) -> None:
        """Raises EngineError for a model that follows something else than notes."""
        require_playable(model)
        # Whether it can be played with notes at all.
        from_notes([Note(0, 1, 60)], model, How(), "")
        self._model, self._projection = model, projection
        self._hop, self._rate = projection.hop, model.sample_rate
        self.label = label
        # What will be pressed nobody knows, but what is held goes on.
        self.until = 2**62
        self._notes: list[_Held] = []
        self._pressed: dict[float, int] = {}
        self._bends = Bends()
        self._first, self._last, self._features = 0, -1, np.zeros((0, 0), np.float32)

    def __getitem__(self, frames: Array) -> Array:
        """The features of frames, by their numbers: (len(frames), C)."""
        if frames[-1] > self._last or frames[0] < self._first:
            self._render(int(frames[0]), int(frames[-1]))
        features: Array = self._features[(frames - self._first).clip(0, len(self._features) - 1)]
        return features

    def __len__(self) -> int:
        return 2**62

    def change_label(self, label: int) -> None:
        """Have another label, by its number, from here on."""
        self.label, self._last = label, -1

    def press(self, time: int, pitch: float, velocity: int) -> None:
        """Begin a note at a sample: `pitch` is a MIDI note number, `velocity` 1 to 127.

        Raises UsageError for others.
        """
        Note(0, 1, pitch, velocity)
        self._pressed.pop(pitch, None)
        self._pressed[pitch] = velocity
        self._begin(time, pitch, velocity)

    def release(self, time: int, pitch: float) -> None:
        """End a note at a sample, if it is held."""
        if self._pressed.pop(pitch, None) is None:
            return
        sounding = self._notes[-1] if self._notes else None
        if sounding is None or sounding.end is not None or sounding.pitch != pitch:
            return
        if self._pressed:
            before, velocity = next(reversed(self._pressed.items()))
            self._begin(time, before, velocity)
        else:
            self._end(time)

    def bend(self, time: int, semitones: float) -> None:
        """Bend what sounds from a sample on, until it is bent otherwise.

        Raises UsageError for more than `notes.MOST_BEND`.
        """
        self._bends.bend(time / self._rate, semitones)
        self._last = -1

    def _begin(self, time: int, pitch: float, velocity: int) -> None:
        self._end(time)
        start = time / self._rate
        # Of what is made anew, nothing is played twice.
        while self._notes and self._notes[-1].start >= start:
            self._notes.pop()
        self._notes.append(_Held(start, pitch, velocity))

    def _end(self, time: int) -> None:
        """End the note that sounds, and make all features from here on anew."""
        self._last = -1
        if self._notes and self._notes[-1].end is None:
            note = self._notes[-1]
            note.end = max(time / self._rate, note.start + SHORTEST_SECONDS)

    def _render(self, first: int, last: int) -> None:
        """Compute the features of frames `first` to `last`, and some more."""
        now = first * self._hop / self._rate
        self._notes = [n for n in self._notes if n.end is None or n.end > now - FADED_SECONDS]
        begin = max(0.0, now - 2 * FADED_SECONDS)
        # Features begin at a whole frame.
        self._first = int(begin * self._rate) // self._hop
        begin = self._first * self._hop / self._rate
        self._bends.forget_before(begin)
        until = last * self._hop / self._rate + AHEAD_SECONDS
        notes: list[Note] = []
        for n in self._notes:
            if n.start >= until:
                break
            start, end = max(0.0, n.start - begin), (until if n.end is None else n.end) - begin
            if notes and notes[-1].end > start:
                notes[-1] = replace(notes[-1], end=start)
            bends = self._bends.between(start + begin, end + begin)
            notes.append(Note(start, end, n.pitch, n.velocity, bends))
        values = self._silence()
        if notes:
            values = dict(from_notes(notes, self._model, How(), "").values)
            # What was is over, but for what frames are condensed with.
            spare = first - self._first - self._model.config.model.frame_context
            spare = max(0, min(spare, min(map(len, values.values())) - 1))
            values = {kind: value[spare:] for kind, value in values.items()}
            self._first += spare
        if self.label is not None:
            values["label"] = self.label
        self._features = self._projection.features(**values)
        self._last = int(until * self._rate) // self._hop

    def _silence(self) -> dict[str, Any]:
        trained = self._model.training.loudness
        silent = trained.silence if trained else SILENT_DB
        values = {"pitch": [[60.0, 0.0]], "loudness": [[silent]]}
        kinds = self._model.config.model.conditioning
        return {k: np.array(v, np.float32) for k, v in values.items() if k in kinds}
