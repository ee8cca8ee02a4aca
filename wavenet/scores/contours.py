"""Notes as frames of pitch and loudness, which a network follows that was trained on such frames.

What recordings of an instrument have is in a `Spread`; how notes become loudness is here. A note's
amplitude grows in proportion to time during the attack, stays as it is, and falls steadily in dB
after its end. The powers of all notes add up, as in a recording, and are averaged over the
window that loudness is measured with. So notes that touch dip between them, and do not stop.
"""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from wavenet.audio.spread import Spread
from wavenet.errors import UsageError
from wavenet.glossary import Array
from wavenet.scores.notes import Note, require_one_voice

# What follows the last note, for its release.
TAIL_SECONDS = 0.3
# Of these velocities a Spread has the loudness. Between them it is linear in the logarithm, as in
# General MIDI, where twice the velocity is 12 dB.
VELOCITIES = (40, 80, 120)
# The usual window that loudness is measured with: 1024 samples at 16 kHz.
WINDOW_SECONDS = 0.064
# How finely envelopes are drawn, and when one is lost in silence.
_STEP_SECONDS = 0.004
_LOST_DB = 20.0
_EARLY = 1e-6


def samples_of(notes: Sequence[Note], sample_rate: int) -> int:
    """How many samples notes take, the tail of the last one included.

    Raises UsageError for no notes.
    """
    if not notes:
        raise UsageError("notes", None, "there are none")
    return round((max(note.end for note in notes) + TAIL_SECONDS) * sample_rate)


def contours(
    notes: Sequence[Note],
    hop: int,
    sample_rate: int,
    loudness: Spread,
    window_seconds: float = WINDOW_SECONDS,
) -> tuple[Array, Array]:
    """Pitch (frames, 2) and loudness (frames, 1) of notes, float32.

    Frame j lies at sample `j * hop`; there are `1 + samples_of(notes, sample_rate) // hop`. Columns
    of pitch are a MIDI note number, which is held where no note sounds, and 1 where one does, else
    0. Notes are not bent there: see `bends`. Loudness is in dB, as measured in a window of so many
    seconds. Raises what `require_one_voice` does.
    """
    voice = require_one_voice(notes)
    frames = 1 + samples_of(voice, sample_rate) // hop
    seconds = np.arange(frames) * (hop / sample_rate)
    return _pitch(voice, seconds), _loudness(voice, seconds, loudness, window_seconds)


def _pitch(voice: Sequence[Note], seconds: Array) -> Array:
    starts = np.array([note.start for note in voice])
    # A note that begins at a frame sounds in it, however the two times are rounded.
    seconds = seconds + _EARLY
    last = np.maximum(np.searchsorted(starts, seconds, side="right") - 1, 0)
    ends, pitches = np.array([(note.end, note.pitch) for note in voice])[last].T
    sounds = (starts[last] <= seconds) & (seconds < ends)
    return np.stack([pitches, sounds], axis=1).astype(np.float32)


def bends(notes: Sequence[Note], hop: int, sample_rate: int) -> Array:
    """How many semitones notes are bent by, at the frames of `contours`: (frames,) float32.

    A note fades as bent as it ends. Raises what `require_one_voice` does.
    """
    voice = require_one_voice(notes)
    seconds = np.arange(1 + samples_of(voice, sample_rate) // hop) * (hop / sample_rate) + _EARLY
    bent = np.zeros(len(seconds), np.float32)
    starts = np.searchsorted(seconds, [note.start for note in voice])
    # The first note is asked for early.
    starts[0] = 0
    for note, first, last in zip(voice, starts, [*starts[1:], len(seconds)], strict=True):
        if note.bends:
            times, semitones = np.array(((0, 0), *note.bends), float).T
            age = np.clip(seconds[first:last], note.start, note.end) - note.start
            bent[first:last] = semitones[np.searchsorted(times, age, side="right") - 1]
    return bent


def _loudness(
    voice: Sequence[Note], seconds: Array, spread: Spread, window_seconds: float
) -> Array:
    half = max(1, round(window_seconds / 2 / _STEP_SECONDS))
    power = np.full(round(seconds[-1] / _STEP_SECONDS) + 2, 10 ** (spread.silence / 10))
    for note in voice:
        first = int(note.start / _STEP_SECONDS) + 1
        added = 10 ** (_envelope(note, first, spread) / 10)[: len(power) - first]
        power[first : first + len(added)] += added
    # A spectrum of a window weighs power by its square.
    window = np.hanning(2 * half + 1) ** 2
    power = scipy.ndimage.convolve1d(power, window / window.sum(), mode="nearest")
    at_frames = np.interp(seconds, np.arange(len(power)) * _STEP_SECONDS, power)
    return np.asarray(10 * np.log10(at_frames), np.float32)[:, None]


def _envelope(note: Note, first: int, spread: Spread) -> Array:
    """The level of a note in dB, in steps from number `first` on, until it is lost in silence."""
    level = np.interp(
        np.log(note.velocity), np.log(VELOCITIES), (spread.low, spread.middle, spread.high)
    )
    depth = max(0.0, level - spread.silence + _LOST_DB)
    last = int((note.end + depth / spread.release) / _STEP_SECONDS)
    age = np.arange(first, last + 1) * _STEP_SECONDS - note.start
    held = np.minimum(age, note.end - note.start)
    # A note that ends in its attack falls from what it has reached.
    reached = np.clip(held / max(spread.attack, _STEP_SECONDS), 1e-6, 1)
    return np.asarray(level + 20 * np.log10(reached) - spread.release * (age - held))
