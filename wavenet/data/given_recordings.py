"""Recordings as users of the library give them, as files: all else reads recordings from those.

Those in memory are written to a temporary folder, in floats as they are, so that they are decoded,
levelled and split by the same rules as files, and score the same.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wavenet.audio.reading import wav_and_rate
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError
from wavenet.glossary import AudioInput

# A folder of recordings, one recording, or several of either.
Recordings = AudioInput | Sequence[AudioInput]
NAME = "`recordings`"


@contextmanager
def as_files(recordings: Recordings, sample_rate: int) -> Iterator[tuple[Selection, Path | None]]:
    """The files of `recordings`, and where to keep them decoded: None for files that stay.

    Arrays without a rate are at `sample_rate`, in Hz. Inside, errors about a temporary folder name
    the parameter. Raises AudioError for what is no recording, and CorpusError for none.
    """
    given: Sequence[Any] = [recordings]
    if isinstance(recordings, Sequence) and not isinstance(recordings, str | tuple):
        given = recordings
    if not given:
        raise CorpusError(NAME, "holds none", "give a folder, a file or arrays")
    if all(isinstance(recording, str | Path) for recording in given):
        yield Selection.of([Path(path) for path in given]), None
        return
    with tempfile.TemporaryDirectory(prefix="wavenet-") as place:
        folder = Path(place, "recordings")
        folder.mkdir()
        for i, recording in enumerate(given):
            _write(recording, folder, i, sample_rate)
        try:
            yield Selection(folder), Path(place, "cache")
        except CorpusError as e:
            if e.subject != folder:
                raise
            raise CorpusError(NAME, e.reason, e.advice) from None


def _write(recording: AudioInput, folder: Path, i: int, sample_rate: int) -> None:
    if isinstance(recording, str | Path):
        # Among arrays, it lies where they do.
        shutil.copy2(recording, folder / f"{i:06d}-{Path(recording).name}")
        return
    # libsndfile would stamp the time into the file, and what is held out depends on its content.
    from scipy.io import wavfile

    wav, rate = wav_and_rate(recording, sample_rate, NAME)
    wavfile.write(folder / f"{i:06d}.wav", rate, wav.astype(np.float32))
