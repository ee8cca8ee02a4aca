"""How loud a recording is, where its sound begins and ends, and the gain that brings it to a level."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wavenet.arrays import Array, Wav

FRAME_SECONDS = 0.02  # of the level measurement
SILENCE_DBFS = -70.0  # nothing below this counts as sound
TRIM_MARGIN_SECONDS = 0.05  # kept before the first and after the last sound


@dataclass(frozen=True)
class Level:
    """What a recording holds: its length, its peak, and where sound starts and ends, in samples."""

    samples: int
    peak: float
    loudest_db: float  # dBFS of its loudest 20 ms, any constant offset removed
    start: int
    stop: int
    finite: bool

    @property
    def silent(self) -> bool:
        return self.loudest_db < SILENCE_DBFS


def measure(blocks: Iterable[Wav], sample_rate: int, trim_db: float) -> Level:
    """Peak and extent of sound: from the first to the last 20 ms frame within `trim_db` of the loudest, with a margin."""
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    deviations: list[Array] = []
    rest, samples, peak = np.zeros(0, np.float32), 0, 0.0
    for block in blocks:
        samples += len(block)
        if not np.isfinite(block).all():
            return Level(samples, np.inf, -np.inf, 0, samples, finite=False)
        peak = max(peak, float(np.abs(block).max(initial=0)))
        joined = np.concatenate([rest, block])
        whole = len(joined) // frame * frame
        deviations.append(joined[:whole].reshape(-1, frame).astype(np.float64).std(axis=1))
        rest = joined[whole:]
    if len(rest):
        deviations.append(np.array([rest.astype(np.float64).std()]))
    if not samples:
        return Level(0, 0.0, -np.inf, 0, 0, finite=True)
    db = 20 * np.log10(np.concatenate(deviations) + 1e-10)
    loudest = float(db.max())
    sounding = np.flatnonzero(db >= max(loudest - trim_db, SILENCE_DBFS))
    if not len(sounding):
        return Level(samples, peak, loudest, 0, samples, finite=True)
    margin = round(TRIM_MARGIN_SECONDS * sample_rate)
    start = max(0, int(sounding[0]) * frame - margin)
    return Level(
        samples,
        peak,
        loudest,
        start,
        min(samples, (int(sounding[-1]) + 1) * frame + margin),
        finite=True,
    )


def gain_for(peak: float, level: str, peak_db: float) -> float:
    """The factor that brings a recording to its level: to `peak_db` for "peak", else 1. Never lets a peak pass full scale."""
    if level == "peak" and peak > 0:
        return float(10 ** (peak_db / 20) / peak)
    return 1 / max(1.0, peak)
