"""A folder as people really have them: every file is used, or skipped with a reason.

Nothing else happens to it.
"""

import csv
import os
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf

from tests.helpers import STARTER, noisy, tone
from wavenet.audio import reading
from wavenet.audio.reading import AudioFile
from wavenet.config import AudioConfig
from wavenet.data import decoding
from wavenet.data.corpus import Corpus
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.errors import AudioError, CorpusError
from wavenet.training.events import TrainingListener
from wavenet.training.session import train

RATE = 16000
SOUND = tone(0.6, 22050) + noisy(0.6, 22050, amplitude=0.02)
STEREO = np.stack([tone(0.6, 44100), 0.5 * tone(0.6, 44100)], axis=1)
PAUSES = np.concatenate([np.zeros(4 * RATE), tone(1.0, RATE), np.zeros(2 * RATE)])
LEAST = np.random.default_rng(0).integers(-1, 2, 22050) / 32768
# Samples, sample rate, and subtype and container where they are not PCM_16 in WAV.
WRITTEN: dict[str, tuple[Any, ...]] = {
    "stereo_16.wav": (STEREO, 44100),
    "stereo_24.wav": (STEREO, 48000, "PCM_24"),
    "float_over.wav": (4 * SOUND, 44100, "FLOAT"),
    "u8.wav": (SOUND, 22050, "PCM_U8"),
    "ulaw.wav": (tone(0.6), 8000, "ULAW"),
    "alaw.wav": (tone(0.6), 8000, "ALAW"),
    "mono.mp3": (SOUND, 22050, "MPEG_LAYER_III", "MP3"),
    "stereo.ogg": (STEREO, 44100, "VORBIS", "OGG"),
    "mono.opus": (tone(0.6, 48000), 48000, "OPUS", "OGG"),
    "mono.aiff": (SOUND, 44100, "PCM_16", "AIFF"),
    "quad.wav": (np.stack([SOUND] * 4, axis=1), 44100),
    "hires.flac": (tone(0.6, 96000), 96000, "PCM_24", "FLAC"),
    "s32.wav": (SOUND, 44100, "PCM_32"),
    "f64.wav": (SOUND, 22050, "DOUBLE"),
    "extensible.wav": (SOUND, 22050, "PCM_16", "WAVEX"),
    "rf64.wav": (SOUND, 22050, "PCM_16", "RF64"),
    "adpcm.wav": (SOUND, 22050, "IMA_ADPCM"),
    "sun.au": (SOUND, 22050, "PCM_16", "AU"),
    "dc.wav": (0.3 + 0.3 * SOUND, 22050),
    "clipped.wav": (np.clip(9 * SOUND, -1, 1), 22050),
    "pauses.wav": (PAUSES, RATE),
    "quiet.wav": (0.01 * SOUND, 22050),
    "loud_48k.wav": (0.9 * STEREO / 0.4, 48000, "FLOAT"),
    "UPPER.WAV": (SOUND, 22050),
    "with space & ünï-音.wav": (SOUND, 22050),
    "nested/deeper/still/deep.wav": (SOUND, 22050),
    "one_sample.wav": (SOUND[:1], 22050),
    "ten_ms.wav": (SOUND[:220], 22050),
    "zero_frames.wav": (SOUND[:0], 22050),
    "silence.wav": (np.zeros(22050), 22050),
    "near_silence.wav": (LEAST, 22050),
    "nan.wav": (np.where(np.arange(22050) % 99, 0.1, np.nan), 22050, "FLOAT"),
    "infinite.wav": (np.where(np.arange(22050) % 99, 0.1, np.inf), 22050, "FLOAT"),
    ".hidden.wav": (SOUND, 22050),
}
SKIPPED = {
    "film.m4a": "cannot be read as audio (Format not recognised)",
    "empty.wav": "cannot be read as audio (Format not recognised)",
    "text.wav": "cannot be read as audio (Format not recognised)",
    "one_sample.wav": "too short: 0.000 s",
    "ten_ms.wav": "too short: 0.010 s, below audio.min_seconds = 0.1",
    "zero_frames.wav": "empty: holds no samples",
    "silence.wav": "silent: nothing but zeros",
    "near_silence.wav": "silent: its loudest 20 ms are at -9",
    "nan.wav": "holds NaN or infinite samples",
    "infinite.wav": "holds NaN or infinite samples",
}
NOTED = {
    "streamed.wav": "its header was never finished: read to the end",
    "truncated.wav": "only 0.373 of its 0.6 s can be read",
    "corrupt.mp3": "damaged",
    "cut.mp3": "of its 0.6 s can be read",
    "piped.flac": "its header was never finished: read to the end",
    "dc.wav": "an offset of +0.3",
}
USED = [
    *(n for n in WRITTEN if n not in SKIPPED and n != ".hidden.wav"),
    *("streamed.wav", "truncated.wav", "odd_chunk.wav", "stereo_16_copy.wav", "tagged.mp3"),
    *("corrupt.mp3", "cut.mp3", "piped.flac", "phone.m4a"),
]
IGNORED = 3  # .hidden.wav, notes.txt, .gitkeep


def write(path: Path, wav: Any, rate: int, form: str = "PCM_16", container: str = "WAV") -> None:
    sf.write(path, wav, rate, form, format=container)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messy")
    for name, values in WRITTEN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, *values)
    plain = (folder / "UPPER.WAV").read_bytes()
    mp3 = (folder / "mono.mp3").read_bytes()
    damage = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    frames = b"".join(
        k + struct.pack(">I", len(v)) + b"\0\0" + v
        for k, v in ((b"COMM", b"\0eng"), (b"COMM", b""), (b"TIT2", b""))
    )
    # A program that writes to a pipe cannot know the sizes in the header.
    streamed = plain[:4] + b"\xff" * 4 + plain[8:40] + b"\xff" * 4 + plain[44:]
    # These tags make the decoder complain.
    tagged = b"ID3\x03\0\0" + struct.pack(">I", len(frames)) + frames + mp3
    contents = {
        "streamed.wav": streamed,
        "truncated.wav": plain[:-9999],
        "odd_chunk.wav": plain[:36] + b"junk" + struct.pack("<I", 3) + b"abc\0" + plain[36:],
        "stereo_16_copy.wav": (folder / "stereo_16.wav").read_bytes(),
        "tagged.mp3": tagged,
        "corrupt.mp3": mp3[:2000] + damage + mp3[2000:],
        "cut.mp3": mp3[: len(mp3) // 2],
        "piped.flac": _unfinished_flac(folder / "hires.flac"),
        "phone.m4a": _m4a(folder / "phone"),
        "film.m4a": b"\0\0\0\x20ftypM4A " + bytes(200),
        "empty.wav": b"",
        "text.wav": b"not audio at all",
        "notes.txt": b"not audio, and not called so",
        "empty_folder/.gitkeep": b"",
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _m4a(path: Path) -> bytes:
    """SOUND as a phone records it: AAC in MP4."""
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=22050, layout="mono")
        frame = av.AudioFrame.from_ndarray(SOUND[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 22050
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    content = path.read_bytes()
    path.unlink()
    return content


def _unfinished_flac(path: Path) -> bytes:
    """A FLAC file as a pipe leaves it: without the number of samples in its header.

    That number is in the low 36 bits of bytes 18 ... 25.
    """
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def indexed(folder: Path, **settings: Any) -> Index:
    return index_folder(folder, AudioConfig(sample_rate=RATE, **settings), trim=True)


def test_each_file_is_used_or_skipped_for_its_own_reason(messy: Path) -> None:
    index = indexed(messy)
    assert sorted(r.name for r in index.recordings) == sorted(USED)
    reasons = {s.name: s.reason for s in index.skipped}
    assert reasons.keys() == SKIPPED.keys()
    for name, part in SKIPPED.items():
        assert part in reasons[name], name
    assert index.ignored == IGNORED
    notes = {r.name: r.note for r in index.recordings if r.note}
    assert notes.keys() == NOTED.keys()
    for name, part in NOTED.items():
        assert part in notes[name], name


def test_what_lands_in_the_cache_is_sound(messy: Path) -> None:
    index = indexed(messy)
    for r in index.recordings:
        wav = index.pcm(r) / 32768
        # It is trimmed, and at the right rate.
        assert 0.2 < r.samples / RATE < 1.4, r.name
        assert np.abs(wav).max() > 0.003, r.name
        # No sample wrapped around.
        assert np.abs(np.diff(wav)).max() < 1.2, r.name
    over = next(r for r in index.recordings if r.name == "float_over.wav")
    # It is scaled, not clipped: its loudest sample alone is at full scale.
    assert over.gain_db < -3
    assert (np.abs(index.pcm(over)) > 32000).mean() < 0.01


def test_decoders_keep_quiet(messy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # The decoder does complain about this file where nothing silences it.
    with sf.SoundFile(messy / "tagged.mp3") as file:
        file.read()
    assert "libmpg123" in capfd.readouterr().err
    indexed(messy)
    assert capfd.readouterr() == ("", "")


def test_reading_without_a_standard_error_works(
    messy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("os.dup", none)
    samples = sum(map(len, reading.read_blocks(messy / "UPPER.WAV", RATE)))
    assert samples == pytest.approx(0.6 * RATE, abs=2)


# Most of its time goes into starting torch, which no other test here needs.
def test_a_run_on_it_names_every_skipped_file_and_learns(
    messy: Path, config_file: Path, tmp_path: Path
) -> None:
    bits: list[float] = []

    class BitsListener(TrainingListener):
        def stepped(self, trainer: object, bits_now: float) -> None:
            bits.append(bits_now)

    run = train(messy, config=str(config_file), out=tmp_path / "run", listeners=[BitsListener()])
    assert len(bits) == 10
    assert np.isfinite(bits).all()
    with open(run.folder / "recordings.csv", encoding="utf-8") as f:
        rows = {row["file"]: row for row in csv.DictReader(f)}
    assert {name for name, row in rows.items() if row["use"] == "skipped"} == SKIPPED.keys()
    # At the lower sample rate of this config, the file of one sample is empty and not too short.
    for name, reason in SKIPPED.items():
        assert reason in rows[name]["reason"] or reason.startswith("too short")
    assert rows["stereo_16_copy.wav"]["reason"] == "same content as stereo_16.wav"


def test_duplicates_are_never_on_both_sides_of_the_split(messy: Path, small_config: Any) -> None:
    held_out = set(Corpus.open(indexed(messy), small_config).held_out)
    assert held_out
    deep = {"UPPER.WAV", "with space & ünï-音.wav", "nested/deeper/still/deep.wav"}
    for duplicates in ({"stereo_16.wav", "stereo_16_copy.wav"}, deep):
        assert duplicates <= held_out or not duplicates & held_out


def test_real_recordings_are_all_used() -> None:
    index = indexed(STARTER)
    assert len(index.recordings) == 50
    assert index.skipped == ()


def test_a_file_that_changes_while_it_is_read_is_skipped(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "growing"
    folder.mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        (folder / name).write_bytes((messy / "UPPER.WAV").read_bytes())
        # So that no two hold the same.
        with open(folder / name, "ab") as f:
            f.write(name.encode())
    reads: dict[str, int] = {}
    blocks = AudioFile.blocks

    def shrinking(self: AudioFile) -> Any:
        path = self.path
        reads[path.name] = reads.get(path.name, 0) + 1
        if path.name == "b.wav" and reads["b.wav"] == 2:
            path.write_bytes(path.read_bytes()[:5000])
        return blocks(self)

    monkeypatch.setattr(AudioFile, "blocks", shrinking)
    # So that each file is read twice.
    monkeypatch.setattr(decoding, "SHORT_SAMPLES", 0)
    index = indexed(folder)
    assert [(s.name, s.reason) for s in index.skipped] == [("b.wav", decoding.CHANGED)]
    a, c = map(index.pcm, index.recordings)
    assert (a == c).all()
    # It no longer changes, and what is left of it is a file of its own.
    assert [r.name for r in indexed(folder).recordings] == ["a.wav", "b.wav", "c.wav"]


@pytest.mark.skipif(os.name != "posix", reason="names are any bytes on POSIX only")
def test_a_name_that_is_no_text_is_read_and_a_pipe_is_not_waited_for(
    messy: Path, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).write_bytes((messy / "UPPER.WAV").read_bytes())
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "pipe")
    index = indexed(tmp_path)
    assert [os.fsencode(r.name) for r in index.recordings] == [b"caf\xe9.wav"]
    pipes = dict.fromkeys(["pipe.wav", "pipe"], "not a regular file")
    assert {s.name: s.reason for s in index.skipped} == pipes
    with pytest.raises(AudioError):
        next(reading.read_blocks(tmp_path / "pipe.wav", RATE))


def test_what_cannot_be_read_is_tried_again(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mono.opus", "UPPER.WAV"):
        (tmp_path / name).write_bytes((messy / name).read_bytes())
    blocks = AudioFile.blocks

    def old_library(self: AudioFile) -> Any:
        if self.path.suffix == ".opus":
            raise AudioError(self.path, "cannot be read as audio (Format not recognised)")
        return blocks(self)

    with monkeypatch.context() as patch:
        patch.setattr(AudioFile, "blocks", old_library)
        assert [s.name for s in indexed(tmp_path).skipped] == ["mono.opus"]
    assert indexed(tmp_path).skipped == ()


def test_a_run_inside_the_folder_is_left_alone_and_reported(messy: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "x"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").touch()
    (run / "sample.wav").write_bytes((messy / "UPPER.WAV").read_bytes())
    with pytest.raises(CorpusError) as caught:
        indexed(tmp_path)
    assert "runs/x: a run of this program" in caught.value.reason
    (tmp_path / "a.wav").write_bytes((messy / "UPPER.WAV").read_bytes())
    index = indexed(tmp_path)
    assert [r.name for r in index.recordings] == ["a.wav"]
    assert [s.name for s in index.skipped] == ["runs/x"]
