"""Audio out, block by block, with text as metadata: wav, flac, ogg, mp3; WAV into a stream."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

import soundfile as sf

from wavenet.audio.decoders import libsndfile_name, libsndfile_reason
from wavenet.errors import AudioError, UsageError, printable
from wavenet.glossary import Wav
from wavenet.system.files import exists_already

# Commands of libsndfile's sf_command, which soundfile does not wrap.
SFC_SET_UPDATE_HEADER_AUTO, SFC_SET_ADD_PEAK_CHUNK = 0x1061, 0x1050

# The format and usual subtype of libsndfile that each suffix stands for.
WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

# What samples can be stored as where nothing is compressed away, in the names of libsndfile.
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
# In a header, the size of what has no end yet.
UNKNOWN_SIZE = b"\xff\xff\xff\xff"

# What tags may be called, as soundfile has it. Of these MP3 keeps no software.
TAGS = ("title", "comment", "software", "artist", "album", "date", "copyright", "license", "genre")
# libsndfile reads no text of 2,048 bytes or more back from a wav, and may add its name to one.
MAX_TAG_BYTES = 2000


class Sink(Protocol):
    """What takes blocks of audio (time,)."""

    def write(self, wav: Wav) -> object: ...


def check_writable(path: Path) -> None:
    """Raise AudioError for a name that no audio can be written under."""
    if path.suffix.lower() not in WRITABLE:
        advice = f"use one of {', '.join(WRITABLE)}"
        raise AudioError(path, "cannot write this kind of file", advice)


def check_format(path: Path, sample_rate: int, subtype: str | None = None) -> tuple[str, str]:
    """The format and subtype of libsndfile that a file of this name is written in.

    Raises AudioError for a name or a rate, UsageError for a subtype that cannot be.
    """
    check_writable(path)
    form, usual = WRITABLE[path.suffix.lower()]
    if subtype is not None:
        usual = _subtype(subtype)
        takers = [suffix for suffix in WRITABLE if sf.check_format(WRITABLE[suffix][0], usual)]
        if path.suffix.lower() not in takers:
            reason, advice = f"{path} cannot hold that", f"use {' or '.join(takers)}"
            raise UsageError("subtype", subtype, reason, advice)
    try:
        sf.SoundFile(BytesIO(), "w", sample_rate, 1, usual, format=form).close()
    except sf.LibsndfileError as e:
        problem = f"cannot be written at {sample_rate} Hz ({_refusal(e)})"
        raise AudioError(path, problem) from None
    return form, usual


def _subtype(name: str) -> str:
    if name not in SUBTYPES:
        raise UsageError("subtype", name, f"must be one of {', '.join(SUBTYPES)}")
    return SUBTYPES[name]


def _tag_text(text: str, form: str) -> str:
    """A text as metadata of a format: one line, with escapes for what does not print.

    In MP3 for all that is not ASCII: libsndfile hands UTF-8 to an encoder that takes it for
    Latin-1.
    """
    encoded = printable(text).encode("ascii" if form == "MP3" else "utf-8", "backslashreplace")
    return encoded[:MAX_TAG_BYTES].decode(errors="ignore")


@contextmanager
def writer(
    path: Path,
    sample_rate: int,
    tags: Mapping[str, str] = {},
    subtype: str | None = None,
    *,
    force: bool = True,
) -> Iterator[sf.SoundFile]:
    """A mono file to write blocks of audio (time,) to, in the format that its suffix stands for.

    `tags` are texts for its metadata, named as in TAGS; one that the format does not take is left
    out. `subtype` is one of SUBTYPES: by default wav and flac have 16 bits. What was written stays
    readable when the body of the `with` statement is left early; a file that nothing was written to
    is deleted. Without `force` no file is replaced, nor one that another process makes meanwhile.
    Raises AudioError, OutputError for a file that stays, and UsageError for a subtype or a tag of
    another name.
    """
    # A rate that the format lacks is refused here, before a file of that name is emptied.
    form, stored = check_format(path, sample_rate, subtype)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise AudioError(path, problem, "name a file in an existing folder")
    _require_names(tags)
    is_new = not (force and path.exists())
    try:
        if not force:
            # At once, as looking whether it is there first would not be.
            path.open("xb").close()
        file = sf.SoundFile(libsndfile_name(path), "w", sample_rate, 1, stored, format=form)
    except FileExistsError:
        raise exists_already(path) from None
    except BaseException as e:
        # A signal may come when there is a file already.
        if is_new:
            with suppress(OSError):
                path.unlink()
        if not isinstance(e, (sf.LibsndfileError, OSError)):
            raise
        raise AudioError(path, f"cannot be written ({_refusal(e)})") from None
    try:
        _prepare(file, tags)
        yield file
        file.close()
    except sf.LibsndfileError as e:
        kept = "what fitted is kept" if file.frames and os.path.getsize(path) else ""
        raise AudioError(path, f"cannot be written on ({_refusal(e, file)})", kept) from None
    finally:
        with suppress(sf.LibsndfileError):
            file.close()
        # An encoder may have taken what the disk then refused.
        with suppress(OSError):
            if not (file.frames and os.path.getsize(path)):
                path.unlink()


def _require_names(tags: Mapping[str, str]) -> None:
    for name in tags.keys() - set(TAGS):
        raise UsageError("tags", name, f"must be called {', '.join(TAGS)}")


def _prepare(file: sf.SoundFile, tags: Mapping[str, str]) -> None:
    """What precedes the audio."""
    if file.format == "WAV":
        # The header then gives the true length after every write, so that even kill -9 leaves a
        # readable file. A chunk with the highest sample would hold the time of day, too.
        for command, value in ((SFC_SET_UPDATE_HEADER_AUTO, 1), (SFC_SET_ADD_PEAK_CHUNK, 0)):
            with suppress(AttributeError):
                sf._snd.sf_command(file._file, command, sf._ffi.NULL, value)
    # Before any audio, because most formats have their metadata in front of it.
    for name, text in tags.items():
        with suppress(sf.LibsndfileError):
            setattr(file, name, _tag_text(text, file.format))


class StreamWriter:
    """A mono WAV to write blocks of audio (time,) to, in a stream that cannot be searched.

    Its header gives no length, as ffmpeg's in a pipe: players read to the end. With `raw` there is
    none, only samples, little-endian. `name` is what errors call the stream, `subtype` one of
    SUBTYPES. Raises AudioError where the stream takes no more, and BrokenPipeError where nobody
    reads it; UsageError as `writer` does.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        sample_rate: int,
        tags: Mapping[str, str] = {},
        subtype: str = "16",
        *,
        raw: bool = False,
    ) -> None:
        self._stream, self._name, self._rate = stream, name, sample_rate
        self._subtype = _subtype(subtype)
        _require_names(tags)
        self._header = b"" if raw else _header(sample_rate, self._subtype, tags)

    def write(self, wav: Wav) -> None:
        samples = BytesIO()
        sf.write(samples, wav, self._rate, self._subtype, "LITTLE", "RAW")
        header, self._header = self._header, b""
        try:
            self._stream.write(header + samples.getvalue())
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as e:
            raise AudioError(self._name, f"cannot be written on ({e.strerror or e})") from None


def _header(sample_rate: int, subtype: str, tags: Mapping[str, str]) -> bytes:
    """All that precedes the samples of a WAV whose length is not known."""
    content = BytesIO()
    with sf.SoundFile(content, "w", sample_rate, 1, subtype, format="WAV") as file:
        _prepare(file, tags)
    header = content.getvalue()
    # The sizes of the file and of its last chunk, which is that of the samples.
    return header[:4] + UNKNOWN_SIZE + header[8:-4] + UNKNOWN_SIZE


def _refusal(e: Exception, file: sf.SoundFile | None = None) -> str:
    """Why nothing, or no more, can be written. FLAC's encoder has no words for it."""
    is_mute = isinstance(e, sf.LibsndfileError) and not e.error_string
    return "the disk is full, or refuses" if is_mute else libsndfile_reason(e, file)
