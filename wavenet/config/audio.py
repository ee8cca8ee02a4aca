"""The settings of [audio]: how recordings become samples."""

from dataclasses import dataclass
from typing import Literal

from wavenet.config.checks import Checked, require


@dataclass(frozen=True)
class AudioConfig(Checked):
    """How recordings become samples."""

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
        require(
            1000 <= self.sample_rate <= 192_000,
            "audio.sample_rate",
            self.sample_rate,
            "must be 1000 to 192000 Hz",
        )
        require(-60 <= self.peak_db <= 0, "audio.peak_db", self.peak_db, "must be -60 to 0 dBFS")
        require(10 <= self.trim_db <= 120, "audio.trim_db", self.trim_db, "must be 10 to 120 dB")
        require(
            0 < self.min_seconds <= 60,
            "audio.min_seconds",
            self.min_seconds,
            "must be above 0 and at most 60 s",
        )
