"""The array that generation returns: it plays, is saved, and is otherwise as any array."""

import base64
import copy
import pickle
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from wavenet import Audio
from wavenet.errors import AudioError, OutputError, UsageError

RATE = 8000
TAGS = tuple({"title": f"clip {i}"} for i in (1, 2, 3))


@pytest.fixture
def clips() -> Audio:
    wav = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 400))
    return Audio(wav, RATE, seed=7, tags=TAGS)


def played(audio: Any) -> list[tuple[Any, int]]:
    """What each player in a notebook plays."""
    found = re.findall(r'<audio controls src="data:audio/wav;base64,([^"]+)">', audio._repr_html_())
    return [sf.read(BytesIO(base64.b64decode(data)), dtype="float32") for data in found]


def test_every_clip_plays_in_a_notebook(clips: Audio) -> None:
    players = played(clips)
    assert [rate for _, rate in players] == [RATE] * 3
    np.testing.assert_allclose([wav for wav, _ in players], np.asarray(clips), atol=2**-15)
    assert len(played(clips[1])) == 1


def test_a_notebook_is_not_given_all_of_a_long_one_or_of_many() -> None:
    long = Audio(np.zeros(RATE * 70), RATE)
    assert len(played(long)[0][0]) == RATE * 60
    assert "the first 60 s" in (long._repr_html_() or "")
    assert len(played(Audio(np.zeros((20, 9)), RATE))) == 16
    many = Audio(np.zeros((16, RATE * 60)), RATE)._repr_html_() or ""
    assert len(many) < 11e6
    assert "the first 31.2 s" in many


def test_slices_are_of_their_own_clips(clips: Audio) -> None:
    titles = {
        "row": clips[1],
        "part of a row": clips[1, 5:],
        "rows": clips[1:],
        "list": clips[[2, 0]],
        "columns": clips[:, :9],
        "mask": clips[np.array([False, False, True])],
        "view": clips.copy(),
        "part of all": clips[..., 5:],
        "backwards": clips[::-1],
        "new axis": clips[None, 1],
        "ellipsis": clips[..., 1, :],
        "taken": clips.take([2], axis=0),
        "mean": clips.mean(axis=0),
        "moved": np.roll(clips, 1, axis=0),
        "mixed": clips[0] + clips[1],
        "mixed with other audio": Audio(np.zeros(400), RATE) + clips[0],
        "louder": 2 * clips[1],
    }
    assert {k: [t["title"][-1] for t in v.tags] for k, v in titles.items()} == {
        "row": ["2"],
        "part of a row": ["2"],
        "rows": ["2", "3"],
        "list": ["3", "1"],
        "columns": ["1", "2", "3"],
        "mask": ["3"],
        "view": ["1", "2", "3"],
        "backwards": ["3", "2", "1"],
        "louder": ["2"],
        # What cannot be told plainly has none.
        **{key: [] for key in ("part of all", "new axis", "ellipsis", "taken", "mean", "moved")},
        **{key: [] for key in ("mixed", "mixed with other audio")},
    }
    assert (clips[1].seed, (2 * clips).seed, clips.mean(axis=0).seed) == (7, 7, None)
    assert [clip.tags[0]["title"] for clip in clips] == ["clip 1", "clip 2", "clip 3"]
    assert clips[clips > 0].sample_rate == RATE


def test_what_is_audio_stays_audio_and_what_is_not_is_plain(clips: Audio) -> None:
    for audio in (clips * 0.5, abs(clips), clips + clips, clips.clip(-0.1, 0.1), -clips[0]):
        assert isinstance(audio, Audio)
        assert (audio.sample_rate, audio.dtype) == (RATE, np.float32)
    for scalar in (clips.max(), clips.sum(), clips[0, 0], np.square(clips).mean(), np.std(clips)):
        assert type(scalar) is np.float32
    louder = clips.copy()
    louder *= 2
    assert isinstance(louder, Audio)
    assert type(clips > 0) is np.ndarray
    assert (clips[0] == clips[0]).all()
    assert not isinstance(clips[0] @ clips[0], np.ndarray)


def test_other_libraries_take_it_as_any_array(clips: Audio, tmp_path: Path) -> None:
    both = np.concatenate([clips[0], clips[1]])
    assert (both.shape, both.dtype) == ((800,), np.float32)
    assert (both[:400] == np.asarray(clips[0])).all()
    assert torch.from_numpy(clips).shape == (3, 400)
    sf.write(tmp_path / "a.wav", clips[0], RATE)
    for other in (pickle.loads(pickle.dumps(clips)), copy.deepcopy(clips)):
        assert (other == clips).all()
        assert (other.sample_rate, other.seed, other.tags) == (RATE, 7, TAGS)


def test_it_is_described_in_a_line(clips: Audio) -> None:
    assert repr(clips) == "<wavenet.Audio: 3 clips of 0.05 s at 8000 Hz, seed 7>"
    assert repr(Audio(np.zeros(RATE), RATE)) == "<wavenet.Audio: 1.00 s at 8000 Hz>"
    # Of what is no audio, NumPy says what it is.
    assert repr(clips.astype(np.int64)).startswith("Audio([[0")
    assert clips.astype(np.int64)._repr_html_() is None
    assert str(Audio([0.5, -0.5], RATE)) == "[ 0.5 -0.5]"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_it_is_saved_with_its_tags_in_every_format(
    clips: Audio, tmp_path: Path, suffix: str
) -> None:
    clips[1].save(tmp_path / f"one{suffix}")
    with sf.SoundFile(tmp_path / f"one{suffix}") as file:
        assert (file.samplerate, file.title) == (RATE, "clip 2")


def test_several_are_saved_in_numbered_files(clips: Audio, tmp_path: Path) -> None:
    clips.save(f"{tmp_path}/all.wav")
    assert [sf.SoundFile(p).title for p in sorted(tmp_path.iterdir())] == [
        "clip 1",
        "clip 2",
        "clip 3",
    ]
    assert (tmp_path / "all-3.wav").exists()
    clips[:1].save(tmp_path / "first.wav", tag=False)
    assert sf.SoundFile(tmp_path / "first.wav").title == ""


def test_what_is_no_audio_is_not_saved(clips: Audio, tmp_path: Path) -> None:
    for array in (clips.astype(int), clips[:, :0], clips[0, 0:0]):
        with pytest.raises(AudioError, match="an array that is no audio"):
            array.save(tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())
    unknown = clips + Audio(np.zeros(400), 2 * RATE)
    with pytest.raises(AudioError, match="no known sample rate"):
        unknown.save(tmp_path / "a.wav")
    clips[0, 5] = np.nan
    assert clips._repr_html_() is None
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        clips.save(tmp_path / "new" / "a.wav")
    assert not list(tmp_path.iterdir())


def test_folders_are_made_and_a_home_folder_is_found(
    clips: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    clips[0].save("~/new/a.wav")
    assert sf.info(tmp_path / "new" / "a.wav").frames == 400
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        clips[0].save(tmp_path / "file" / "a.wav")


WAV = np.zeros(9, np.float32)


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        *(((WAV, rate), "sample_rate") for rate in (0, -5, "16k", np.nan, 1e12, None, True)),
        *(((wav, RATE), "wav") for wav in (WAV * 1j, WAV[None, None], WAV.astype(np.int16))),
        *(((wav, RATE), "wav") for wav in (0.5, None, "a.wav", [[0.1], [0.1, 0.2]])),
    ],
)
def test_what_is_no_audio_is_refused_by_name(arguments: Any, parameter: str) -> None:
    with pytest.raises(UsageError) as e:
        Audio(*arguments)
    assert e.value.parameter == parameter


def test_tags_are_of_every_clip_and_paths_are_paths() -> None:
    with pytest.raises(UsageError, match="`tags`: must be as many"):
        Audio(np.zeros((3, 9)), RATE, tags=TAGS[:2])
    for path in (5, BytesIO(), None, ""):
        with pytest.raises(UsageError, match="`path`"):
            Audio(WAV, RATE).save(path)  # type: ignore[arg-type]


def test_a_tensor_is_audio_without_its_gradient() -> None:
    wav = torch.linspace(-1, 1, 9, requires_grad=True)
    assert Audio(wav, RATE).tolist() == wav.tolist()
