"""Audio files in and out: anything libsndfile reads, as mono float blocks at the rate asked for.

Everything streams, so a recording of any length passes at flat memory. Audio is mono throughout: channels are averaged.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from wavenet.errors import AudioError
from wavenet.shapes import Array, Wav

BLOCK_SAMPLES = 1 << 18
FRAME_SECONDS = 0.02  # of the level measurement
SILENCE_DBFS = -70.0  # nothing below this counts as sound
MISSING = 0.01  # of a recording's announced length may turn out not to be there
TRIM_MARGIN_SECONDS = 0.05  # kept before the first and after the last sound
UNHELPFUL = {  # what libsndfile says, and what it means for a file that is there
    "System error": "the disk is full, or refuses",
    "": "damaged",
    "Unspecified internal error": "damaged",
    "File does not exist or is not a regular file (possibly a pipe?)": "Format not recognised",
    "Internal psf_fseek() failed": "damaged, or written to a pipe, so that its header gives no length; convert it once",
}
SFC_SET_UPDATE_HEADER_AUTO = 0x1061  # of libsndfile's sf_command
WRITABLE = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", "MPEG_LAYER_III")}


def read_blocks(path: Path, sample_rate: int) -> Iterator[Wav]:
    """Mono blocks of a recording at `sample_rate` Hz. Raises AudioError for what libsndfile cannot read."""
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not a recording; give one audio file")
    if not path.is_file():
        raise AudioError(f"{path}: {'is not a regular file' if path.exists() else 'no such file'}")
    try:
        with _quiet:
            opened = sf.SoundFile(_name(path))
        frames = 0
        with opened as file:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
            same_rate = file.samplerate == sample_rate
            while True:
                with _quiet:
                    block = file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
                if not len(block):
                    break
                frames += len(block)
                mono = block.mean(axis=1, dtype=np.float32)
                yield mono if same_rate else resampler.resample_chunk(mono)
            if not same_rate:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            whole, rate = file.frames, file.samplerate
    except (sf.LibsndfileError, OSError, ValueError) as e:
        raise AudioError(f"{path}: cannot be read as audio ({_reason(e)})") from None
    if frames < (1 - MISSING) * whole:
        raise AudioError(f"{path}: damaged: only {frames / rate:.1f} of its {whole / rate:.1f} s can be read")


def readable(path: Path) -> bool:
    """Whether libsndfile knows this file's format."""
    try:
        with _quiet:
            return bool(sf.info(_name(path)).samplerate)
    except (sf.LibsndfileError, OSError, ValueError):
        return False


def _name(path: Path) -> Any:
    """As libsndfile takes it: on POSIX a name is any bytes, which soundfile would insist on encoding."""
    return os.fsencode(path) if os.name == "posix" else str(path)


def _reason(e: Exception) -> str:
    """Why a file could not be read or written, in the library's words where those say something."""
    text = getattr(e, "error_string", "") if isinstance(e, sf.LibsndfileError) else getattr(e, "strerror", None) or e
    text = str(text).strip().rstrip(".")
    return UNHELPFUL.get(text, text)


class _Quiet:
    """Keep the MP3 decoder inside libsndfile from writing its remarks to standard error: it knows no other way to be silenced.

    Threads that read at once share one silence: the first makes it and the last ends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._stderr: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers > 1:
                return
            self._stderr = None
            with suppress(OSError):  # there may be no standard error to keep clean
                self._stderr = os.dup(2)
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers and self._stderr is not None:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)


_quiet = _Quiet()


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
    return Level(samples, peak, loudest, start, min(samples, (int(sounding[-1]) + 1) * frame + margin), finite=True)


def gain_for(peak: float, level: str, peak_db: float) -> float:
    """The factor that brings a recording to its level: to `peak_db` for "peak", else 1. Never lets a peak pass full scale."""
    if level == "peak" and peak > 0:
        return float(10 ** (peak_db / 20) / peak)
    return 1 / max(1.0, peak)


def check_writable(path: Path) -> None:
    """Raise AudioError for a name that no audio can be written under."""
    if path.suffix.lower() not in WRITABLE:
        raise AudioError(f"{path}: cannot write this kind of file; use one of {', '.join(WRITABLE)}")
    if path.is_dir() or not path.parent.is_dir():
        raise AudioError(
            f"{path}: {'is a folder' if path.is_dir() else f'the folder {path.parent} does not exist'}; name a file in an existing folder"
        )


@contextmanager
def writer(path: Path, sample_rate: int) -> Iterator[sf.SoundFile]:
    """A mono file to write blocks to; its suffix picks the format. What was written stays readable if the block is left early."""
    check_writable(path)
    form, subtype = WRITABLE[path.suffix.lower()]
    try:
        file = sf.SoundFile(_name(path), "w", sample_rate, 1, subtype, format=form)
    except (sf.LibsndfileError, OSError) as e:
        raise AudioError(f"{path}: cannot be written at {sample_rate} Hz ({_reason(e)})") from None
    try:
        with file:
            if form == "WAV":  # its header then tells the true length at every moment, so that even kill -9 leaves a whole file
                with suppress(AttributeError):
                    sf._snd.sf_command(file._file, SFC_SET_UPDATE_HEADER_AUTO, sf._ffi.NULL, 1)
            yield file
    except sf.LibsndfileError as e:
        raise AudioError(f"{path}: cannot be written on ({_reason(e)}); what fitted is kept") from None
