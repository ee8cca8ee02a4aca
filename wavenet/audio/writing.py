"""Audio files out: wav, flac, ogg and mp3, written block by block, with text as metadata."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import soundfile as sf

from wavenet.audio.decoders import SFE_SYSTEM, libsndfile_name, libsndfile_reason
from wavenet.errors import AudioError, UsageError

# A command of libsndfile's sf_command, which soundfile does not wrap.
SFC_SET_UPDATE_HEADER_AUTO = 0x1061

# The format and subtype of libsndfile that each suffix stands for.
WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

# What tags may be called, as soundfile has it. Of these MP3 keeps no software.
TAGS = ("title", "comment", "software", "artist", "album", "date", "copyright", "license", "genre")
# libsndfile reads no text of 2,048 bytes or more back from a wav, and may add its name to one.
MAX_TAG_BYTES = 2000


def check_writable(path: Path) -> None:
    """Raise AudioError for a name that no audio can be written under."""
    if path.suffix.lower() not in WRITABLE:
        advice = f"use one of {', '.join(WRITABLE)}"
        raise AudioError(path, "cannot write this kind of file", advice)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise AudioError(path, problem, "name a file in an existing folder")


def _tag_text(text: str, form: str) -> str:
    """A text as metadata of a format: one line, with escapes for what does not print.

    In MP3 for all that is not ASCII: libsndfile hands UTF-8 to an encoder that takes it for
    Latin-1.
    """
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoded = line.encode("ascii" if form == "MP3" else "utf-8", "backslashreplace")
    return encoded[:MAX_TAG_BYTES].decode(errors="ignore")


@contextmanager
def writer(path: Path, sample_rate: int, tags: Mapping[str, str] = {}) -> Iterator[sf.SoundFile]:
    """A mono file to write blocks of audio (time,) to, in the format that its suffix stands for.

    `tags` are texts for its metadata, named as in TAGS; one that the format does not take is left
    out. What was written stays readable when the body of the `with` statement is left early; a file
    that nothing was written to is deleted. Raises AudioError, and UsageError for a tag of another
    name.
    """
    check_writable(path)
    for name in tags.keys() - set(TAGS):
        raise UsageError("tags", name, f"must be called {', '.join(TAGS)}")
    form, subtype = WRITABLE[path.suffix.lower()]
    is_new = not path.exists()
    try:
        # A rate that the format lacks is refused here, before a file of that name is emptied.
        sf.SoundFile(BytesIO(), "w", sample_rate, 1, subtype, format=form).close()
        file = sf.SoundFile(libsndfile_name(path), "w", sample_rate, 1, subtype, format=form)
    except BaseException as e:
        # A signal may come when there is a file already.
        if is_new:
            with suppress(OSError):
                path.unlink()
        if not isinstance(e, (sf.LibsndfileError, OSError)):
            raise
        by_system = isinstance(e, OSError) or e.code == SFE_SYSTEM
        at_rate = "" if by_system else f"at {sample_rate} Hz "
        raise AudioError(path, f"cannot be written {at_rate}({_refusal(e)})") from None
    try:
        if form == "WAV":
            # The header then gives the true length after every write, so that even kill -9 leaves a
            # readable file.
            with suppress(AttributeError):
                sf._snd.sf_command(file._file, SFC_SET_UPDATE_HEADER_AUTO, sf._ffi.NULL, 1)
        # Before any audio, because most formats have their metadata in front of it.
        for name, text in tags.items():
            with suppress(sf.LibsndfileError):
                setattr(file, name, _tag_text(text, form))
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


def _refusal(e: Exception, file: sf.SoundFile | None = None) -> str:
    """Why nothing, or no more, can be written. FLAC's encoder has no words for it."""
    is_mute = isinstance(e, sf.LibsndfileError) and not e.error_string
    return "the disk is full, or refuses" if is_mute else libsndfile_reason(e, file)
