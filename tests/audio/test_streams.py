"""Audio into streams that cannot be searched, in other subtypes, and out of loudspeakers."""

import errno
import sys
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from tests.helpers import noisy
from tests.loudspeaker import Loudspeaker
from wavenet.audio import playing, writing
from wavenet.audio.reading import AudioFile
from wavenet.errors import AudioError, UsageError
from wavenet.glossary import Wav

RATE = 16000
WAV = noisy(0.5, RATE).astype(np.float32)


class Unsearchable(BytesIO):
    """What a pipe can."""

    def seek(self, *_: object) -> int:
        raise OSError(errno.ESPIPE, "Illegal seek")

    def tell(self) -> int:
        raise OSError(errno.ESPIPE, "Illegal seek")


def streamed(subtype: str, **how: bool) -> bytes:
    stream = Unsearchable()
    writer = writing.StreamWriter(stream, "a pipe", RATE, {"comment": "synthetic"}, subtype, **how)
    for block in np.split(WAV, 10):
        writer.write(block)
    return stream.getvalue()


def stored(path: Path, subtype: str | None) -> Wav:
    with writing.writer(path, RATE, {}, subtype) as file:
        file.write(WAV)
    wav: Wav = sf.read(path, dtype="float32")[0]
    return wav


@pytest.mark.parametrize("subtype", writing.SUBTYPES)
def test_a_stream_holds_what_a_file_does_for_every_reader(tmp_path: Path, subtype: str) -> None:
    same = stored(tmp_path / "a.wav", subtype)
    path = tmp_path / "streamed.wav"
    path.write_bytes(streamed(subtype))
    with sf.SoundFile(path) as file:
        assert (file.subtype, file.comment) == (writing.SUBTYPES[subtype], "synthetic")
        assert (file.read(dtype="float32") == same).all()
    assert (np.concatenate(list(AudioFile(path, RATE).blocks())) == same).all()
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    assert sum(frame.shape[1] for frame in frames) == len(WAV)
    # Without its header it is the samples of the file and no more.
    raw = streamed(subtype, raw=True)
    assert path.read_bytes().endswith(raw)
    assert (tmp_path / "a.wav").read_bytes().endswith(raw)


def test_subtypes_round_as_they_should(tmp_path: Path) -> None:
    assert (stored(tmp_path / "a.wav", "float") == WAV).all()
    for name in ("a.wav", "a.flac"):
        fine, coarse = stored(tmp_path / name, "24"), stored(tmp_path / name, "16")
        assert (coarse == stored(tmp_path / name, None)).all()
        assert 0 < np.abs(fine - WAV).max() < 2**-22 < np.abs(coarse - WAV).max() < 2**-14


@pytest.mark.parametrize(
    ("name", "subtype", "advice"),
    [
        ("a.mp3", "16", "use .wav or .flac"),
        ("a.ogg", "24", "use .wav or .flac"),
        ("a.flac", "float", "use .wav"),
        ("a.wav", "8", ""),
    ],
)
def test_a_subtype_that_a_format_lacks_is_refused(
    tmp_path: Path, name: str, subtype: str, advice: str
) -> None:
    with pytest.raises(UsageError) as e, writing.writer(tmp_path / name, RATE, {}, subtype):
        pass
    assert (e.value.parameter, e.value.value, e.value.advice) == ("subtype", subtype, advice)
    assert not list(tmp_path.iterdir())


def test_a_stream_that_takes_no_more_is_named_and_one_that_nobody_reads_is_not() -> None:
    class Refusing(BytesIO):
        def write(self, content: object) -> int:
            raise OSError(number, "No space left on device")

    writer = writing.StreamWriter(Refusing(), "standard output", RATE)
    number = errno.ENOSPC
    with pytest.raises(AudioError) as e:
        writer.write(WAV)
    assert str(e.value) == "standard output: cannot be written on (No space left on device)"
    number = errno.EPIPE
    with pytest.raises(BrokenPipeError):
        writer.write(WAV)


@pytest.mark.parametrize(("late", "told"), [({0}, 0), ({0, 3, 4}, 1)])
def test_blocks_are_played_and_the_first_gap_between_them_told(
    late: set[int], told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loudspeaker = Loudspeaker(late)
    monkeypatch.setitem(sys.modules, "sounddevice", loudspeaker)
    calls: list[str] = []
    with playing.player(RATE, 2048, lambda: calls.append("gap")) as sink:
        # Recordings come in doubles.
        for block in np.split(WAV.astype(np.float64), 5):
            sink.write(block)
            assert loudspeaker.is_open
    assert not loudspeaker.is_open
    assert (np.concatenate(loudspeaker.played) == WAV).all()
    assert len(calls) == told
    assert loudspeaker.settings == {
        "samplerate": RATE, "channels": 1, "dtype": "float32", "latency": 4096 / RATE,
    }  # fmt: skip


def test_what_is_missing_to_play_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Loudspeaker(problem="Error querying device -1"))
    with pytest.raises(UsageError, match="no device here plays 16000 Hz"):
        playing.require_device(RATE)
    with pytest.raises(UsageError, match="cannot be played"), playing.player(RATE, 1, list):
        pass
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match="pip install 'wavenet-audio"):
        playing.require_device(RATE)
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="PortAudio is not installed"):
        playing.require_device(RATE)
