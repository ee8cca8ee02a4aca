"""Segments beside recordings: every format, their frames, and what does not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import FOLLOWING, noisy, write_midi
from wavenet.config import Config
from wavenet.data import given_segments
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError, EngineError
from wavenet.scores.segments import Segment

MODEL = replace(FOLLOWING["segments"], segment_labels=(), frame_hop=10)
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.3
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.05
            text = ""
        intervals [2]:
            xmin = 0.05
            xmax = 0.2
            text = "G4"
        intervals [3]:
            xmin = 0.2
            xmax = 0.3
            text = "C4"
"""
Open = Callable[..., Corpus]


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """Recordings of 0.3 s with the same two labels beside each, in every format."""
    made = make_folder({f"{i}.wav": noisy(0.3, seed=i) for i in range(4)})
    (made / "0.TextGrid").write_text(TEXTGRID)
    (made / "1.txt").write_text("0.05\t0.2\tG4\n0.2\t0.3\tC4\n")
    (made / "2.csv").write_text("start,end,label\n0.05,0.2,G4\n0.2,0.3,C4\n")
    # At 120 beats a minute 960 ticks are a second.
    notes = [(48, 1, 67, 80), (192, 1, 67, 0), (192, 1, 60, 80), (288, 1, 60, 0)]
    write_midi(made / "3.mid", notes)
    return made


@pytest.fixture
def opened(folder: Path, small_config: Config) -> Open:
    def open_corpus(**model: Any) -> Corpus:
        config = replace(small_config, model=replace(MODEL, **model))
        return Corpus.open(index_folder(folder, config.audio, trim=config.trims), config)

    return open_corpus


def test_every_format_gives_the_same_frames(opened: Open) -> None:
    corpus = opened()
    assert corpus.config.model.segment_labels == ("C4", "G4")
    tracks = corpus.tracks["segments"]
    assert tracks.keys() == {f"{i}.wav" for i in range(4)}
    first = tracks["0.wav"].rows(-3, 250)
    for track in tracks.values():
        np.testing.assert_allclose(track.rows(-3, 250), first, atol=1e-6)
    label, place, seconds = first.T[:, 3:]
    # Frame j lies at sample 10 j, which is 1.25 ms j, and a border belongs to what begins there.
    assert label[:40].tolist() == [0] * 40
    assert label[40:160].tolist() == [2] * 120
    assert label[160:240].tolist() == [1] * 80
    np.testing.assert_allclose(place[40:160], np.arange(120) / 120, atol=1e-6)
    np.testing.assert_allclose(seconds[[0, 40, 159, 160]], [0, 0.15, 0.15, 0.1], atol=1e-6)
    # Before the first frame it holds, and after the last.
    assert (first[:4] == first[3]).all()
    assert (first[243:] == first[243]).all()


def test_a_border_that_no_binary_number_has_lies_at_its_sample() -> None:
    given = [Segment(0.01 * i, 0.01 * (i + 1), f"{i}") for i in range(100)]
    known = [segment.label for segment in given]
    track = given_segments.track_of(given, known, 8000, 80, 8000)
    assert track.rows(0, 100)[:, 0].tolist() == list(range(1, 101))
    assert (track.rows(0, 100)[:, 1] == 0).all()
    # A segment that is shorter than a sample is nowhere.
    short = given_segments.track_of([Segment(0.1, 0.10001, "a")], ["a"], 8000, 1, 2000)
    assert not short.rows(0, 2000).any()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("1.txt", "", "is empty"),
        ("1.txt", "0.1 0.2 a\n", "has no tab"),
        ("1.txt", "0.1\t0.1\ta\n", "is a point in time"),
        ("1.txt", "0.1\t0.2\ta\n0.15\t0.3\tb\n", "b begins at 0.15 s, before a ends"),
        ("2.csv", "0.1,0.2\n", "three columns"),
        ("0.TextGrid", "rubbish", "is no TextGrid"),
        ("3.mid", "rubbish", "is no MIDI file"),
        ("1.txt", "10\t12\ta\n", "has a at 10 s, and its recording ends at 0.3 s"),
    ],
)
def test_what_cannot_be_read_is_named(
    folder: Path, opened: Open, name: str, text: str, words: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(CorpusError, match=words) as e:
        opened()
    assert str(folder / name[0]) in str(e.value)


def test_recordings_without_segments_are_skipped(folder: Path, opened: Open) -> None:
    (folder / "2.csv").unlink()
    corpus = opened()
    assert [(s.name, s.reason) for s in corpus.index.skipped] == [
        ("2.wav", "has no segments beside it")
    ]
    for path in folder.iterdir():
        if path.suffix != ".wav":
            path.unlink()
    with pytest.raises(CorpusError, match="has segments beside none of 4 recordings"):
        opened()


def test_a_network_refuses_labels_that_it_does_not_know(folder: Path, opened: Open) -> None:
    assert opened(segment_labels=("A4", "C4", "G4")).config.model.segment_labels[0] == "A4"
    message = r"has a segment G4, which this network does not know \(C4"
    with pytest.raises(CorpusError, match=message) as e:
        opened(segment_labels=("C4",))
    assert e.value.subject == folder / "0.TextGrid"
    model = replace(MODEL, segment_labels=("C4",))
    with pytest.raises(EngineError, match="G4 is unknown; the model knows C4"):
        given_segments.frames_of([Segment(0, 1, "G4")], model, 8000, 8000, "x")


def test_too_many_labels_are_refused(folder: Path, opened: Open) -> None:
    lines = [f"{0.0001 * i:.4f}\t{0.0001 * (i + 1):.4f}\tw{i}" for i in range(1100)]
    (folder / "1.txt").write_text("\n".join(lines))
    with pytest.raises(CorpusError, match="1102 different labels, at most 1024 can be"):
        opened()


def test_other_segments_make_another_corpus(folder: Path, opened: Open) -> None:
    before = opened()
    # Another file of the same content is no change.
    (folder / "2.csv").write_text("0.05,0.2,G4\r\n0.2,0.3,C4\r\n")
    assert opened().fingerprint == before.fingerprint
    (folder / "2.csv").write_text("0.05,0.2,C4\n0.2,0.3,C4\n")
    assert opened().fingerprint != before.fingerprint
