"""Audio files out: wav, flac, ogg and mp3, written block by block."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import soundfile as sf

from wavenet.audio.reading import libsndfile_name, libsndfile_reason
from wavenet.errors import AudioError

# A command of libsndfile's sf_command, which soundfile does not wrap.
SFC_SET_UPDATE_HEADER_AUTO = 0x1061

# The format and subtype of libsndfile that each suffix stands for.
WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


def check_writable(path: Path) -> None:
    """Raise AudioError for a name that no audio can be written under."""
    if path.suffix.lower() not in WRITABLE:
        advice = f"use one of {', '.join(WRITABLE)}"
        raise AudioError(path, "cannot write this kind of file", advice)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise AudioError(path, problem, "name a file in an existing folder")


@contextmanager
def writer(path: Path, sample_rate: int) -> Iterator[sf.SoundFile]:
    """A mono file to write blocks of audio (time,) to, in the format that its suffix stands for.

    What was written stays readable when the body of the `with` statement is left early. Raises
    AudioError.
    """
    check_writable(path)
    form, subtype = WRITABLE[path.suffix.lower()]
    try:
        # A rate that the format lacks is refused here, before a file of that name is emptied.
        sf.SoundFile(BytesIO(), "w", sample_rate, 1, subtype, format=form).close()
        file = sf.SoundFile(libsndfile_name(path), "w", sample_rate, 1, subtype, format=form)
    except (sf.LibsndfileError, OSError) as e:
        reason = f"cannot be written at {sample_rate} Hz ({libsndfile_reason(e)})"
        raise AudioError(path, reason) from None
    try:
        with file:
            if form == "WAV":
                # The header then gives the true length after every write, so that even kill -9
                # leaves a readable file.
                with suppress(AttributeError):
                    sf._snd.sf_command(file._file, SFC_SET_UPDATE_HEADER_AUTO, sf._ffi.NULL, 1)
            yield file
    except sf.LibsndfileError as e:
        reason = f"cannot be written on ({libsndfile_reason(e)})"
        raise AudioError(path, reason, "what fitted is kept") from None
