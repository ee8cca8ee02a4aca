"""Audio files in: anything libsndfile reads, as mono float blocks at the rate asked for.

Everything streams, so a recording of any length passes at flat memory. Audio is mono throughout the
program: channels are averaged here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from wavenet.errors import AudioError
from wavenet.glossary import Wav

BLOCK_SAMPLES = 1 << 18

# A file may lack this fraction of the length that its header announces; one that lacks more is
# damaged.
MAX_MISSING_FRACTION = 0.01

# Messages of libsndfile that help nobody, and what they mean for a file that is there.
PLAIN_REASONS = {
    "System error": "the disk is full, or refuses",
    "": "damaged",
    "Unspecified internal error": "damaged",
    "File does not exist or is not a regular file (possibly a pipe?)": "Format not recognised",
    "Internal psf_fseek() failed": (
        "damaged, or written to a pipe, so that its header gives no length; convert it once"
    ),
}


def read_blocks(path: Path, sample_rate: int) -> Iterator[Wav]:
    """Mono float32 blocks (time,) of a recording at `sample_rate` Hz.

    Raises AudioError for a file that libsndfile cannot read, or whose end is missing.
    """
    if path.is_dir():
        raise AudioError(path, "is a folder, not a recording", "give one audio file")
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "no such file"
        raise AudioError(path, problem)
    try:
        with _quiet:
            opened = sf.SoundFile(libsndfile_name(path))
        frames, announced, rate = 0, opened.frames, opened.samplerate
        with opened as file:
            resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
            same_rate = rate == sample_rate
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
    except (sf.LibsndfileError, OSError, ValueError) as e:
        raise AudioError(path, f"cannot be read as audio ({libsndfile_reason(e)})") from None
    if frames < (1 - MAX_MISSING_FRACTION) * announced:
        read, length = frames / rate, announced / rate
        raise AudioError(path, f"damaged: only {read:.1f} of its {length:.1f} s can be read")


def readable(path: Path) -> bool:
    """Whether libsndfile knows this file's format."""
    try:
        with _quiet:
            return bool(sf.info(libsndfile_name(path)).samplerate)
    except (sf.LibsndfileError, OSError, ValueError):
        return False


def libsndfile_name(path: Path) -> Any:
    """A path as libsndfile takes it.

    On POSIX a file name may be any bytes, and soundfile would insist on encoding a string.
    """
    return os.fsencode(path) if os.name == "posix" else str(path)


def libsndfile_reason(e: Exception) -> str:
    """Why a file could not be read or written, in the library's words where those say something."""
    if isinstance(e, sf.LibsndfileError):
        reason = getattr(e, "error_string", "")
    else:
        reason = getattr(e, "strerror", None) or e
    text = str(reason).strip().rstrip(".")
    return PLAIN_REASONS.get(text, text)


class _Quiet:
    """Standard error goes nowhere while a recording is read.

    The MP3 decoder inside libsndfile writes remarks there and knows no other way to be silenced.
    Threads that read at once share one redirection: the first makes it and the last ends it.
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
            # There may be no standard error to redirect.
            with suppress(OSError):
                self._stderr = os.dup(2)
                with open(os.devnull, "wb") as null:
                    os.dup2(null.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers and self._stderr is not None:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)


_quiet = _Quiet()
