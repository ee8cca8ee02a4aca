"""Features beside recordings: their shapes and hops, what does not fit, and their statistics."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import FOLLOWING, noisy
from wavenet.audio import mel
from wavenet.config import Config
from wavenet.data import given_features
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.data.split import Span
from wavenet.errors import AudioError, CorpusError
from wavenet.glossary import Array

MODEL = replace(FOLLOWING["features"], features_width=0, frame_hop=10)
SAMPLES = (2000, 2401, 2803, 3200)
Open = Callable[..., Corpus]


def numbers(frames: int, width: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(2, 5, (frames, width)).astype(np.float32)


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """Recordings, each with three features beside it."""
    made = make_folder({f"{i}.wav": noisy(n / 8000, seed=i) for i, n in enumerate(SAMPLES)})
    for i, n in enumerate(SAMPLES):
        np.save(made / f"{i}.npy", numbers(1 + n // 10, seed=i))
    return made


@pytest.fixture
def opened(folder: Path, small_config: Config) -> Open:
    def open_corpus(**model: Any) -> Corpus:
        config = replace(small_config, model=replace(MODEL, **model))
        return Corpus.open(index_folder(folder, config.audio, trim=config.trims), config)

    return open_corpus


@pytest.mark.parametrize("form", ["by time", "by feature", "a batch", "float64", "integers"])
def test_shapes_and_types_that_mean_the_same(folder: Path, opened: Open, form: str) -> None:
    frames = np.rint(numbers(201))
    forms = {
        "by time": frames,
        "by feature": frames.T,
        "a batch": frames[None],
        "float64": frames.astype(np.float64),
        "integers": frames.astype(np.int32),
    }
    np.save(folder / "0.npy", forms[form])
    corpus = opened()
    assert corpus.config.model.features_width == 3
    rows = corpus.tracks["features"]["0.wav"].rows(-2, 204)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[2:203], frames)
    # Beyond the ends the outer ones hold.
    assert (rows[:2] == frames[0]).all()
    assert (rows[203:] == frames[-1]).all()


def test_a_row_of_numbers_is_one_feature(folder: Path, opened: Open) -> None:
    for i, n in enumerate(SAMPLES):
        np.save(folder / f"{i}.npy", np.arange(1 + n // 10, dtype=np.float32))
    corpus = opened()
    assert corpus.config.model.features_width == 1
    assert corpus.tracks["features"]["1.wav"].rows(3, 5).tolist() == [[3], [4]]


def test_as_many_features_as_frames_are_told_apart(tmp_path: Path) -> None:
    """A program may leave out a frame or two, so that both axes could be frames."""
    by_feature = numbers(10, 11).T
    assert given_features.arranged(by_feature, 10, off=2).shape == (10, 11)  # type: ignore[union-attr]
    assert given_features.arranged(by_feature, 11, off=2, width=11).shape == (10, 11)  # type: ignore[union-attr]
    square = numbers(10, 10)
    assert given_features.arranged(square, 10, off=2) is square


def test_features_of_another_hop_are_joined_by_straight_lines(folder: Path, opened: Open) -> None:
    for i, n in enumerate(SAMPLES):
        # Frames 25 samples apart, whose value is their sample.
        np.save(folder / f"{i}.npy", 25.0 * np.arange(1 + n // 25)[:, None])
    corpus = opened(features_hop=25)
    track = corpus.tracks["features"]["0.wav"]
    np.testing.assert_allclose(track.rows(0, 201)[:, 0], 10.0 * np.arange(201), rtol=1e-6)
    assert (track.rows(199, 230)[1:] == 2000).all()
    assert (track.rows(-5, 1) == 0).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (numbers(101), r"is of shape \(101, 3\), and 0.wav has 201 frames, one for each 10 "),
        (numbers(101), r"\(model.features_hop\) \(20 would fit\)"),
        (numbers(201, 4), "has 4 features, and others have 3"),
        (numbers(201).reshape(201, 3, 1), r"is of shape \(201, 3, 1\)"),
        (np.zeros(()), r"is of shape \(\)"),
        (np.zeros((0, 3)), r"is of shape \(0, 3\)"),
        (np.full((201, 3), np.nan), "finite numbers"),
        (np.full((201, 3), np.inf), "finite numbers"),
        (np.full((201, 3), 1e300), "finite numbers"),
        (np.full((201, 3), 1j), "finite numbers"),
        (np.full((201, 3), "x"), "finite numbers"),
        (b"", "not a .npy file of numbers"),
        (b"RIFF and rubbish", "not a .npy file of numbers"),
        (b"\x93NUMPY\x01\x00v\x00", "not a .npy file of numbers"),
    ],
)
def test_what_cannot_be_a_recordings_features_is_refused(
    folder: Path, opened: Open, wrong: Array | bytes, words: str
) -> None:
    path = folder / "0.npy"
    if isinstance(wrong, bytes):
        path.write_bytes(wrong)
    else:
        np.save(path, wrong)
    if "others" in words:
        # The first file decides.
        path = path.rename(folder / "3.npy")
        np.save(folder / "0.npy", numbers(201))
        np.save(path, numbers(321, 4))
    with pytest.raises(CorpusError, match=words) as e:
        opened()
    assert e.value.subject == path


def test_all_wrong_files_are_counted(folder: Path, opened: Open) -> None:
    for name in ("1.npy", "2.npy", "3.npy"):
        np.save(folder / name, numbers(7))
    with pytest.raises(CorpusError, match="; 2 more files cannot be used") as e:
        opened()
    assert e.value.subject == folder / "1.npy"


def test_a_network_that_knows_its_width_refuses_another(opened: Open) -> None:
    with pytest.raises(CorpusError, match="has 3 features, and this network follows 5"):
        opened(features_width=5)


def test_recordings_without_features_are_skipped(folder: Path, opened: Open) -> None:
    (folder / "2.npy").unlink()
    corpus = opened()
    assert [r.name for r in corpus.index.recordings] == ["0.wav", "1.wav", "3.wav"]
    assert [(s.name, s.reason) for s in corpus.index.skipped] == [
        ("2.wav", f"has no features: no {folder}/2.npy")
    ]
    for path in folder.glob("*.npy"):
        path.unlink()
    with pytest.raises(CorpusError, match="has features beside none of 4 recordings"):
        opened()


def test_nothing_is_trimmed_of_recordings_with_features(small_config: Config) -> None:
    trimmed = replace(small_config.audio, trim=True)
    assert replace(small_config, audio=trimmed).trims
    for kind in ("features", "segments"):
        assert not replace(small_config, audio=trimmed, model=FOLLOWING[kind]).trims
    assert replace(small_config, audio=trimmed, model=FOLLOWING["pitch"]).trims


def test_other_features_make_another_corpus(folder: Path, opened: Open) -> None:
    before = opened()
    np.save(folder / "3.npy", numbers(321, seed=9))
    after = opened()
    assert before.fingerprint != after.fingerprint
    changed = {
        name
        for name, digest in after.contents_beside["features"].items()
        if digest != before.contents_beside["features"][name]
    }
    assert changed == {"3.wav"}


def test_statistics_are_of_what_is_trained_on(folder: Path, opened: Open) -> None:
    for i in range(4):
        frames = numbers(1 + SAMPLES[i] // 10, 5, seed=i)
        # A constant far from 0, one of small numbers, and one far from 0 that hardly changes.
        frames[:, 1] = 1e6
        frames[:, 2] *= 1e-8
        frames[:, 3] = 1000 + 1e-3 * frames[:, 3]
        frames[:, 4] = 0
        np.save(folder / f"{i}.npy", frames)
    corpus = opened()
    mean, deviation = corpus.features_statistics()
    tracks = corpus.tracks["features"]

    def rows(span: Span) -> Array:
        return tracks[span.recording.name].rows(span.start // 10, (span.stop - 1) // 10 + 1)

    every = np.concatenate([rows(span) for span in corpus.training]).astype(np.float64)
    np.testing.assert_allclose(mean, every.mean(axis=0), rtol=1e-5, atol=1e-12)
    varying = [0, 2, 3]
    np.testing.assert_allclose(deviation[varying], every.std(axis=0)[varying], rtol=1e-4)
    assert deviation[1] == deviation[4] == 1


def test_mel_frames_from_a_folder_and_features_beside(
    folder: Path, small_config: Config, tmp_path: Path
) -> None:
    both = replace(MODEL, mel_bands=4, frame_window=32)
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(4):
        wav = noisy(SAMPLES[i] / 8000, seed=i).astype(np.float32)
        np.save(frames / f"{i}.npy", mel.frames_of(wav, 8000, both))
    train = replace(small_config.train, frames_from=str(frames))
    config = replace(small_config, model=both, train=train)
    corpus = Corpus.open(index_folder(folder, config.audio, trim=config.trims), config)
    assert corpus.tracks["mel"]["1.wav"].rows(0, 1).shape == (1, 4)
    assert corpus.tracks["features"]["1.wav"].rows(0, 1).shape == (1, 3)
    assert corpus.contents_beside.keys() == {"frames", "features"}


def test_a_file_that_changes_while_it_is_read_is_named(folder: Path, opened: Open) -> None:
    track = opened().tracks["features"]["0.wav"]
    np.save(folder / "0.npy", numbers(50))
    with pytest.raises(AudioError, match="changed while it was read"):
        track.rows(0, 3)
