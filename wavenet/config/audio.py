"""The settings of [audio]: how recordings become samples."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked


@dataclass(frozen=True)
class AudioConfig(Checked):
    """How recordings become samples."""

    section: ClassVar[str] = "audio"

    # In Hz. Recordings at other rates are resampled.
    sample_rate: int = 16000

    # Leave levels alone, or bring each recording's peak to peak_db.
    level: Literal["none", "peak"] = "none"
    peak_db: float = -1.0  # dBFS, used by level = "peak"

    # Cut silence at both ends of each recording.
    trim: bool = True

    # Silence is what lies this far below a recording's loudest 20 ms.
    trim_db: float = 50.0

    # Shorter recordings are skipped.
    min_seconds: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(
            1000 <= self.sample_rate <= 192_000, "sample_rate", "must be 1000 to 192000 Hz"
        )
        self._require(-60 <= self.peak_db <= 0, "peak_db", "must be -60 to 0 dBFS")
        self._require(10 <= self.trim_db <= 120, "trim_db", "must be 10 to 120 dB")
        self._require(0 < self.min_seconds <= 60, "min_seconds", "must be above 0 and at most 60 s")
