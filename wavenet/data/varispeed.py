"""Windows of recordings at a speed that varies, as of a tape, so that their pitch glides.

What a network follows goes with them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavenet.data.split import Span
from wavenet.glossary import Array
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.pitch import PitchFrontEnd

# From one turning point of a pitch to the next, in seconds.
GAP_SECONDS = 0.1, 0.6
# The part of the turning points where it has stayed since the one before.
STAYS = 0.3
SPLINE_ORDER = 5
# Samples beyond those that are read which a spline is fitted to.
SPARE = 32


class Played(NamedTuple):
    """A stretch of a recording, now one by itself."""

    source: Source
    # Where its window begins to predict, and where the recording begins.
    start: int
    begin: int


def curve(rng: np.random.Generator, most: float, samples: int, sample_rate: int) -> Array:
    """Semitones up (samples,), -most to most: straight lines between random points."""
    count = 2 + int(samples / (GAP_SECONDS[0] * sample_rate))
    times = np.cumsum(rng.uniform(*GAP_SECONDS, count))
    semitones = rng.uniform(-most, most, count)
    for i in np.flatnonzero(rng.random(count - 1) < STAYS):
        semitones[i + 1] = semitones[i]
    between: Array = np.interp(np.arange(samples), (times - times[0]) * sample_rate, semitones)
    return between


def played(
    source: Source, span: Span, start: int, before: int, segment: int, hop: int, semitones: Array
) -> Played:
    """The stretch around samples `start` to `start + segment` of a recording, which glides.

    It begins `before` samples or a little more before them, on a frame, and has as many samples as
    `semitones`. What is predicted is of the span alone; where that is too short for it, the stretch
    stays as it was recorded.
    """
    at = before + (start - before) % hop
    places, last = np.cumsum(2 ** (semitones / 12)), at + segment - 1
    if places[last] - places[at] > len(span) - 1:
        semitones = np.zeros_like(semitones)
        places = np.arange(len(semitones), dtype=np.float64)
        places += start - at
    else:
        # The middle of the segment stays where it is, if the span lets it.
        places += start + segment // 2 - places[at + segment // 2]
        places += max(0, span.start - places[at]) + min(0, span.stop - 1 - places[last])
    numbers = np.arange(0, len(places), hop)
    nearest = np.rint(places[numbers] / hop).astype(np.int64)

    def frames(kind: str) -> Callable[[int, int], Array]:
        def rows(low: int, high: int) -> Array:
            inside = np.arange(low, high).clip(0, len(numbers) - 1)
            which = nearest[inside]
            first = int(which.min())
            found: Array = source.tracks[kind](first, int(which.max()) + 1)[which - first]
            if kind == PitchFrontEnd.name:
                moved = semitones[numbers[inside]].astype(np.float32)
                found = found + np.stack([moved, np.zeros_like(moved)], axis=1)
            return found

        return rows

    tracks = {kind: frames(kind) for kind in source.tracks}
    stretch = Source(_samples(source.pcm, places), source.label, tracks)
    return Played(stretch, at, int(np.searchsorted(places, 0)))


def _samples(pcm: NDArray[np.int16], places: Array) -> NDArray[np.int16]:
    """A recording at places between its samples; outside of it is silence."""
    from scipy.ndimage import map_coordinates

    low = max(0, int(places[0]) - SPARE)
    part = pcm[low : max(low, int(places[-1]) + SPARE)].astype(np.float32)
    if not len(part):
        return np.zeros(len(places), np.int16)
    wav: Array = map_coordinates(part, [places - low], order=SPLINE_ORDER, mode="constant")
    return np.rint(wav).clip(-32768, 32767).astype(np.int16)
