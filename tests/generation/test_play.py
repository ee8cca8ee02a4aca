"""A model that is played: every kind of source on every kind of model, moved and stretched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import wavenet
from tests.helpers import tone
from wavenet.audio import pitch
from wavenet.audio.spread import Spread
from wavenet.errors import EngineError, UsageError, WavenetError
from wavenet.generation import sources
from wavenet.generation.conditions import Conditions
from wavenet.generation.sources import How
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.scores.notes import Note

RATE, HOP = 8000, 40
TRAINED = Spread(low=-50, middle=-30, high=-20, silence=-80)
PLAIN = How()


AUDIO = {"wav", "wav and rate", "recording"}
NOTES = {"text of notes", "notes", "MIDI"}
WORKS = {
    "nothing": set(),
    "labels": set(),
    "mel": AUDIO,
    "labels and mel": AUDIO,
    "pitch": AUDIO | NOTES,
    "pitch and labels": AUDIO | NOTES,
    "loudness": AUDIO,
    "pitch and loudness": AUDIO | NOTES,
    "features": {"recording", "features"},
    "segments": {"recording", "text of segments", "segments", "file of segments"},
    "everything": {"recording"},
}


@pytest.mark.parametrize("name", WORKS)
def test_every_source_is_played_or_refused_in_a_line(
    name: str, models: dict[str, Model], given: dict[str, Any]
) -> None:
    model = models[name]
    label = "ada" if model.config.model.labels else None
    for kind, source in given.items():
        if kind in WORKS[name]:
            wav = wavenet.play(model, source, label=label, engine="numba")
            assert wav.dtype == np.float32
            assert wav.ndim == 1
            tail = 0.3 if kind in NOTES else 0.1 if "segments" in kind else 0
            expected = round((0.1 + tail) * RATE)
            assert len(wav) in (expected, expected + HOP), kind
            assert np.ptp(wav) > 0
        else:
            with pytest.raises(WavenetError) as e:
                wavenet.play(model, source, label=label)
            assert isinstance(e.value, (EngineError, UsageError)), kind
            assert "\n" not in str(e.value)


def test_paths_and_texts_of_the_same_are_the_same(
    models: dict[str, Model], given: dict[str, Any]
) -> None:
    model = models["pitch and loudness"]
    same = (
        ("C4:0.1", [Note(0, 0.1, 60)]),
        ("C4:0.1", given["MIDI"]),
        (str(given["recording"]), given["recording"]),
    )
    for one, other in same:
        a, b = (wavenet.play(model, source, seed=3) for source in (one, other))
        assert (np.asarray(a) == b).all()
    segments = models["segments"]
    a, b, c = (
        wavenet.play(segments, given[kind], seed=3)
        for kind in ("text of segments", "segments", "file of segments")
    )
    assert (np.asarray(a) == b).all()
    assert (np.asarray(a) == c).all()


def test_what_is_played_matters(models: dict[str, Model]) -> None:
    model = models["pitch and loudness"]
    a, again, b, loud = (
        np.asarray(wavenet.play(model, text, seed=3))
        for text in ("C4:0.1", "C4:0.1", "E4:0.1", "C4:0.1@127")
    )
    assert (a == again).all()
    assert (a != b).any()
    assert (a != loud).any()
    with pytest.raises(EngineError, match=r"this model follows pitch: `play` takes"):
        wavenet.generate(model, seconds=0.1)


def test_a_label_is_needed_by_a_model_that_knows_some(models: dict[str, Model]) -> None:
    singer = models["pitch and labels"]
    with pytest.raises(UsageError, match="choose one of ada, bob"):
        wavenet.play(singer, "C4:0.1")
    with pytest.raises(UsageError, match="eve: unknown"):
        wavenet.play(singer, "C4:0.1", label="eve")
    ada, bob = (np.asarray(wavenet.play(singer, "C4:0.1", label=who)) for who in ("ada", "bob"))
    assert (ada != bob).any()


def test_tags_say_what_is_followed(models: dict[str, Model], tmp_path: Path) -> None:
    wavenet.play(models["pitch and loudness"], "C4:0.1").save(tmp_path / "x.wav")
    comment = sf.SoundFile(tmp_path / "x.wav").comment
    assert comment.startswith("Synthetic audio (resynthesis from pitch and loudness), made by")


# --- texts and paths ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("C4", True),
        ("C4:0.5 D4 E4:1 -:0.5", True),
        ("C4:0.25@100 | D4", True),
        ("C4:0.5", True),
        ("C4 " * 500, True),
        ("three:0.5 -:0.2 four:0.4", True),
        ("C/E:0.5 G/B", True),
        ("C4:1/4 D4", True),
        ("C4\0", True),
        ("song.mid", False),
        ("song.WAV", False),
        ("folder/song", False),
        ("a b.mp3", False),
        ("no such.npy", False),
    ],
)
def test_a_text_is_told_from_a_path(
    text: str, typed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sources.is_typed(text) == typed
    # A file that is there is one, whatever it is called.
    (tmp_path / "C5").touch()
    assert not sources.is_typed("C5")


# --- how ------------------------------------------------------------------------------------------


def conditions(source: Any, model: Model, how: How = PLAIN) -> Conditions:
    if isinstance(source, str):
        return sources.from_text(source, model, how)
    if isinstance(source, Path):
        return sources.from_file(source, model, how)
    if isinstance(source, list):
        return sources.from_notes(source, model, how, "notes")
    return sources.from_recording(source, model, how, "wav")


def test_what_was_read_is_streamed_as_it_is_played(
    models: dict[str, Model], given: dict[str, Any]
) -> None:
    model = models["pitch and loudness"]
    for kind in sorted(WORKS["pitch and loudness"]):
        tune = wavenet.read_source(given[kind], model, transpose=1, tempo=2)
        sampler = wavenet.Sampler(model, seed=3, engine="numba", conditions=[tune])
        streamed = np.concatenate(list(sampler.blocks(tune.samples, block=77)), axis=1)[0]
        played = wavenet.play(model, given[kind], 3, transpose=1, tempo=2, engine="numba")
        np.testing.assert_array_equal(streamed, played)


def test_a_recording_is_transposed_and_played_faster_or_slower(
    models: dict[str, Model], steps: Array
) -> None:
    model = models["pitch and loudness"]
    plain = conditions(steps, model)
    assert plain.samples == 1600
    assert plain.values.keys() == {"pitch", "loudness"}
    up = conditions(steps, model, How(transpose=-2.5))
    np.testing.assert_allclose(up.values["pitch"][:, 0], plain.values["pitch"][:, 0] - 2.5)
    np.testing.assert_array_equal(up.values["pitch"][:, 1], plain.values["pitch"][:, 1])
    np.testing.assert_array_equal(up.values["loudness"], plain.values["loudness"])
    for tempo, samples in ((2.0, 800), (0.5, 3200), (1.25, 1280)):
        changed = conditions(steps, model, How(tempo=tempo))
        assert changed.samples == samples
        notes, voiced = changed.values["pitch"].T
        assert len(changed.values["loudness"]) == len(notes)
        assert abs(len(notes) - (1 + samples // HOP)) <= 1
        # The step lies where the recording has it, as much earlier or later.
        step = HOP * int(np.argmax(notes > 62))
        assert abs(step - 800 / tempo) <= HOP
        end = HOP * int(np.argmax(voiced < 0.5))
        assert abs(end - 1500 / tempo) <= HOP


def test_a_slower_recording_is_voiced_or_not_and_glides_where_it_did(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = np.array([(60, 0), (62, 1), (63, 1), (70, 0), (50, 1)], np.float32)
    monkeypatch.setattr(pitch, "track", lambda *_: given)
    slow = conditions(tone(4 * HOP / RATE), models["pitch"], How(tempo=0.5)).values["pitch"]
    assert slow[:, 1].tolist() == [0, 0, 1, 1, 1, 1, 0, 1, 1, 1]
    assert slow[slow[:, 1] > 0, 0].tolist() == [62, 62.5, 63, 63, 50, 50, 50]


def test_notes_are_transposed_and_played_faster(models: dict[str, Model]) -> None:
    model = models["pitch and loudness"]
    plain, moved = (conditions("C4:0.2 E4", model, how) for how in (PLAIN, How(3, 2.0)))
    assert plain.samples == round(0.7 * RATE)
    assert moved.samples == round(0.5 * RATE)
    sounding = moved.values["pitch"][:, 1] > 0
    assert {*moved.values["pitch"][sounding, 0]} == {63, 67}
    assert sounding.sum() == round(0.2 * RATE / HOP)
    # All that is followed has as many frames as the samples take.
    assert {len(v) for v in plain.values.values()} == {1 + plain.samples // HOP}
    alone = conditions("C4:0.2 E4", models["pitch"])
    assert alone.values.keys() == {"pitch"}


def test_segments_and_features_are_played_faster(
    models: dict[str, Model], given: dict[str, Any]
) -> None:
    segments = models["segments"]
    twice = conditions(given["file of segments"], segments, How(tempo=2.0))
    assert twice.samples == round(0.15 * RATE)
    assert twice.values["segments"][:, 0].tolist() == [1] * 5 + [2] * 5 + [0] * 21
    np.testing.assert_allclose(twice.values["segments"][:10, 2], 0.025)
    features = models["features"]
    plain = conditions(given["features"], features)
    slow = conditions(given["features"], features, How(tempo=0.5))
    assert slow.samples == 2 * plain.samples
    np.testing.assert_allclose(slow.values["features"][:-1:2], plain.values["features"], rtol=1e-6)
    middle = (plain.values["features"][3] + plain.values["features"][4]) / 2
    np.testing.assert_allclose(slow.values["features"][7], middle, rtol=1e-5)
    # Of a recording, its own, and no label between two labels.
    everything = models["everything"]
    recording = conditions(given["recording"], everything, How(tempo=0.37))
    assert {*recording.values["segments"][:, 0]} <= {0, 1, 2}
    assert len({len(value) for value in recording.values.values()}) == 1
    plain = conditions(given["recording"], everything).values["segments"]
    seconds = recording.values["segments"][:, 2]
    assert seconds.max() == pytest.approx(plain[:, 2].max() / 0.37)


def test_files_of_features_are_read_in_every_shape(
    models: dict[str, Model], given: dict[str, Any], tmp_path: Path
) -> None:
    frames = np.load(given["features"])
    model = models["features"]
    for array in (frames, frames.T, frames[None], frames.astype(np.float64)):
        np.save(tmp_path / "f.npy", array)
        assert (conditions(tmp_path / "f.npy", model).values["features"] == frames).all()
    wide = replace(model.config.model, features_hop=2 * HOP)
    other = replace(model, config=replace(model.config, model=wide))
    np.save(tmp_path / "f.npy", frames)
    slow = conditions(tmp_path / "f.npy", other)
    assert slow.samples == 2 * HOP * len(frames)
    np.testing.assert_allclose(slow.values["features"][::2], frames, rtol=1e-6)


def test_a_recording_is_followed_as_it_was_in_training(
    models: dict[str, Model], given: dict[str, Any]
) -> None:
    path, model = given["recording"], models["everything"]
    followed = conditions(path, model)
    assert followed.samples == 800
    np.testing.assert_array_equal(followed.values["features"], np.load(path.with_suffix(".npy")))
    quarters = np.repeat([1, 2, 1, 0], 5)
    np.testing.assert_array_equal(followed.values["segments"][:20, 0], quarters)
    wav, _ = sf.read(path, dtype="float32")
    for front_end in frame_front_ends(model.config.model):
        if front_end.name not in ("features", "segments"):
            expected = front_end.frames_of(wav, RATE)
            np.testing.assert_array_equal(followed.values[front_end.name], expected)


def test_pitch_and_loudness_come_into_the_range_of_the_model(
    models: dict[str, Model], steps: Array
) -> None:
    model = models["pitch and loudness"]
    training = replace(model.training, pitch=(72.0, 84.0), loudness=TRAINED)
    model = replace(model, training=training)
    quiet = conditions(steps * np.float32(0.001), model)
    voiced = quiet.values["pitch"][:, 1] > 0
    assert {*quiet.values["pitch"][voiced, 0]} == {72, 76}
    moved, matched = quiet.notes
    assert moved == "moved up 1 octave: this model plays C5 to C6"
    assert matched.endswith("dB to match its loudness")
    assert quiet.values["loudness"].max() <= TRAINED.high
    # Notes come out of the model's own range of loudness, so they need no matching.
    played = conditions("C5:0.1 E5@40 G5@120", model)
    assert played.notes == ()
    assert played.values["loudness"].max() > -25
