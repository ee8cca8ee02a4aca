import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import files_up_to, noisy, tone
from wavenet.audio import decoders, levels, reading, writing
from wavenet.errors import AudioError
from wavenet.glossary import Array


def read(path: Path, rate: int) -> Array:
    return np.concatenate(list(reading.read_blocks(path, rate)))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_the_one_asked_for(tmp_path: Path, rate: int) -> None:
    sf.write(tmp_path / "a.wav", tone(1.0, rate, 440), rate, subtype="FLOAT")
    wav = read(tmp_path / "a.wav", 16000)
    assert abs(len(wav) - 16000) <= 1
    middle = wav[2000:14000]
    np.testing.assert_allclose(middle, tone(1.0, 16000, 440)[2000 : 2000 + len(middle)], atol=2e-3)


def test_resampling_in_blocks_equals_resampling_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sf.write(tmp_path / "a.wav", noisy(2.0, 44100), 44100, subtype="FLOAT")
    at_once = read(tmp_path / "a.wav", 16000)
    monkeypatch.setattr(decoders, "BLOCK_SAMPLES", 1000)
    np.testing.assert_allclose(read(tmp_path / "a.wav", 16000), at_once, atol=1e-6)


def test_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.stack([tone(0.1), -tone(0.1), 3 * noisy(0.1)], axis=1)
    sf.write(tmp_path / "a.wav", channels, 8000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", 8000), noisy(0.1), atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_what_is_written_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with writing.writer(path, 16000) as file:
        for block in np.split(tone(1.0, 16000), 10):
            file.write(block)
    wav = read(path, 16000)
    # Lossy formats pad.
    assert abs(len(wav) - 16000) < 3000
    assert wav.std() == pytest.approx(tone(1.0, 16000).std(), rel=0.1)
    assert sf.info(path).format == suffix[1:].upper()


@pytest.mark.parametrize(
    ("name", "word"),
    [("a.xyz", "kind of file"), ("no/a.wav", "does not exist"), ("a.mp3", "12345 Hz")],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(AudioError) as caught, writing.writer(tmp_path / name, 12345):
        pass
    assert caught.value.subject == tmp_path / name
    assert word in caught.value.reason


def test_a_signal_while_a_file_is_opened_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sf.SoundFile

    def interrupted(file: object, *how: object, **more: object) -> sf.SoundFile:
        made = opened(file, *how, **more)
        if isinstance(file, bytes | str):
            made.close()
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(sf, "SoundFile", interrupted)
    with pytest.raises(KeyboardInterrupt), writing.writer(tmp_path / "a.wav", 8000):
        pass
    assert list(tmp_path.iterdir()) == []


def written(path: Path, tags: dict[str, str]) -> tuple[dict[str, str], Array]:
    """Write a second of noise with tags. Returns the tags as they read back, and the audio."""
    with writing.writer(path, 16000, tags) as file:
        for block in np.split(noisy(1.0, 16000), 10):
            file.write(block)
    with sf.SoundFile(path) as file:
        return file.copy_metadata(), file.read()


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_tags_read_back_and_leave_the_audio_as_it_is(tmp_path: Path, suffix: str) -> None:
    tags = {"title": "a title", "comment": "synthetic: " + 20 * "a comment ", "software": "x 1.0"}
    read_back, tagged = written(tmp_path / f"tagged{suffix}", tags)
    assert read_back["title"] == tags["title"]
    assert read_back["comment"] == tags["comment"]
    # The encoder of MP3 names itself instead.
    assert read_back["software"].startswith("x 1.0") or suffix == ".mp3"
    nothing, plain = written(tmp_path / f"plain{suffix}", {})
    assert not nothing
    assert (tagged == plain).all()


@pytest.mark.parametrize("suffix", writing.WRITABLE)
@pytest.mark.parametrize(
    ("text", "in_utf8", "in_ascii"),
    [
        ("Zoë 声 🎵", "Zoë 声 🎵", r"Zo\xeb \u58f0 \U0001f3b5"),
        ("two\nlines\0", r"two\nlines\x00", r"two\nlines\x00"),
        # A file name that is not UTF-8.
        ("caf\udce9", r"caf\udce9", r"caf\udce9"),
    ],
)
def test_a_tag_of_any_characters_reads_back(
    tmp_path: Path, suffix: str, text: str, in_utf8: str, in_ascii: str
) -> None:
    # A short comment has a place of its own in MP3.
    for more in ("", " and enough text for a longer one"):
        read_back, _ = written(tmp_path / f"a{suffix}", {"comment": text + more})
        assert read_back["comment"] == (in_ascii if suffix == ".mp3" else in_utf8) + more


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_a_tag_of_any_length_leaves_a_readable_file(tmp_path: Path, suffix: str) -> None:
    # An empty text is one that libsndfile refuses.
    tags = {"title": 1_000_000 * "é", "comment": 1_000_000 * "c", "software": ""}
    read_back, wav = written(tmp_path / f"a{suffix}", tags)
    assert read_back["title"].startswith(100 * ("\\xe9" if suffix == ".mp3" else "é"))
    assert read_back["comment"].startswith(1000 * "c")
    assert len(wav) == 16000


def test_a_tagged_wav_is_whole_before_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with writing.writer(path, 8000, {"comment": "synthetic"}) as file:
        for blocks in (1, 2):
            file.write(tone(0.5))
            # This reader is strict, as kill -9 at this moment would leave the file to players.
            with wave.open(str(path)) as whole:
                assert whole.getnframes() == blocks * 4000
                assert len(whole.readframes(8000)) == blocks * 8000
            assert sf.SoundFile(path).comment == "synthetic"


def write_noise(path: Path) -> None:
    with writing.writer(path, 16000) as file:
        for i in range(20):
            file.write(noisy(0.256, seed=i))


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing more."""
    import resource

    free = os.dup(0)
    os.close(free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_what_the_system_refuses_is_named_for_what_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with no_more_files(), pytest.raises(AudioError) as e, writing.writer(path, 16000):
        pass
    assert e.value.reason == "cannot be written (Too many open files)"
    sf.write(tmp_path / "there.wav", tone(0.1), 8000)
    with pytest.raises(AudioError, match="Too many open files"), no_more_files():
        read(tmp_path / "there.wav", 8000)
    with files_up_to(2), pytest.raises(AudioError) as e:
        write_noise(path)
    assert e.value.reason == "cannot be written on (File too large)"
    assert e.value.advice == ("what fitted is kept" if path.exists() else "")


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_a_file_that_nothing_fits_into_is_not_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with files_up_to(0), pytest.raises(AudioError) as e:
        write_noise(path)
    assert not path.exists()
    assert "kept" not in str(e.value)


def test_a_file_that_nothing_was_written_to_is_not_left(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with pytest.raises(KeyboardInterrupt), writing.writer(path, 16000):
        raise KeyboardInterrupt
    assert not path.exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    for path, word in [
        (tmp_path / "text.wav", "cannot be read"),
        (tmp_path / "no.wav", "no such file"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(AudioError) as caught:
            read(path, 8000)
        assert caught.value.subject == path
        assert word in caught.value.reason


def measured(wav: Array, trim_db: float = 50) -> levels.Level:
    blocks = [wav[i : i + 777].astype(np.float32) for i in range(0, len(wav), 777)]
    return levels.measure(blocks, 8000, trim_db)


def test_silence_at_the_ends_is_detected() -> None:
    wav = np.concatenate([np.zeros(4000), tone(0.5), np.zeros(6000)])
    level = measured(wav)
    assert 4000 - 8000 * 0.07 <= level.start <= 4000
    assert 8000 <= level.stop <= 8000 + 8000 * 0.07
    assert level.samples == len(wav)
    assert level.peak == pytest.approx(0.4, abs=1e-3)


def test_silence_is_distinguished_from_quiet_sound() -> None:
    assert measured(np.zeros(8000)).silent
    # A constant offset is not sound.
    assert measured(np.full(8000, 0.3)).silent
    assert measured(noisy(1.0, amplitude=1 / 32768)).silent
    assert not measured(tone(1.0, amplitude=0.002)).silent
    assert not measured(np.full(8000, 0.3) + tone(1.0, amplitude=0.01)).silent


def test_not_a_number_is_noticed() -> None:
    wav = tone(1.0)
    wav[5000] = np.nan
    assert not measured(wav).finite


def test_gain_reaches_the_peak_and_never_passes_full_scale() -> None:
    assert levels.gain_for(0.1, "none", -1) == 1
    assert levels.gain_for(1.6, "none", -1) == pytest.approx(1 / 1.6)
    assert 0.1 * levels.gain_for(0.1, "peak", -6) == pytest.approx(10 ** (-6 / 20))
