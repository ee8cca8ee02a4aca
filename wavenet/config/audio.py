"""The settings of [audio]: how recordings become samples.

What stands below a setting is its documentation: see `reference`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked, ranged


@dataclass(frozen=True)
class AudioConfig(Checked):
    """How recordings become samples. Raises ConfigError for what is out of range.

    >>> import wavenet
    >>> wavenet.AudioConfig(sample_rate=44100).sample_rate
    44100
    """

    section: ClassVar[str] = "audio"

    sample_rate: int = ranged(16000, 1000, 192_000, "Hz")
    """The rate that the network hears and plays at; recordings at other rates are resampled. It
    keeps frequencies up to half of it, and the same second costs twice as much at twice the rate.
    """

    level: Literal["none", "peak"] = "none"
    """Leave recordings as loud as they are, or bring the loudest moment of each to `peak_db`. Use
    "peak" where files differ in level or are very quiet.
    """

    peak_db: float = ranged(-1.0, -60, 0, "dBFS")
    """Where `level = "peak"` brings the loudest moment of each recording; 0 is full scale."""

    trim: bool = True
    """Cut silence at both ends of each recording. Silence between sounds stays, and with
    `train.validation = "tails"` nothing is cut.
    """

    trim_db: float = ranged(50.0, 10, 120, "dB")
    """What lies this far below the loudest 20 ms of a recording counts as silence. Lower it where
    noise is taken for sound, raise it where soft beginnings or decays are cut.
    """

    min_seconds: float = ranged(0.1, 0, 60, "s", above=True)
    """Recordings that are shorter are skipped."""
