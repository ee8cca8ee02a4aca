"""Audio files decoded by libsndfile, and by FFmpeg what libsndfile cannot read or not to its end.

Both give blocks of float32 (frames, channels) in -1 ... 1, with the sample rate of each.
"""

import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import soundfile as sf

from wavenet.audio.containers import Part, promised_frames
from wavenet.glossary import Array

BLOCK_SAMPLES = 1 << 18
# A lower rate is a damaged header's.
LOWEST_RATE = 500
# As many as a frame of FFmpeg has room for.
MOST_PLANES = 8

# libsndfile's number for what the system refused, and how it begins to say what that was.
SFE_SYSTEM, SYSTEM_ERROR = 2, "System error : "

# What libsndfile says of files that may be another library's.
UNKNOWN = "Format not recognised"
# Messages of libsndfile that help nobody, and what they mean for a file that is there.
PLAIN_REASONS = {
    "System error": "the disk is full, or refuses",
    "": "damaged",
    "Unspecified internal error": "damaged",
    "File does not exist or is not a regular file (possibly a pipe?)": UNKNOWN,
    "Internal psf_fseek() failed": "damaged, or of a kind that cannot be read",
}

# The formats that FFmpeg may take a file for. Others, such as play lists, name further files, and
# would be followed; on damaged VOC files PyAV ends the process.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,caf,dsf,flac,matroska,webm,mov,mp4,m4a,mp3,ogg,tak,tta,w64,wav"
    ",wv,3gp,3g2,mj2,adts,loas,nistsphere,ircam,avr,pvf,epaf,iff,sds,rm"
)

# Those whose headers give a length, by their names in FFmpeg.
_TOLD_BY_HEADER = re.compile(r"\b(mov|matroska|ape|wv|tta|tak|dsf)\b")


class Block(NamedTuple):
    """Decoded samples (frames, channels), and their rate in Hz."""

    samples: Array
    rate: int


class Window(io.RawIOBase):
    """Part of a file as a file of its own, read-only."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = path.open("rb")
        self._part, self._at = part, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self._at, self._part.stop - self._part.start)[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        # Damaged files lead to places far behind the end.
        at = min(self._part.start + self._at, self._part.stop)
        self._file.seek(at)
        content = self._file.read(min(self._part.stop - at, len(buffer)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Pipe:
    """A file that cannot be searched: FFmpeg would look for chunks in all of a WAV's silence."""

    def __init__(self, file: Window) -> None:
        self.read = file.read


class Libsndfile:
    """A file, or part of one, opened by libsndfile. Raises what `ERRORS` lists."""

    # A TypeError: soundfile requires the format of a file whose name ends in .raw.
    ERRORS = (sf.LibsndfileError, OSError, ValueError, TypeError)

    def __init__(self, path: Path, part: Part | None = None) -> None:
        # A whole file is opened by name: its bytes then need not pass through Python.
        self._window = None if part is None else Window(path, part)
        with _quiet:
            self.file = sf.SoundFile(self._window or libsndfile_name(path))
        if self.file.samplerate < LOWEST_RATE:
            self.close()
            raise ValueError(f"damaged: a rate of {self.file.samplerate} Hz")

    def promised_seconds(self, head: bytes) -> float:
        """How much sound the file promises; `head` is its beginning."""
        log, form = self.file.extra_info, self.file.format
        frames = promised_frames(form, log, self.file.frames, head)
        return float(frames / self.file.samplerate)

    def blocks(self) -> Iterator[Block]:
        while True:
            with _quiet:
                samples = self.file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
            if not len(samples):
                return
            yield Block(samples, self.file.samplerate)

    def close(self) -> None:
        self.file.close()
        if self._window:
            self._window.close()


class Ffmpeg:
    """Part of a file opened by FFmpeg, which reads it behind its first `skip_seconds`.

    Packets that are damaged are left out. Unless `believe_header`, all that follows the header of a
    WAV is sound. Raises what `ERRORS` lists.
    """

    ERRORS = (av.FFmpegError, OSError, ValueError)

    def __init__(
        self, path: Path, part: Part, skip_seconds: float = 0.0, believe_header: bool = True
    ) -> None:
        options = {"format_whitelist": _FORMATS}
        if not believe_header:
            # Small packets of PCM would take most of the time.
            options |= {"ignore_length": "1", "max_size": str(4 * BLOCK_SAMPLES)}
        self._skip_seconds = skip_seconds
        # Whether anything was left out.
        self.is_damaged = False
        self._window = Window(path, part)
        try:
            file = self._window if believe_header else _Pipe(self._window)
            self._container: Any = av.open(file, options=options, metadata_errors="ignore")
            if not [s for s in self._container.streams.audio if s.codec_context is not None]:
                raise ValueError("holds no sound, or of an unknown kind")
        except BaseException:
            self._window.close()
            raise
        self._stream = self._container.streams.audio[0]

    @property
    def promised_seconds(self) -> float:
        """How much sound the header promises; 0 where it does not, and FFmpeg would guess."""
        stream, container = self._stream, self._container
        if container.format.name == "caf":
            return float(stream.frames / stream.codec_context.sample_rate)
        if not _TOLD_BY_HEADER.search(container.format.name):
            return 0.0
        if stream.duration is not None:
            return float(stream.duration * (stream.time_base or 0))
        if len(container.streams) > 1:
            # It is as long as the longest of its streams.
            return 0.0
        begins = float((stream.start_time or 0) * (stream.time_base or 0))
        return (container.duration or 0) / av.time_base - begins

    def blocks(self) -> Iterator[Block]:
        pending: list[Array] = []
        skip: int | None = None
        rate = 0
        for samples, frame_rate in self._frames():
            if skip is None:
                skip = round(self._skip_seconds * frame_rate)
            rest, skip = samples[skip:], max(0, skip - len(samples))
            is_new = rate != frame_rate or bool(pending and pending[0].shape[1] != rest.shape[1])
            if pending and (is_new or sum(map(len, pending)) >= BLOCK_SAMPLES // 4):
                yield Block(np.concatenate(pending), rate)
                pending = []
            rate = frame_rate
            if len(rest):
                pending.append(rest)
        if pending:
            yield Block(np.concatenate(pending), rate)

    def _frames(self) -> Iterator[Block]:
        """As the codec has them."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, *self.ERRORS):
                return
            try:
                frames = packet.decode()
            except self.ERRORS:
                self.is_damaged = True
                continue
            for frame in frames:
                samples = _samples(frame)
                if samples is not None and frame.sample_rate >= LOWEST_RATE:
                    yield Block(samples, frame.sample_rate)

    def close(self) -> None:
        self._container.close()
        self._window.close()


# PyAV forgets one.
_DTYPES = {**av.audio.frame.format_dtypes, "s64": "i8", "s64p": "i8"}


def _samples(frame: Any) -> Array | None:
    """A frame's samples, float32 (frames, channels); None for more planes than PyAV counts.

    Of a frame that has a plane for each of 8 channels it lists more than there are, and its
    `to_ndarray` then reads where there is nothing.
    """
    channels = frame.layout.nb_channels
    dtype = np.dtype(_DTYPES[frame.format.name])
    if not frame.format.is_planar:
        packed = np.frombuffer(frame.planes[0], dtype, frame.samples * channels)
        return _as_float(packed).reshape(-1, channels)
    if channels > MOST_PLANES:
        return None
    planes = [np.frombuffer(plane, dtype, frame.samples) for plane in frame.planes[:channels]]
    return np.ascontiguousarray(_as_float(np.stack(planes)).T)


def _as_float(samples: Array) -> Array:
    """Samples of any type as float32, integers as their share of full scale."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    full_scale = float(1 << 8 * samples.dtype.itemsize - 1)
    middle = full_scale if samples.dtype.kind == "u" else 0.0
    scaled: Array = ((samples.astype(np.float64) - middle) / full_scale).astype(np.float32)
    return scaled


def readable(path: Path) -> bool:
    """Whether libsndfile knows this file's format."""
    try:
        with _quiet:
            return bool(sf.info(libsndfile_name(path)).samplerate)
    except Libsndfile.ERRORS:
        return False


def libsndfile_name(path: Path) -> Any:
    """A path as libsndfile takes it.

    On POSIX a file name may be any bytes, and soundfile would insist on encoding a string.
    """
    return os.fsencode(path) if os.name == "posix" else str(path)


def libsndfile_reason(e: Exception, file: sf.SoundFile | None = None) -> str:
    """Why a file could not be read or written, in the library's words where those say something.

    `file` is the one that failed, once it was opened.
    """
    reason: object
    if isinstance(e, TypeError):
        reason = UNKNOWN
    elif isinstance(e, sf.LibsndfileError):
        reason = getattr(e, "error_string", "")
        if e.code == SFE_SYSTEM:
            # soundfile leaves out what the system said. Of a file that could not be opened,
            # libsndfile tells it to whoever asks about none.
            handle = getattr(file, "_file", None) or sf._ffi.NULL
            message = sf._ffi.string(sf._snd.sf_strerror(handle)).decode(errors="replace")
            if message.startswith(SYSTEM_ERROR):
                reason = message.removeprefix(SYSTEM_ERROR)
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
