"""Pitch and loudness brought into the range that a model was trained on."""

import numpy as np

from wavenet.audio.spread import Spread
from wavenet.glossary import Array
from wavenet.system.text import counted

OCTAVE = 12
# A note that is this far beyond the range, in semitones, is still played as it is.
BEYOND = 1.0
# Pitch that moves by as much from frame to frame has gone on to another note, in semitones.
LEAP = 0.75
# By how many octaves a note may move: the fewest first.
OCTAVES = sorted(range(-8, 9), key=lambda k: (abs(k), k))
# Loudness that is this far beyond the range is still followed as it is, in dB.
BEYOND_DB = 6.0
# What is nowhere louder is silence, in dB.
SILENT_DB = -80.0
# Percentiles of loudness while something sounds: those of a `Spread`.
PERCENTILES = 5, 50, 95


def matched_pitch(pitch: Array, trained: tuple[float, float]) -> tuple[Array, str]:
    """Frames (frames, 2) of pitch, moved by octaves to where a model was `trained`; and what moved.

    All of it moves by the same octaves, as few as bring the most voiced frames into the range. What
    is still outside, note by note, moves on its own to the octave that is nearest to it.
    """
    voiced = pitch[:, 1] > 0
    notes = pitch[voiced, 0]
    if not len(notes):
        return pitch, ""
    best = max(OCTAVES, key=lambda k: round(float(inside(notes + OCTAVE * k, trained).mean()), 2))
    moved = pitch.copy()
    moved[:, 0] += OCTAVE * best
    parts, alone, outside = _notes(moved, voiced), 0, 0
    for start, stop in parts:
        middle = float(np.median(moved[start:stop, 0]))
        k = octaves_into(middle, trained)
        alone += bool(k)
        outside += _beyond(middle + OCTAVE * k, trained) > 0
        moved[start:stop, 0] += OCTAVE * k
    words = []
    if best:
        words.append(f"moved {'up' if best > 0 else 'down'} {counted(abs(best), 'octave')}")
    if alone:
        words.append(f"{alone} of {counted(len(parts), 'note')} moved by octaves on their own")
    if outside:
        words.append(f"{outside} of {counted(len(parts), 'note')} still outside")
    return moved, ", ".join(words)


def matched_loudness(loudness: Array, sounds: Array, trained: Spread) -> tuple[Array, str]:
    """Frames (frames, 1) of loudness in dB, as loud as what a model was `trained` on; and how.

    `sounds` (frames,) says where something sounds. What lies within the range stays; else the
    percentiles of what sounds come to lie on those of the training, and the rest between.
    """
    heights = loudness[sounds, 0]
    if not len(heights) or heights.max() < SILENT_DB:
        return loudness, ""
    low, middle, high = (float(p) for p in np.percentile(heights, PERCENTILES))
    if trained.low - BEYOND_DB <= low and high <= trained.high + BEYOND_DB:
        return loudness, ""
    quiet = loudness[~sounds, 0]
    silence = min(float(np.median(quiet)) if len(quiet) else low - 30, low - 1)
    # Ascending even where a recording is of one level.
    given = np.maximum.accumulate([silence, low, max(middle, low + 0.5), max(high, low + 1)])
    wanted = [min(trained.silence, trained.low - 1), trained.low, trained.middle, trained.high]
    matched = np.interp(loudness[:, 0], given, wanted)
    change = trained.middle - middle
    return matched[:, None].astype(np.float32), f"{change:+.0f} dB to match its loudness"


def inside(notes: Array, trained: tuple[float, float]) -> Array:
    low, high = trained
    inside: Array = (low - BEYOND <= notes) & (notes <= high + BEYOND)
    return inside


def octaves_into(note: float, trained: tuple[float, float]) -> int:
    """The fewest octaves that take a note into a range, or next to it."""
    return min(OCTAVES, key=lambda k: round(_beyond(note + OCTAVE * k, trained), 2))


def _beyond(note: float, trained: tuple[float, float]) -> float:
    """How far a note is beyond a range and what is still played, in semitones."""
    low, high = trained
    return max(0.0, low - BEYOND - note, note - high - BEYOND)


def _notes(pitch: Array, voiced: Array) -> list[tuple[int, int]]:
    """Where notes begin and end: frames that are voiced, with no leap between them."""
    leaps = np.abs(np.diff(pitch[:, 0])) > LEAP
    edges = np.flatnonzero(leaps | np.diff(voiced)) + 1
    starts, stops = [0, *edges], [*edges, len(voiced)]
    return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True) if voiced[a]]
