"""A recording that is followed while it comes: its notes in the model's range, by any parts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import wavenet
from tests.helpers import INSTRUMENT, SMALL, VOCODER, VOICES, as_checkpoint, network
from wavenet.errors import EngineError
from wavenet.generation.live_matching import LiveLoudness, LivePitch
from wavenet.generation.live_recording import LiveRecording
from wavenet.generation.streams import Generator
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Model

FLUTE = wavenet.load("demo-flute")
PROJECTION = Generator(FLUTE, "numba").projection
# Of a stream that has made more than has come.
NEVER_LATE = 2**40
RATE, HOP = FLUTE.sample_rate, FLUTE.config.model.frame_hop


def hummed(
    notes: Sequence[float], gain: float = 0.1, seconds: float = 0.5, rate: int = RATE
) -> Wav:
    """Notes with harmonics, one after the other; silence for NaN."""
    time = np.arange(round(seconds * rate)) / rate
    swell = np.minimum(1, np.minimum(time, time[-1] - time) / 0.03)
    parts = []
    for note in notes:
        phase = 2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time
        parts.append(gain * swell * sum(np.sin(k * phase) / k for k in range(1, 6)))
    return np.nan_to_num(np.concatenate(parts)).astype(np.float32)


def followed(
    wav: Wav, sizes: Sequence[int] = (256,), model: Model = FLUTE
) -> tuple[LiveRecording, list[int | None]]:
    """A recording that has come in parts of these sizes, in turn, and the note after each."""
    recording, notes, at, i = LiveRecording(model, Generator(model, "numba").projection), [], 0, 0
    while at < len(wav):
        recording.add(wav[at : at + sizes[i % len(sizes)]], NEVER_LATE)
        at += sizes[i % len(sizes)]
        notes.append(recording.note)
        i += 1
    return recording, notes


def test_its_notes_are_found_and_silence_has_none() -> None:
    _, notes = followed(hummed([72, np.nan, 76, 79, np.nan]), [HOP])
    # Of each half second the middle.
    assert notes[25::50] == [72, None, 76, 79, None]


@pytest.mark.parametrize(
    ("rate", "settings"),
    [
        (RATE, {"conditioning": ("pitch",)}),
        (RATE, {"frame_context": 0, "frame_window": 1023}),
        (8000, {"frame_context": 3, "frame_window": 300, "frame_hop": 80}),
        (48_000, {"frame_hop": 240, "frame_window": 2048}),
        # Frames with samples between them that are in none.
        (RATE, {"conditioning": ("pitch",), "frame_hop": 2048, "frame_window": 512}),
        (RATE, {"frame_hop": 16, "frame_window": 512}),
    ],
)
def test_parts_of_any_size_give_the_same_features(rate: int, settings: dict[str, Any]) -> None:
    usual: dict[str, Any] = {
        "conditioning": ("pitch", "loudness"),
        "frame_hop": 160,
        "frame_window": 1024,
        "pitch_low_hz": 65.0,
        "pitch_high_hz": 2000.0,
    }
    config = replace(INSTRUMENT, **usual | settings)
    model = as_checkpoint(network(config), rate)
    wav = hummed([60, np.nan, 64, 55.3], rate=rate)
    whole, _ = followed(wav, [len(wav)], model)
    parts, notes = followed(wav, [1, 3, 1000], model)
    assert parts.until == whole.until
    numbers = np.arange(whole.until // config.frame_hop)
    assert len(numbers) > 5
    np.testing.assert_allclose(parts[numbers], whole[numbers], atol=1e-3)
    assert {60, 64, 55} <= set(notes)


def test_features_are_those_of_its_pitch_as_a_model_follows_a_whole_recording() -> None:
    wav = hummed([72, np.nan, 76, 79, np.nan], gain=0.05)
    conditions = wavenet.read_source((wav, RATE), FLUTE)
    expected = PROJECTION.features(**conditions.values)
    recording, _ = followed(wav)
    middle = np.array([25, 125, 175])
    difference = np.abs(recording[middle] - expected[middle]).mean()
    assert difference < 0.3 * np.abs(expected[25] - expected[175]).mean()


def test_it_can_be_made_until_shortly_before_its_newest_sample() -> None:
    wav = hummed([72])
    recording = LiveRecording(FLUTE, PROJECTION)
    assert recording.until == 0
    for at in range(0, len(wav), 100):
        recording.add(wav[at : at + 100], NEVER_LATE)
        # Half a frame's window, a neighbour to be condensed with, and one to go to.
        assert 0 <= at + 100 - recording.until <= 1024 // 2 + 3 * HOP
        assert recording.until % HOP == 0
    # Later samples change nothing that could have been used already.
    known = recording[np.arange(recording.until // HOP + 1)].copy()
    recording.add(hummed([60]), NEVER_LATE)
    assert (recording[np.arange(len(known))] == known).all()


def test_long_recordings_keep_what_is_recent() -> None:
    recording, _ = followed(hummed([72, 76] * 15), [1600])
    last = recording.until // HOP
    assert len(recording._features.frames) == 500
    assert np.abs(recording[np.array([last - 30])] - recording[np.array([last - 80])]).max() > 0.1
    assert len(recording._wav) < 2000


def test_a_stream_that_falls_behind_leaves_some_out() -> None:
    wav = hummed([72, 72, 72, 79])
    recording, late = (LiveRecording(FLUTE, PROJECTION) for _ in range(2))
    for at in range(0, len(wav), 250):
        recording.add(wav[at : at + 250], NEVER_LATE)
        # Of eight samples it makes one.
        late.add(wav[at : at + 250], at // 8)
    behind = late.until - len(wav) // 8
    assert 0.25 * RATE < behind <= 0.35 * RATE
    assert late.skipped == recording.until - late.until
    assert recording.skipped == 0
    # It goes on with what comes now.
    newest = np.arange(late.until // HOP - 20, late.until // HOP)
    assert (late[newest] == recording[newest + late.skipped // HOP]).all()


@pytest.mark.parametrize(("note", "played"), [(48, 72), (38, 74), (72, 72), (96, 72), (62, 62)])
def test_what_is_outside_the_range_moves_by_octaves(note: int, played: int) -> None:
    """To the middle of it; what is in the range stays."""
    _, notes = followed(hummed([note] * 2))
    assert set(notes) == {None, played}


def test_a_voice_is_told_from_the_room() -> None:
    rng, noise = np.random.default_rng(0), 10 ** (-65 / 20)
    room = rng.normal(0, noise, 2 * RATE).astype(np.float32)
    _, notes = followed(room)
    assert set(notes) == {None}
    # A low voice into a microphone that is not turned up.
    for note, gain in ((42, 0.004), (76, 0.002)):
        wav = np.concatenate([room, hummed([note] * 2, gain) + room[:RATE], room])
        _, notes = followed(wav, [HOP])
        (played,) = {*notes} - {None}
        assert notes[225] == notes[275] == played
        assert set(notes[310:]) == {None}
        recording, _ = followed(wav)
        silence = recording[np.arange(30, 170)].mean(0)
        pauses = recording[np.arange(320, 480)]
        assert np.abs(pauses - silence).max(axis=1).mean() < 0.05


def test_the_soft_notes_of_music_without_a_pause_are_followed() -> None:
    notes = [72, 74, 76, 77, 79, 81, 79, 77, 76, 74] * 2
    levels = 0.1 * 10 ** (np.array([0, -6, -12, -18, -20] * 4) / 20)
    parts = [hummed([note], level) for note, level in zip(notes, levels, strict=True)]
    _, found = followed(np.concatenate(parts), [HOP])
    assert found[27::50] == notes


def test_all_notes_move_by_the_same_octaves() -> None:
    move = LivePitch((60, 84), 100)
    melody = [48, 50, 52, 53, 55]
    moved = [[move(note) for _ in range(20)][-1] for note in melody]
    assert {after - before for before, after in zip(melody, moved, strict=True)} == {24}
    # One frame that was found an octave off is not heard.
    assert [move(55), move(67), move(55)] == [79, 79, 79]
    # What is not voiced has the last note, and a frame alone is not the end of one.
    assert [move(None), move(67), move(55)] == [79, 79, 79]
    assert move.note == 79
    assert [move(None) for _ in range(3)] == [79] * 3
    assert move.note is None
    # At its beginning a note is never between two octaves.
    assert {move(pitch) % 12 for pitch in (43, 55, 55, 55)} == {7}
    # A tenth of the history moves none of the others.
    assert [move(pitch) for pitch in (*[None] * 3, 70, *[None] * 3, 48)][3::4] == [82, 72]


def test_a_level_moves_to_that_of_the_training() -> None:
    match = LiveLoudness(FLUTE.training.loudness, 100)
    trained = FLUTE.training.loudness
    assert trained is not None
    for _ in range(50):
        assert match(-70, False) == (trained.silence, False)
    assert match(-45, True) == (pytest.approx(trained.middle), True)
    assert match(-48, True) == (pytest.approx(trained.middle - 1.5), True)
    # What is soft, the noise, and what is hardly above it.
    assert match(-69, True)[1]
    assert match(-71, True) == (trained.silence, False)
    assert match(-63, False)[1]
    assert match(-65, False) == (trained.silence, False)
    assert match(0, True)[0] == trained.high


def test_only_models_of_pitch_and_loudness_follow_one() -> None:
    loudness = replace(INSTRUMENT, conditioning=("loudness",))
    for config, line in (
        (SMALL, "without pitch"),
        (VOCODER, "follows mel"),
        (loudness, "follows loudness, and no recording while it comes"),
    ):
        model = as_checkpoint(network(config))
        with pytest.raises(EngineError, match=line):
            LiveRecording(model, Generator(model, "numba").projection)


def test_another_label_holds_for_what_comes() -> None:
    model = as_checkpoint(network(replace(VOICES, conditioning=("pitch",), frame_hop=8)))
    recording = LiveRecording(model, Generator(model, "numba").projection, 0)
    silence: Array = np.zeros(4000, np.float32)
    recording.add(silence, NEVER_LATE)
    before, hop = recording.until, model.config.model.frame_hop
    recording.change_label(1)
    recording.add(silence, NEVER_LATE)
    features = recording[np.arange(recording.until // hop)]
    assert (features[0] == features[before // hop - 1]).all()
    assert (features[0] != features[-1]).any()
