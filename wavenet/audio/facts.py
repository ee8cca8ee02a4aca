"""What an audio file holds: rate, length, level, and what its metadata says."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf

from wavenet.audio.decoders import libsndfile_name
from wavenet.audio.reading import AudioFile

# A rate to measure at where libsndfile does not know the file's.
_USUAL_RATE = 48_000
_TRIM_DB = 60.0


@dataclass(frozen=True)
class AudioFacts:
    """A recording as a file has it, and as it is read here: mono, repaired where it needs it."""

    sample_rate: int
    """In Hz, as recorded."""

    channels: int
    """As recorded."""

    seconds: float
    peak_db: float
    """Of the loudest sample, in dBFS; -inf for silence."""

    loudest_db: float
    """Of the loudest 20 ms, in dBFS."""

    notes: tuple[str, ...]
    """What was other than it should be."""

    tags: Mapping[str, str]
    """The texts of its metadata, under soundfile's names; of formats that libsndfile knows."""


def facts(path: Path) -> AudioFacts:
    """Read a recording to its end and measure it. Raises AudioError."""
    rate, tags = _USUAL_RATE, dict[str, str]()
    # What libsndfile cannot open, FFmpeg may.
    with suppress(sf.LibsndfileError, OSError), sf.SoundFile(libsndfile_name(path)) as file:
        rate = file.samplerate
        tags = {name: text for name, text in file.copy_metadata().items() if text}
    audio = AudioFile(path, rate)
    level = audio.measure(_TRIM_DB)
    recorded_rate, channels = audio.format
    peak_db = 20 * math.log10(level.peak) if level.peak else -math.inf
    seconds = level.samples / rate
    return AudioFacts(
        recorded_rate, channels, seconds, peak_db, level.loudest_db, tuple(audio.notes), tags
    )
