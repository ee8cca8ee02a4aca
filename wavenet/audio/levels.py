"""How loud a recording is, and the gain that brings it to a level.

Which parts of it are silence is the matter of `trimming`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wavenet.audio.trimming import SILENCE_DBFS, sound_extent
from wavenet.glossary import Array, Wav

PIECE_SECONDS = 0.02  # of one level measurement
# A recording is spiky when no more pieces than this reach a quarter of its peak.
FEW_PIECES = 3
# A shorter recording may lie to one side of zero without being off.
OFFSET_SECONDS = 0.5
END_PIECES = 3
SPIKE_FACTOR = 4.0


@dataclass(frozen=True)
class Level:
    """What a recording holds: its length, its peak, and where sound starts and stops, in samples.

    `finite` is False for a recording with NaN or infinite samples, of which nothing else is known.
    """

    samples: int
    peak: float

    # dBFS of its loudest 20 ms, any constant offset removed.
    loudest_db: float
    start: int
    stop: int
    finite: bool

    # Whether a few samples are far louder than all others, as far as pieces of 20 ms tell.
    spiky: bool = False

    # What every sample is off by.
    offset: float = 0.0

    @property
    def silent(self) -> bool:
        return self.loudest_db < SILENCE_DBFS


def measure(blocks: Iterable[Wav], sample_rate: int, trim_db: float) -> Level:
    """Length, peak, loudness and extent of sound of a recording that comes in blocks of any size.

    Its level is measured in pieces of 20 ms, each by its standard deviation, which no constant
    offset can raise.
    """
    piece = max(1, round(PIECE_SECONDS * sample_rate))
    deviations: list[Array] = []
    peaks: list[Array] = []
    means: list[Array] = []
    remainder = np.zeros(0, np.float32)
    samples, peak = 0, 0.0
    for block in blocks:
        samples += len(block)
        if not np.isfinite(block).all():
            return Level(samples, np.inf, -np.inf, 0, samples, finite=False)
        peak = max(peak, float(np.abs(block).max(initial=0)))
        joined = np.concatenate([remainder, block])
        complete = len(joined) // piece * piece
        pieces = joined[:complete].reshape(-1, piece)  # (pieces, samples of a piece)
        means.append(pieces.mean(axis=1, dtype=np.float64))
        deviations.append(pieces.astype(np.float64).std(axis=1))
        peaks.append(np.abs(pieces).max(axis=1, initial=0))
        remainder = joined[complete:]
    if len(remainder):
        deviations.append(np.array([remainder.astype(np.float64).std()]))
    if not samples:
        return Level(0, 0.0, -np.inf, 0, 0, finite=True)
    # The smallest addend keeps digital silence away from the logarithm of 0.
    levels_db = 20 * np.log10(np.concatenate(deviations) + 1e-10)
    start, stop = sound_extent(levels_db, piece, samples, sample_rate, trim_db)
    loudest = np.sort(np.concatenate(peaks))[::-1]
    spiky = len(loudest) > FEW_PIECES and bool(peak > SPIKE_FACTOR * loudest[FEW_PIECES])
    offset = _offset(np.concatenate(means), np.concatenate(deviations)[: len(loudest)])
    loudest_db = float(levels_db.max())
    return Level(samples, peak, loudest_db, start, stop, True, spiky, offset)


def _offset(means: Array, deviations: Array) -> float:
    """What pieces of a recording with these means are off by; 0 unless all of it is off alike.

    Both ends have to be, and the quietest tenth: what fades away or pauses at zero is not off.
    """
    if len(means) * PIECE_SECONDS < OFFSET_SECONDS:
        return 0.0
    offset = float(np.median(means))
    quietest = means[np.argsort(deviations)[: max(1, len(means) // 10)]]
    places = np.median(quietest), means[:END_PIECES].mean(), means[-END_PIECES:].mean()
    return offset if all(abs(place - offset) < abs(offset) / 2 for place in places) else 0.0


def gain_for(peak: float, level: str, peak_db: float) -> float:
    """The factor that brings a recording to its level: to `peak_db` for "peak", else 1.

    No peak is ever let past full scale.
    """
    if level == "peak" and peak > 0:
        return float(10 ** (peak_db / 20) / peak)
    return 1 / max(1.0, peak)
