from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers import noisy, tone, wavenet
from wavenet.config import AudioConfig
from wavenet.data.cache_folders import clear, entries, title
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError

SLOW, FAST = AudioConfig(sample_rate=8000), AudioConfig(sample_rate=16000)


@pytest.fixture
def folders(make_folder: Callable[..., Path]) -> tuple[Path, Path]:
    one = make_folder({"a.wav": tone(0.5), "b.wav": noisy(0.5)}, name="one")
    other = make_folder({"a.wav": tone(0.7)}, name="other")
    for folder, settings in ((one, SLOW), (one, FAST), (other, SLOW)):
        index_folder(folder, settings, trim=False)
    return one, other


def test_caches_are_listed_with_size_and_source(folders: tuple[Path, Path]) -> None:
    one, other = folders
    listed = entries()
    expected = [(str(one), 2, 16000), (str(one), 2, 8000), (str(other), 1, 8000)]
    assert [(e.folder, e.recordings, e.sample_rate) for e in listed] == expected
    assert listed[0].bytes > 2 * 16000
    on_disk = sum(p.stat().st_size for e in listed for p in e.path.iterdir())
    assert on_disk == sum(e.bytes for e in listed)


def test_caches_of_one_folder_and_rate_are_told_apart(folders: tuple[Path, Path]) -> None:
    one, other = folders
    index_folder(one, SLOW, trim=True)
    index_folder(one, replace(SLOW, level="peak"), trim=False)
    listed = entries()
    slow = [title(e, listed) for e in listed if e.sample_rate == 8000 and e.folder == str(one)]
    assert sorted(slow) == [
        f"{one}  (audio.level = none, not trimmed)",
        f"{one}  (audio.level = none, trimmed)",
        f"{one}  (audio.level = peak, not trimmed)",
    ]
    # Where nothing is like it, there is nothing to tell.
    alone = next(e for e in listed if e.folder == str(other))
    assert title(alone, listed) == str(other)


def test_one_folder_is_cleared_or_all(folders: tuple[Path, Path]) -> None:
    one, other = folders
    assert "cleared: " in wavenet("cache", one, "--clear").stdout
    assert [e.folder for e in entries()] == [str(other)]
    # It is decoded anew when needed.
    assert index_folder(one, SLOW, trim=False).decoded == 2
    places = [e.path for e in entries()]
    wavenet("cache", "--clear")
    assert entries() == []
    assert not any(place.exists() for place in places)


def test_a_cache_in_use_is_not_cleared(folders: tuple[Path, Path]) -> None:
    entry = entries()[0]
    with FileLock(entry.path / "lock"), pytest.raises(CorpusError) as caught:
        clear(entry)
    assert caught.value.subject == entry.path
    assert (entry.path / "pcm.bin").exists()


def test_folders_that_are_gone_and_caches_without_a_description_are_listed_as_such(
    folders: tuple[Path, Path],
) -> None:
    _, other = folders
    other.rename(other.with_name("elsewhere"))
    path = entries()[0].path
    (path / "about.json").write_text('{"folder": ')
    text = wavenet("cache").stdout
    assert f"{other}  (no longer there)" in text
    assert f"  ?  ({path.name})\n" in text
    # By what is told of it, it can be cleared alone.
    for place in (path.name, path):
        assert [entry.path for entry in entries(of=Path(place))] == [path]
    wavenet("cache", path.name, "--clear")
    assert not path.exists()
    assert len(entries()) == 2
    wavenet("cache", "--clear")
    assert entries() == []


def test_a_folder_that_is_no_cache_is_never_touched(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine" / "voices").mkdir(parents=True)
    (tmp_path / "mine" / "voices" / "pcm.bin").write_bytes(b"precious")
    wavenet("cache", "--clear", "--cache", tmp_path / "mine")
    assert (tmp_path / "mine" / "voices" / "pcm.bin").read_bytes() == b"precious"
