"""Decoding by several threads: nothing depends on them, and what cannot go on stops at once."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import noisy, tone
from wavenet.audio import decoders
from wavenet.audio.reading import AudioFile
from wavenet.config import AudioConfig
from wavenet.data import decoding, pcm_cache
from wavenet.data.decoding import Decoder, Recording
from wavenet.data.discovery import File
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.errors import CorpusError

AUDIO = AudioConfig(sample_rate=8000)


def index(folder: Path, cache: Path, threads: int, **more: Any) -> Index:
    return index_folder(folder, AUDIO, trim=True, cache=cache, threads=threads, **more)


def contents(indexed: Index) -> tuple[Any, ...]:
    """What an index says and holds, wherever in the cache it lies."""
    recordings = [
        (replace(r, offset=0), hashlib.sha256(indexed.pcm(r).tobytes()).hexdigest())
        for r in indexed.recordings
    ]
    return recordings, indexed.skipped, indexed.ignored, indexed.decoded


@pytest.fixture
def mixed(make_folder: Callable[..., Path]) -> Path:
    """Many lengths, duplicates far apart and next to each other, and every way to be of no use."""
    files = {f"{i:02}.wav": noisy(0.2 + (i * 7 % 5) / 3, seed=i) for i in range(30)}
    files |= {"00_copy.wav": files["00.wav"], "31_copy.wav": files["07.wav"]}
    files |= {"32.wav": np.zeros(8000), "32_copy.wav": np.zeros(8000)}
    files |= {"33.wav": tone(0.01), "34.flac": tone(9.0), "35.flac": tone(0.7, hertz=300)}
    folder = make_folder(files)
    (folder / "29_text.wav").write_text("not audio")
    (folder / "10_film.m4a").write_bytes(b"\0" * 100)
    (folder / "11_gone.wav").symlink_to("/nowhere")
    return folder


@pytest.mark.parametrize("short", [0, 3000, 1 << 19])
def test_a_cache_holds_the_same_whatever_the_number_of_threads(
    short: int, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SHORT_SAMPLES", 1 << 19)
    one = index(mixed, tmp_path / "one", 1)
    # Of the files, all are read twice, or some, or none.
    monkeypatch.setattr(decoding, "SHORT_SAMPLES", short)
    monkeypatch.setattr(decoders, "BLOCK_SAMPLES", 1000)
    decode = Decoder._decode

    def unevenly(self: Decoder, file: File) -> Recording:
        if int(hashlib.sha256(file.name.encode()).hexdigest(), 16) % 3 == 0:
            time.sleep(0.02)
        return decode(self, file)

    monkeypatch.setattr(Decoder, "_decode", unevenly)
    for threads in (2, 5):
        many = index(mixed, tmp_path / str(threads), threads)
        assert contents(many) == contents(one)
        # Samples are stored once, end to end.
        size = (many.cache / "pcm.bin").stat().st_size
        assert size == 2 * sum(r.samples for r in many.recordings if not r.duplicate_of)
    assert len(one.skipped) == 6
    # These are different noises, silence, one too short, tones and unreadable ones.
    assert one.decoded == 30 + 1 + 1 + 2 + 2


def test_only_the_new_file_is_read(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({f"{i:02}.wav": noisy(0.3, seed=i) for i in range(20)})
    before = index(folder, tmp_path, 2)
    (folder / "10_new.wav").write_bytes((folder / "10.wav").read_bytes())
    sf.write(folder / "05.wav", tone(0.5), 8000)
    read: list[str] = []
    blocks, file_digest = AudioFile.blocks, hashlib.file_digest

    def noting_decoder(self: AudioFile) -> Any:
        read.append(self.path.name)
        return blocks(self)

    def noting_hasher(file: Any, algorithm: Any) -> Any:
        read.append(Path(file.name).name)
        return file_digest(file, algorithm)

    monkeypatch.setattr(AudioFile, "blocks", noting_decoder)
    monkeypatch.setattr(hashlib, "file_digest", noting_hasher)
    after = index(folder, tmp_path, 2)
    # One was hashed and decoded, the other hashed.
    assert sorted(read) == ["05.wav", "05.wav", "10_new.wav"]
    assert after.decoded == 1
    places = {r.name: r.offset for r in before.recordings if r.name != "05.wav"}
    assert {r.name: r.offset for r in after.recordings}.items() >= places.items()


def test_replaced_samples_cost_a_new_cache_only_when_they_are_most_of_it(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pcm_cache, "SPARE_BYTES", 100)
    folder = make_folder({f"{i}.wav": noisy(0.5, seed=i) for i in range(4)})
    index(folder, tmp_path, 2)
    # After five times, more is replaced than is used.
    for again, decoded in enumerate([1] * 5 + [4]):
        if again < 5:
            sf.write(folder / "0.wav", noisy(0.5, seed=100 + again), 8000)
        assert index(folder, tmp_path, 2).decoded == decoded


def test_progress_counts_every_file_once_and_only_when_there_is_work(
    mixed: Path, tmp_path: Path
) -> None:
    def progress() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        index(mixed, tmp_path, 3, on_file=lambda *now: seen.append(now))
        return seen

    assert progress() == [(i, 39) for i in range(40)]
    # Those that cannot be read are tried again.
    assert [done for done, total in progress() if done == total] == [39]
    sf.write(mixed / "36.wav", tone(0.4), 8000)
    assert progress()[-1] == (40, 40)


def test_ctrl_c_leaves_what_was_finished(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder({f"{i:02}.wav": noisy(0.3, seed=i) for i in range(40)})

    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(folder, tmp_path / "cache", 2, on_file=interrupt)
    assert index(folder, tmp_path / "cache", 2).decoded == 30
    assert not [t for t in threading.enumerate() if t.name.startswith("decoding")]


def test_a_long_recording_is_abandoned_at_the_next_block(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a.wav": noisy(0.3), "b.wav": noisy(20.0, seed=1)})
    lengths, blocks = [], AudioFile.blocks

    def counted(self: AudioFile) -> Any:
        for block in blocks(self):
            if self.path.name == "b.wav":
                time.sleep(0.05)
                lengths.append(len(block))
            yield block

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(decoders, "BLOCK_SAMPLES", 1000)
    monkeypatch.setattr(AudioFile, "blocks", counted)
    with pytest.raises(KeyboardInterrupt):
        index(folder, tmp_path, 2, on_file=interrupt)
    # It has 160 blocks.
    assert len(lengths) < 40


def test_a_full_disk_is_one_error_that_keeps_what_was_finished(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({f"{i:02}.wav": noisy(0.3, seed=i) for i in range(20)})
    write = Decoder._write

    def filling(self: Decoder, blocks: Any, gain: float, offset: int, samples: int) -> bool:
        if offset > 20_000:
            raise OSError(28, "No space left on device")
        return write(self, blocks, gain, offset, samples)

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "_write", filling)
        with pytest.raises(CorpusError) as caught:
            index(folder, tmp_path / "cache", 2)
    assert "No space left on device" in caught.value.reason
    assert 0 < index(folder, tmp_path / "cache", 2).decoded < 15


def test_the_duplicate_of_a_recording_that_changed_meanwhile_does_not_share_its_samples(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a.wav": noisy(0.5), "b.wav": noisy(0.5), "c.wav": tone(0.4)})
    monkeypatch.setattr(decoding, "SHORT_SAMPLES", 0)
    write = Decoder._write

    def shorter(self: Decoder, blocks: Any, gain: float, offset: int, samples: int) -> bool:
        return write(self, blocks, gain, offset, samples) and samples < 3600

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "_write", shorter)
        partial = index(folder, tmp_path / "cache", 2)
    reasons = [(s.name, s.reason) for s in partial.skipped]
    assert reasons == [("a.wav", decoding.CHANGED), ("b.wav", decoding.CHANGED)]
    again = index(folder, tmp_path / "cache", 2)
    assert [r.name for r in again.recordings] == ["a.wav", "b.wav", "c.wav"]
    np.testing.assert_allclose(again.pcm(again.recordings[0]) / 32768, noisy(0.5), atol=4e-5)


def test_threads_that_read_at_once_share_one_silence(capfd: pytest.CaptureFixture[str]) -> None:
    """Otherwise one would take the other's silence for standard error and restore that for good."""
    inside = threading.Barrier(2)

    def read(wait: float) -> None:
        with decoders._quiet:
            inside.wait(10)
            os.write(2, b"remark")
            time.sleep(wait)

    threads = [threading.Thread(target=read, args=(wait,)) for wait in (0.0, 0.1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"


def test_the_bar_shows_while_decoders_are_silenced() -> None:
    code = (
        "from wavenet.audio import decoders\n"
        "from wavenet.system import progress\n"
        "with progress.bar(3, desc='reading ', unit='recordings', aside=True) as bar:\n"
        "    with decoders._quiet:\n"
        "        bar.update(3)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 of 3 recordings" in result.stderr
