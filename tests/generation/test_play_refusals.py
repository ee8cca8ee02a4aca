"""What no model plays: wrong options, sources that are none, and ones that do not fit it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavenet
from tests.helpers import noisy, tone
from wavenet.errors import AudioError, EngineError, ScoreError, UsageError, WavenetError
from wavenet.generation.conditions import Conditions
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model
from wavenet.scores.notes import Note
from wavenet.scores.segments import Segment

RATE = 8000
WITHOUT_CHANNELS = ("text of notes", "notes", "recording", "wav")


@pytest.mark.parametrize(
    ("how", "parameter"),
    [
        ({"transpose": 121}, "transpose"),
        ({"transpose": float("nan")}, "transpose"),
        ({"transpose": "2"}, "transpose"),
        ({"tempo": 0}, "tempo"),
        ({"tempo": -1}, "tempo"),
        ({"tempo": float("nan")}, "tempo"),
        ({"tempo": float("inf")}, "tempo"),
        ({"tempo": "fast"}, "tempo"),
        ({"tier": 3}, "tier"),
        ({"tier": "words"}, "tier"),
        ({"channel": 1}, "channel"),
    ],
)
def test_no_such_way_to_play(models: dict[str, Model], how: Any, parameter: str) -> None:
    with pytest.raises(UsageError) as e:
        wavenet.play(models["pitch"], "C4:0.1", **how)
    assert e.value.parameter == parameter


def test_options_of_other_sources_are_refused(
    models: dict[str, Model], given: dict[str, Any]
) -> None:
    for name, kind in (("loudness", "wav"), ("segments", "segments"), ("features", "features")):
        with pytest.raises(UsageError, match="is of pitch, and this model follows") as e:
            wavenet.play(models[name], given[kind], transpose=1)
        assert e.value.parameter == "transpose"
    for channel in (0, 17, 3, "x"):
        with pytest.raises(UsageError) as e:
            wavenet.play(models["pitch"], given["MIDI"], channel=channel)  # type: ignore[arg-type]
        assert e.value.parameter == "channel"
    # Lines that are too long for a path, too.
    assert len(wavenet.play(models["pitch"], "C4:0.001 " * 500))
    with pytest.raises(AudioError):
        wavenet.play(models["pitch"], f"folder/{'x' * 500}.wav")
    for kind in WITHOUT_CHANNELS:
        with pytest.raises(UsageError, match="is of MIDI files, and there is none"):
            wavenet.play(models["pitch"], given[kind], channel=1)
    with pytest.raises(UsageError, match="is of TextGrids, and there is none"):
        wavenet.play(models["segments"], given["file of segments"], tier="words")


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("", UsageError, "holds nothing that sounds"),
        ("-:0.5", UsageError, "holds nothing that sounds"),
        ("H4", UsageError, "word 1, H4: is no name of a note"),
        ("C4:0.1 D4:x", UsageError, "word 2"),
        ("C4:90000", UsageError, "more than a day"),
        ("no such.wav", AudioError, "no such file"),
        ("no such.mid", ScoreError, "no such file"),
        ([], AudioError, "holds no samples"),
        ((), WavenetError, "source"),
        (None, WavenetError, "source"),
        (3, WavenetError, "source"),
        (np.zeros((3, 7), np.float32), AudioError, "source"),
        (np.array([0.1, np.nan], np.float32), AudioError, "NaN"),
        (np.zeros(0, np.float32), AudioError, "holds no samples"),
        ([Note(0, 1, 60), Segment(1, 2, "a")], UsageError, "mixes Note with others"),
        ([Note(0, 1, 60), Note(0.5, 1, 64)], ScoreError, "sound at once"),
        ([Note(0, 1, 5)], None, ""),
    ],
)
def test_what_is_no_source_is_one_clear_line(
    models: dict[str, Model], source: Any, error: type[WavenetError] | None, words: str
) -> None:
    if error is None:
        assert len(wavenet.play(models["pitch"], source))
        return
    with pytest.raises(error, match=words) as e:
        wavenet.play(models["pitch"], source)
    assert "\n" not in str(e.value)


def test_segments_that_overlap_or_are_out_of_order(models: dict[str, Model]) -> None:
    model = models["segments"]
    one, two = Segment(0, 0.1, "one"), Segment(0.1, 0.2, "two")
    a, b = (np.asarray(wavenet.play(model, given)) for given in ([one, two], [two, one]))
    assert (a == b).all()
    with pytest.raises(ScoreError, match=r"two begins at 0\.05 s, before one ends"):
        wavenet.play(model, [one, replace(two, start=0.05)])
    with pytest.raises(EngineError, match="three is unknown; the model knows one, two"):
        wavenet.play(model, "one three")


def test_more_than_a_day_is_refused(models: dict[str, Model], steps: Array) -> None:
    long = np.zeros(RATE, np.float32)
    with pytest.raises(UsageError, match="more than a day"):
        wavenet.play(models["pitch"], [Note(0, 80_000, 60)], tempo=0.5)
    short = Conditions.from_audio(steps, models["pitch"], "wav")
    hours = replace(short, samples=10_000 * RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conditions, "from_audio", lambda *_: hours)
        with pytest.raises(UsageError, match="makes more than a day of it"):
            wavenet.play(models["pitch"], long, tempo=0.1)


@pytest.mark.parametrize("samples", [1, 39, 40, 41])
def test_the_shortest_recordings_are_played(models: dict[str, Model], samples: int) -> None:
    wav = noisy(samples / RATE, amplitude=0.1).astype(np.float32)
    assert len(wavenet.play(models["pitch and loudness"], wav)) == samples


def test_a_recording_without_what_lies_beside_it(
    models: dict[str, Model], given: dict[str, Any], make_folder: Callable[..., Path]
) -> None:
    path = make_folder({"b.wav": tone(0.1)}) / "b.wav"
    with pytest.raises(AudioError, match=r"b\.wav: has no features beside it"):
        wavenet.play(models["features"], path)
    with pytest.raises(AudioError, match="has no segments beside it"):
        wavenet.play(models["segments"], path)
    np.save(path.with_suffix(".npy"), np.zeros((21, 4)))
    with pytest.raises(AudioError, match="has 4 features, and this model follows 3"):
        wavenet.play(models["features"], path)
    np.save(path.with_suffix(".npy"), np.zeros((30, 3)))
    with pytest.raises(AudioError, match="the recording has 21 frames"):
        wavenet.play(models["features"], path)
    np.save(path.with_suffix(".npy"), np.zeros((30, 4)))
    with pytest.raises(AudioError, match=r"this model follows \(frames, 3\)"):
        wavenet.play(models["features"], path.with_suffix(".npy"))
    path.with_suffix(".csv").write_text("0,0.1,seven\n")
    with pytest.raises(EngineError, match="seven is unknown; the model knows one, two"):
        wavenet.play(models["segments"], path)
    tiers = (f'"IntervalTier" "{name}" 0 0.1 1 0 0.1 "{name}"' for name in ("one", "two"))
    words = ['"ooTextFile"', '"TextGrid"', "0", "0.1", "<exists>", "2"]
    grid = path.with_suffix(".TextGrid")
    grid.write_text("\n".join([*words[:2], "", *words[2:], *" ".join(tiers).split()]))
    with pytest.raises(ScoreError, match="several tiers: one and two; choose one with `tier`"):
        wavenet.play(models["segments"], path)
    of_two = wavenet.read_source(path, models["segments"], tier="two").values["segments"]
    assert {*of_two[:-1, 0]} == {2}
    grid.unlink()
    path.with_suffix(".csv").write_text("8,9,one\n")
    with pytest.raises(ScoreError, match=r"its recording ends at 0\.1 s"):
        wavenet.play(models["segments"], path)


@pytest.mark.parametrize("given", ["C5", ["C5"], 3, Conditions({}, 1)])
def test_a_sampler_wants_a_list_of_conditions(models: dict[str, Model], given: Any) -> None:
    with pytest.raises(UsageError, match="must be a list of Conditions"):
        Sampler(models["pitch"], seed=1, conditions=given)
