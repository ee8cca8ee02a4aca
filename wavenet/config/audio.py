"""The settings of [audio]: how recordings become samples."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked, ranged


@dataclass(frozen=True)
class AudioConfig(Checked):
    """How recordings become samples."""

    section: ClassVar[str] = "audio"

    # Recordings at other rates are resampled.
    sample_rate: int = ranged(16000, 1000, 192_000, "Hz")

    # Leave levels alone, or bring each recording's peak to peak_db.
    level: Literal["none", "peak"] = "none"

    # Used by level = "peak".
    peak_db: float = ranged(-1.0, -60, 0, "dBFS")

    # Cut silence at both ends of each recording.
    trim: bool = True

    # Silence is what lies this far below a recording's loudest 20 ms.
    trim_db: float = ranged(50.0, 10, 120, "dB")

    # Shorter recordings are skipped.
    min_seconds: float = ranged(0.1, 0, 60, "s", above=True)
