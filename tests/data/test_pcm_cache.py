"""A folder's recordings in the cache: what is decoded, what is skipped, what survives a crash."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from filelock import FileLock

from tests.helpers import noisy, tone
from wavenet.config import AudioConfig
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.errors import CorpusError

AUDIO = AudioConfig(sample_rate=8000)


Make = Callable[..., Path]


def indexed(folder: Path, settings: AudioConfig = AUDIO, trim: bool = False) -> Index:
    return index_folder(folder, settings, trim=trim)


def samples(index: Index, name: str) -> np.ndarray:  # type: ignore[type-arg]
    return index.pcm(next(r for r in index.recordings if r.name == name)) / 32768


def test_samples_land_where_the_index_says(make_folder: Make) -> None:
    files = {"b.wav": tone(0.5), "nested/deep/ä b.flac": noisy(0.7), "A.WAV": tone(0.3, hertz=99)}
    index = indexed(make_folder(files))
    assert [r.name for r in index.recordings] == ["A.WAV", "b.wav", "nested/deep/ä b.flac"]
    np.testing.assert_allclose(samples(index, "b.wav"), tone(0.5), atol=2e-5)
    np.testing.assert_allclose(samples(index, "nested/deep/ä b.flac"), noisy(0.7), atol=4e-5)
    assert index.seconds == pytest.approx(1.5)


def test_only_what_changed_is_decoded_again(make_folder: Make) -> None:
    folder = make_folder({"a.wav": tone(0.5), "b.wav": noisy(0.5)})
    assert indexed(folder).decoded == 2
    assert indexed(folder).decoded == 0
    sf.write(folder / "b.wav", tone(0.6), 8000)
    (folder / "c.wav").write_bytes((folder / "a.wav").read_bytes())
    again = indexed(folder)
    # c.wav holds what a.wav holds, and is not decoded.
    assert again.decoded == 1
    np.testing.assert_allclose(samples(again, "b.wav"), tone(0.6), atol=4e-5)
    assert [r.duplicate_of for r in again.recordings] == [None, None, "a.wav"]
    (folder / "a.wav").unlink()
    assert [r.name for r in indexed(folder).recordings] == ["b.wav", "c.wav"]


def test_other_settings_have_their_own_cache(make_folder: Make) -> None:
    folder = make_folder({"a.wav": tone(0.5)})
    half = AudioConfig(sample_rate=4000)
    assert indexed(folder).cache != indexed(folder, half).cache != indexed(folder, trim=True).cache
    assert indexed(folder, half).recordings[0].samples == 2000


def test_an_index_cut_short_by_a_crash_is_healed(make_folder: Make) -> None:
    folder = make_folder({f"{i}.wav": tone(0.5, hertz=100 + i) for i in range(3)})
    cache = indexed(folder).cache
    lines = (cache / "index.jsonl").read_bytes()
    # The last line was never finished.
    (cache / "index.jsonl").write_bytes(lines[:-20])
    with open(cache / "pcm.bin", "ab") as f:
        f.write(b"garbage of a half-written recording")
    healed = indexed(folder)
    assert healed.decoded == 1
    for i in range(3):
        np.testing.assert_allclose(samples(healed, f"{i}.wav"), tone(0.5, hertz=100 + i), atol=2e-5)


def test_lost_samples_are_decoded_again(make_folder: Make) -> None:
    folder = make_folder({"a.wav": tone(0.5), "b.wav": noisy(0.5)})
    cache = indexed(folder).cache
    with open(cache / "pcm.bin", "r+b") as f:
        f.truncate(100)
    assert indexed(folder).decoded == 2


def test_level_and_trim(make_folder: Make) -> None:
    quiet = np.concatenate([np.zeros(8000), tone(1.0, amplitude=0.01), np.zeros(4000)])
    folder = make_folder({"quiet.wav": quiet, "over.wav": tone(0.5, amplitude=1.6)})
    as_recorded = indexed(folder)
    assert np.abs(samples(as_recorded, "quiet.wav")).max() == pytest.approx(0.01, abs=1e-4)
    # It is scaled, neither wrapped nor clipped.
    over = np.abs(samples(as_recorded, "over.wav"))
    assert over.max() == pytest.approx(1, abs=1e-3)
    assert (over > 0.999).mean() < 0.1
    levelled = indexed(folder, AudioConfig(sample_rate=8000, level="peak", peak_db=-6), trim=True)
    assert np.abs(samples(levelled, "quiet.wav")).max() == pytest.approx(10 ** (-6 / 20), abs=1e-3)
    assert len(samples(levelled, "quiet.wav")) == pytest.approx(8000, abs=1200)


def test_a_loud_stereo_48_khz_float_file_is_not_silence(make_folder: Make) -> None:
    stereo = np.stack([tone(1.0, 48000, amplitude=0.9), tone(1.0, 48000, amplitude=0.7)], axis=1)
    index = indexed(make_folder({"loud.wav": stereo}, 48000), trim=True)
    assert index.skipped == ()
    assert np.abs(samples(index, "loud.wav")).max() == pytest.approx(0.8, abs=0.01)
    assert index.recordings[0].samples == 8000


def test_a_suffix_is_not_needed_and_a_dangling_link_is_skipped(make_folder: Make) -> None:
    folder = make_folder({"a.wav": tone(0.5)})
    (folder / "a.wav").rename(folder / "track")
    sf.write(folder / "take.wave", noisy(0.5), 8000, format="WAV")
    (folder / "README").write_text("not audio")
    (folder / "gone.wav").symlink_to("/nowhere/at/all.wav")
    index = indexed(folder)
    assert [r.name for r in index.recordings] == ["take.wave", "track"]
    reason = "cannot be read (No such file or directory)"
    assert [(s.name, s.reason) for s in index.skipped] == [("gone.wav", reason)]
    assert index.ignored == 1


def test_unusable_folders_are_refused(tmp_path: Path, make_folder: Make) -> None:
    (tmp_path / "empty").mkdir()
    silent = make_folder({"s.wav": np.zeros(8000)}, name="silent")
    reasons = {
        tmp_path / "no": "no such file or folder",
        silent / "s.wav": "silent: nothing but zeros",
        tmp_path / "empty": "holds no recordings",
        silent: "none of its 1 audio files",
    }
    for folder, reason in reasons.items():
        with pytest.raises(CorpusError) as caught:
            indexed(folder)
        assert caught.value.subject == folder
        assert reason in caught.value.reason


def test_a_folder_being_indexed_by_another_process_is_refused(make_folder: Make) -> None:
    folder = make_folder({"a.wav": tone(0.5)})
    with FileLock(indexed(folder).cache / "lock"), pytest.raises(CorpusError) as caught:
        indexed(folder)
    assert "another process" in caught.value.reason


def test_who_waits_for_another_process_says_so_and_finds_everything_indexed(
    make_folder: Make,
) -> None:
    folder = make_folder({"a.wav": tone(0.5)})
    lock = FileLock(indexed(folder).cache / "lock")
    lock.acquire()
    told: list[str] = []

    def on_wait(text: str) -> None:
        told.append(text)
        lock.release()

    index = index_folder(folder, AUDIO, trim=False, wait_seconds=-1, on_wait=on_wait)
    assert told == [f"waiting for another process, which is reading the recordings of {folder}"]
    assert (len(index.recordings), index.decoded) == (1, 0)
    # Nobody holds it any more, and nobody waits for nothing.
    index_folder(folder, AUDIO, trim=False, wait_seconds=-1, on_wait=on_wait)
    assert len(told) == 1


def test_linked_folders_do_not_go_in_circles(make_folder: Make) -> None:
    folder = make_folder({"in/a.wav": tone(0.5)})
    (folder / "in" / "loop").symlink_to(folder)
    assert len(indexed(folder).recordings) == 1
