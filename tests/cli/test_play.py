"""`wavenet play`: notes and files, one or several, in files, folders and pipes."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

from tests.helpers import (
    FOLLOWING,
    SMALL,
    as_checkpoint,
    fails,
    matches,
    network,
    tone,
    wavenet,
    write_midi,
)
from wavenet.cli.main import app
from wavenet.config import ModelConfig
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint

RATE, HOP = 8000, 40
# 96 ticks are 0.1 s.
C4 = [(0, 1, 60, 80), (96, 1, 60, 0)]
CHORD = [(0, 1, 60, 80), (0, 1, 64, 80), (96, 1, 60, 0), (96, 1, 64, 0)]


def saved(config: ModelConfig, folder: Path) -> Path:
    path = folder / "model.safetensors"
    if config.follows_frames:
        config = replace(config, frame_hop=HOP, frame_window=64)
    checkpoint.save(path, as_checkpoint(network(config)))
    return path


@pytest.fixture
def instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model that follows pitch and loudness, in the working directory."""
    monkeypatch.chdir(tmp_path)
    saved(FOLLOWING["pitch and loudness"], tmp_path)
    return Path("model.safetensors")


def piped(content: bytes, *args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="wavenet", input=content)


def wav_bytes(seconds: float) -> bytes:
    content = io.BytesIO()
    sf.write(content, tone(seconds, hertz=300), RATE, format="WAV")
    return content.getvalue()


def test_notes_are_played_into_a_file_of_their_name(instrument: Path) -> None:
    result = wavenet("play", instrument, "C4:0.1 -:0.1 E4", "--seed", 3)
    assert result.exit_code == 0, result.output
    transcript = """numba engine (...), checkpoint of step 0, seed 3, follows pitch and loudness
notes-played.wav  0.60 s, after C4:0.1 -:0.1 E4
"""
    assert matches(result.stdout, transcript), result.stdout
    info = sf.SoundFile("notes-played.wav")
    assert (info.frames, info.samplerate) == (4800, RATE)
    assert "resynthesis from pitch and loudness" in info.comment
    again = wavenet("play", instrument, "C4", "--seed", 3)
    assert "\nnotes-1-played.wav  " in again.stdout
    assert fails("play", instrument, "C4", "-o", "notes-played.wav").startswith("wavenet: notes")
    assert "word 1, H4" in fails("play", instrument, "H4", "-o", "notes-played.wav")
    assert wavenet("play", instrument, "C4:0.1", "-f", "--no-tag").exit_code == 0
    assert not sf.SoundFile("notes-played.wav").copy_metadata()
    result = wavenet("play", instrument, "-:0.2  \n C4:0.1", "-o", "late.wav", "--seed", 3)
    assert "late.wav  0.60 s, after -:0.2 C4:0.1\n" in result.stdout


def test_several_sources_are_what_each_would_be_alone(instrument: Path) -> None:
    write_midi(Path("song.mid"), C4)
    Path("a.wav").write_bytes(wav_bytes(0.2))
    sources = ("song.mid", "a.wav", "C4:0.1", "E4:0.2 C4")
    result = wavenet("play", instrument, *sources, "-o", "out/", "--seed", 3)
    assert result.exit_code == 0, result.output
    names = ["song-played", "a-played", "notes-1-played", "notes-2-played"]
    lines = result.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [f"out/{name}.wav" for name in names]
    for source, name in zip(sources, names, strict=True):
        wavenet("play", instrument, source, "-fo", "alone.wav", "--seed", 3)
        assert Path("alone.wav").read_bytes() == Path(f"out/{name}.wav").read_bytes()
    # Wherever a source is, its audio is in the folder.
    folder = Path("songs").absolute()
    folder.mkdir()
    Path("song.mid").rename(folder / "song.mid")
    for source in (folder / "song.mid", "songs/../songs/song.mid"):
        result = wavenet("play", instrument, source, "-o", "elsewhere/", "-f")
        assert Path("elsewhere/song-played.wav").exists(), result.output
        assert [path.name for path in folder.iterdir()] == ["song.mid"]
        Path("elsewhere/song-played.wav").unlink()
    # The song is the note that was typed.
    song, typed = (sf.read(f"out/{name}.wav")[0] for name in (names[0], names[2]))
    assert (song == typed).all()
    # Into one file they do not go.
    assert "is one file for 2 inputs" in fails("play", instrument, *sources[:2], "-o", "x.wav")
    assert "takes one source, not 2" in fails("play", instrument, *sources[:2], "-o", "-")


def test_standard_input_is_a_recording(instrument: Path) -> None:
    Path("a.wav").write_bytes(wav_bytes(0.2))
    wavenet("play", instrument, "a.wav", "-o", "file.wav", "--seed", 3)
    for dash in ("-", "/dev/stdin"):
        result = piped(wav_bytes(0.2), "play", instrument, dash, "-fo", "piped.wav", "--seed", 3)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[1].endswith("after standard input")
        assert Path("piped.wav").read_bytes() == Path("file.wav").read_bytes()
    result = piped(b"", "play", instrument, "-")
    assert (result.exit_code, result.stderr) == (1, "wavenet: standard input: is empty\n")
    result = piped(b"rubbish", "play", instrument, "-")
    assert result.exit_code == 1
    assert result.stderr.startswith("wavenet: standard input: ")


def test_a_pipe_gets_the_audio_as_it_is_made(
    instrument: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wavenet("play", instrument, "C4:0.3", "-o", "x.wav", "--seed", 3)
    result = wavenet("play", instrument, "C4:0.3", "-o", "-", "--raw", "--seed", 3)
    assert result.exit_code == 0, result.stderr
    pcm = np.frombuffer(result.stdout_bytes, np.int16)
    np.testing.assert_array_equal(pcm, sf.read("x.wav", dtype="int16")[0])
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(self: Sampler, samples: list[int]) -> Iterator[Any]:
        yield next(uninterrupted(self, samples, 100))
        raise KeyboardInterrupt

    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    result = wavenet("play", instrument, "C4:0.3", "-o", "-", "--raw", "--seed", 3)
    assert result.exit_code == 130
    np.testing.assert_array_equal(np.frombuffer(result.stdout_bytes, np.int16), pcm[:100])


def test_json_says_what_was_made_and_what_was_skipped(instrument: Path) -> None:
    write_midi(Path("chord.mid"), CHORD)
    result = wavenet(
        "play", instrument, "C4:0.1", "chord.mid", "gone.wav", "--json", "-o", "out", "--seed", 3
    )
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert [clip["file"] for clip in report["clips"]] == ["out/notes-played.wav"]
    assert report["clips"][0] | {"loudest_dbfs": 0} == {
        "file": "out/notes-played.wav",
        "seconds": 0.4,
        "samples": 3200,
        "source": "C4:0.1",
        "label": None,
        "loudest_dbfs": 0,
    }
    assert report["skipped"][0]["file"] == "chord.mid"
    assert "C4 and E4 sound at once" in report["skipped"][0]["reason"]
    assert report["skipped"][1] == {"file": "gone.wav", "reason": "no such file"}
    assert sum(line.startswith("wavenet: ") for line in result.stderr.splitlines()) == 2


def test_one_bad_source_keeps_no_other_from_being_played(instrument: Path) -> None:
    Path("bad.wav").write_bytes(b"not audio")
    Path("bad.mid").write_bytes(b"not MIDI")
    Path("empty.mid").touch()
    Path("a.wav").write_bytes(wav_bytes(0.1))
    sources = ("bad.wav", "a.wav", "bad.mid", "empty.mid", "C4:0.1")
    result = wavenet("play", instrument, *sources, "-o", "out", "--seed", 3)
    assert result.exit_code == 1
    bad = [line.split(":")[1] for line in result.stderr.splitlines() if "wavenet: " in line]
    assert bad == [" bad.wav", " bad.mid", " empty.mid"]
    assert sorted(p.name for p in Path("out").iterdir()) == ["a-played.wav", "notes-played.wav"]
    write_midi(Path("one.mid"), C4)
    write_midi(Path("two.mid"), [(time, 2, *rest) for time, _, *rest in C4])
    result = wavenet("play", instrument, "one.mid", "two.mid", "--channel", 2, "-o", "two")
    assert "wavenet: --channel 2: has no notes; one.mid has notes in" in result.stderr
    assert sorted(p.name for p in Path("two").iterdir()) == ["two-played.wav"]
    for source in ("bad.wav", "bad.mid", "empty.mid"):
        assert fails("play", instrument, source).startswith(f"wavenet: {source}: ")
    nothing = wavenet("play", instrument, "bad.wav", "bad.mid", "-o", "none")
    assert nothing.exit_code == 1
    assert len(nothing.stderr.splitlines()) == 2
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("H4",), "SOURCES word 1, H4: is no name of a note"),
        (("C4:1 D4:",), "word 2, D4:: what stands behind its colon is no number"),
        (("C4:99999",), "SOURCES word 1, C4:99999: ends after more than a day"),
        (("C4:80000", "--tempo", 0.5), "--tempo 0.5: makes more than a day of it"),
        (("",), "holds nothing that sounds"),
        (("C4", "--transpose", 200), "--transpose 200: must be -120 to 120 semitones"),
        (("C4", "--transpose", -80), "--transpose -80: moves C4 out of the range"),
        (("C4", "--tempo", 0), "--tempo 0: must be a factor from 0.01 to 100"),
        (("C4", "--label", "ada"), "--label ada: the model was trained without labels"),
        (("C4", "--engine", "none"), "none"),
        (
            ("song.mid", "--channel", 3),
            "--channel 3: has no notes; song.mid has notes in channel 1",
        ),
        (("chord.mid",), "chord.mid: at 0.00 s C4 and E4 sound at once"),
        (("words.TextGrid",), "words.TextGrid: "),
        (("own.npy",), "own.npy: this model follows pitch and loudness, which features alone do"),
        (("no.flac",), "no.flac: no such file"),
        (("folder/no",), "folder/no: no such file"),
        ((".",), "wavenet: "),
    ],
)
def test_what_cannot_be_played_is_one_line(
    instrument: Path, words: tuple[object, ...], message: str
) -> None:
    write_midi(Path("song.mid"), C4)
    write_midi(Path("chord.mid"), CHORD)
    Path("words.TextGrid").write_text("rubbish")
    np.save("own.npy", np.zeros((10, 3)))
    assert message in fails("play", instrument, *words, "-o", "x.wav")
    assert not Path("x.wav").exists()


def test_models_that_follow_nothing_or_something_else(instrument: Path) -> None:
    plain = saved(SMALL, Path())
    assert "trained without pitch, notes or features to follow" in fails("play", plain, "C4")
    segments = saved(FOLLOWING["segments"], Path())
    assert "C4 is unknown; the model knows one, two" in fails("play", segments, "C4")
    assert wavenet("play", segments, "one:0.1 two", "-o", "y.wav").exit_code == 0
    assert len(sf.read("y.wav")[0]) == 2400
    features = saved(FOLLOWING["features"], Path())
    assert "and no notes; give it a .npy of features, or a rec" in fails("play", features, "C4")
    np.save("own.npy", np.zeros((10, 3)))
    assert wavenet("play", features, "own.npy").exit_code == 0
    assert len(sf.read("own-played.wav")[0]) == 10 * HOP
    result = piped(Path("own.npy").read_bytes(), "play", features, "-", "-o", "piped.wav")
    assert result.exit_code == 0, result.output
    assert len(sf.read("piped.wav")[0]) == 10 * HOP
    vocode = fails("vocode", features, "own.npy")
    assert "trained without mel frames, so it cannot follow any" in vocode
    assert "play" in vocode


def test_how_it_is_played_shows_in_notes(tmp_path: Path, instrument: Path) -> None:
    model = checkpoint.load(instrument)
    checkpoint.save(
        instrument, replace(model, training=replace(model.training, pitch=(72.0, 84.0)))
    )
    Path("a.wav").write_bytes(wav_bytes(0.3))
    result = wavenet("play", instrument, "a.wav", "C4:0.1", "-o", "out", "--seed", 3)
    assert result.exit_code == 0, result.output
    notes = [line for line in result.output.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: a.wav: moved up 1 octave: this model plays C5 to C6",
        "note: C4:0.1: moved up 1 octave: this model plays C5 to C6",
    ]
