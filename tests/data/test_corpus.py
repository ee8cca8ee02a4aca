"""A folder's recordings as a corpus: what is trained on, what is held out, what is noticed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import noisy, tone
from wavenet.config import Config
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError
from wavenet.glossary import Array

Make = Callable[..., Corpus]


@pytest.fixture
def corpus(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """corpus({"a.wav": wav, ...}, name of the folder, **train)."""

    def make(files: dict[str, Array], name: str = "recordings", **train: Any) -> Corpus:
        config = replace(small_config, train=replace(small_config.train, **train))
        index = index_folder(make_folder(files, name=name), config.audio, trim=config.trims)
        return Corpus.open(index, config)

    return make


def test_duplicates_stay_on_one_side(corpus: Make) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(8)}
    files |= {f"copy{i}.wav": noisy(0.5, seed=i) for i in range(8)}
    for fraction in (0.1, 0.2, 0.4):
        c = corpus(files, validation_fraction=fraction)
        held = {s.recording.sha256 for s in c.validation}
        assert held
        assert held.isdisjoint({s.recording.sha256 for s in c.training})


def test_one_short_clip_is_not_validation_enough(corpus: Make) -> None:
    files = {f"{i}.wav": noisy(3.0, seed=i) for i in range(8)} | {"jingle.wav": noisy(0.2, seed=9)}
    c = corpus(files)
    assert sum(len(s) for s in c.validation) >= 3.0 * 8000


def test_held_out_files_hardly_change_when_one_is_added(corpus: Make) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(30)}
    before = set(corpus(files).held_out)
    after = set(corpus(files | {"new.wav": noisy(0.5, seed=99)}).held_out)
    assert len(before) == 3
    assert len(before & after) >= 2


def test_too_few_files_fall_back_to_tails_with_a_note(corpus: Make) -> None:
    c = corpus({"a.wav": tone(0.5), "b.wav": noisy(0.5)})
    assert "only 2 different recordings" in c.notes[0]
    assert [(s.start, s.stop) for s in c.validation] == [(3600, 4000)] * 2


def test_tails_are_the_last_tenth_of_what_is_long_enough(corpus: Make) -> None:
    files = {"a.wav": noisy(2.0), "b.wav": noisy(1.5), "short.wav": noisy(0.9)}
    c = corpus(files, validation="tails")
    assert [(s.start, s.stop) for s in c.validation] == [(14400, 16000), (10800, 12000)]
    assert [(s.start, s.stop) for s in c.training] == [(0, 14400), (0, 10800)]
    assert c.left_out == ["short.wav"]
    assert "1 shorter ones left out" in c.notes[0]
    with pytest.raises(CorpusError):
        corpus({"s.wav": noisy(0.5)}, "short", validation="tails")


def test_fingerprint_follows_content(corpus: Make) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(5)}
    renamed = {f"x{k}": v for k, v in files.items()}
    replaced = files | {"0.wav": noisy(0.5, seed=77)}
    a = corpus(files, "a").fingerprint
    assert corpus(renamed, "b").fingerprint == a
    assert corpus(replaced, "c").fingerprint != a
