"""Which of the recordings to score were trained on, by what they hold and not by their names.

A run says which recordings it was trained on. A checkpoint that was copied away from its run has
the fingerprint of all of them together and their path; a model that comes with the program has the
fingerprint alone.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from wavenet.data.cache_folders import cache_folder
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.data.selection import Selection
from wavenet.errors import CorpusError, RunError
from wavenet.model import locate
from wavenet.model.checkpoint import Model
from wavenet.training.run_folder import Run


def trained_on(source: Path, model: Model, index: Index, split: str) -> set[str]:
    """The names of the recordings in `index` that were trained on, as far as is known.

    `source` is where the `model` lies: a run, a checkpoint, or the name of a bundled model. With
    tails held out and scored, there are none.
    """
    if split == model.config.train.validation == "tails":
        return set()
    folder = locate.find(source).resolve().parent
    about: dict[str, Any] = {}
    if folder.name == "checkpoints":
        # What cannot be read is not known.
        with suppress(RunError):
            about = Run(folder.parent).corpus()
    if recordings := about.get("recordings", {}):
        unused = {*about.get("held_out", []), *about.get("left_out", [])}
        trained = {sha256 for name, sha256 in recordings.items() if name not in unused}
    else:
        trained = _by_fingerprint(model, index)
    return {recording.name for recording in index.recordings if recording.sha256 in trained}


def _by_fingerprint(model: Model, index: Index) -> set[str]:
    """The contents that were trained on, where they are still together; which follows again."""
    config, cache = model.config, index.cache.parent
    for selection in _places(model, index):
        with suppress(CorpusError):
            whole = index_folder(
                selection, config.audio, trim=config.trims, cache=cache, version=index.version
            )
            corpus = Corpus.open(whole, config)
            if corpus.fingerprint == model.training.fingerprint:
                return {span.recording.sha256 for span in corpus.training}
    return set()


def _places(model: Model, index: Index) -> Iterator[Selection]:
    """Where the recordings may be: what is scored, and those of the training, if decoded."""
    if not model.training.fingerprint:
        return
    yield index.selection
    folder, config = Path(model.training.folder), model.config
    place = index.cache.parent
    decoded = cache_folder(folder, config.audio, config.trims, place, index.version)
    if model.training.folder and decoded.is_dir():
        yield Selection(folder, model.training.paths)
