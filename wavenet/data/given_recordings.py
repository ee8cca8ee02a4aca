"""Recordings as users of the library give them, as files: all else reads recordings from those.

Those in memory are written to files, in floats as they are, so that they are decoded, levelled and
split by the same rules as files, and score the same.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wavenet.audio.reading import wav_and_rate
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError, UsageError
from wavenet.glossary import AudioInput
from wavenet.system.files import PARTIAL, given_path, writing

# A folder of recordings, one recording, or several of either.
Recordings = AudioInput | Sequence[AudioInput]
NAME = "recordings"


def are_files(recordings: Recordings) -> bool:
    """Whether they lie in files. Raises CorpusError for none, UsageError for a mixture."""
    given = _listed(recordings)
    if not given:
        raise CorpusError(f"`{NAME}`", "holds none", "give a folder, a file or arrays")
    kinds = {isinstance(recording, str | Path) for recording in given}
    if len(kinds) > 1:
        advice = "read the files, as with soundfile.read, which gives (wav, rate)"
        raise UsageError(NAME, None, "lists paths and arrays", advice)
    return kinds.pop()


@contextmanager
def as_files(
    recordings: Recordings, sample_rate: int, keep: Path | None = None
) -> Iterator[tuple[Selection, Path | None]]:
    """The files of `recordings`, and where to keep them decoded: None for files that stay.

    Arrays without a rate are at `sample_rate`, in Hz. They lie in a temporary folder, or in one of
    their own in `keep`. Inside, errors about it name the parameter. Raises AudioError for what is
    no recording, CorpusError for none, and UsageError.
    """
    given = _listed(recordings)
    if are_files(recordings):
        yield Selection.of([given_path(NAME, path) for path in given]), None
        return
    with tempfile.TemporaryDirectory(prefix="wavenet-") as place:
        folder = Path(place, "recordings")
        folder.mkdir()
        for i, recording in enumerate(given):
            # Their order is that of the files' names.
            name = f"{NAME}[{i:0{len(str(len(given) - 1))}}]" if given is recordings else NAME
            _write(recording, folder / f"{name}.wav", f"`{name}`", sample_rate)
        if keep is not None:
            folder = _kept(folder, keep)
        try:
            yield Selection(folder), Path(place, "cache") if keep is None else None
        except CorpusError as e:
            if e.subject != folder:
                raise
            raise CorpusError(f"`{NAME}`", e.reason, e.advice) from None


def _listed(recordings: Recordings) -> Sequence[Any]:
    is_list = isinstance(recordings, Sequence) and not isinstance(recordings, str | tuple)
    listed: Any = recordings if is_list else [recordings]
    return listed  # type: ignore[no-any-return]


def _write(recording: AudioInput, path: Path, name: str, sample_rate: int) -> None:
    # libsndfile would stamp the time into the file, and what is held out depends on its content.
    from scipy.io import wavfile

    wav, rate = wav_and_rate(recording, sample_rate, name)
    wavfile.write(path, rate, wav.astype(np.float32))


def _kept(folder: Path, keep: Path) -> Path:
    """A folder in `keep` with the same files, called after their content."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    kept = keep / digest.hexdigest()[:12]
    partial = kept.with_suffix(PARTIAL)
    with writing(kept):
        if not kept.exists():
            shutil.copytree(folder, partial, dirs_exist_ok=True)
            partial.rename(kept)
    return kept
