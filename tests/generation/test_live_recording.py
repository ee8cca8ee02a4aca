"""A recording that is followed while it comes: its notes in the model's range, by any parts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import wavenet
from tests.helpers import SMALL, VOCODER, VOICES, as_checkpoint, network
from wavenet.errors import EngineError
from wavenet.generation.live_recording import LiveRecording
from wavenet.generation.matching import RunningLoudness, RunningPitch
from wavenet.generation.streams import Generator
from wavenet.glossary import Array, Wav

FLUTE = wavenet.load("demo-flute")
PROJECTION = Generator(FLUTE, "numba").projection
RATE, HOP = FLUTE.sample_rate, FLUTE.config.model.frame_hop


def hummed(notes: Sequence[float], gain: float = 0.1, seconds: float = 0.5) -> Wav:
    """Notes with harmonics, one after the other; silence for NaN."""
    time = np.arange(round(seconds * RATE)) / RATE
    swell = np.minimum(1, np.minimum(time, time[-1] - time) / 0.03)
    parts = []
    for note in notes:
        phase = 2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time
        parts.append(gain * swell * sum(np.sin(k * phase) / k for k in range(1, 6)))
    return np.nan_to_num(np.concatenate(parts)).astype(np.float32)


def followed(wav: Wav, sizes: Sequence[int] = (256,)) -> tuple[LiveRecording, list[int | None]]:
    """A recording that has come in parts of these sizes, in turn, and the note after each."""
    recording, notes, at, i = LiveRecording(FLUTE, PROJECTION), [], 0, 0
    while at < len(wav):
        recording.add(wav[at : at + sizes[i % len(sizes)]])
        at += sizes[i % len(sizes)]
        notes.append(recording.note)
        i += 1
    return recording, notes


def test_its_notes_are_found_and_silence_has_none() -> None:
    _, notes = followed(hummed([72, np.nan, 76, 79, np.nan]), [HOP])
    # Of each half second the middle.
    assert notes[25::50] == [72, None, 76, 79, None]


def test_parts_of_any_size_give_the_same_features() -> None:
    wav = hummed([72, np.nan, 76, 67.3])
    whole, _ = followed(wav, [len(wav)])
    numbers = np.arange(whole.until // HOP)
    for sizes in ([256], [1, 3, 1000], [HOP]):
        parts, _ = followed(wav, sizes)
        assert parts.until == whole.until
        np.testing.assert_allclose(parts[numbers], whole[numbers], atol=1e-4)


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
        recording.add(wav[at : at + 100])
        # Half a frame's window, a neighbour to be condensed with, and one to go to.
        assert 0 <= at + 100 - recording.until <= 1024 // 2 + 3 * HOP
        assert recording.until % HOP == 0
    # Later samples change nothing that could have been used already.
    known = recording[np.arange(recording.until // HOP + 1)].copy()
    recording.add(hummed([60]))
    assert (recording[np.arange(len(known))] == known).all()


def test_long_recordings_keep_what_is_recent() -> None:
    recording, _ = followed(hummed([72, 76] * 15), [1600])
    last = recording.until // HOP
    assert recording._features.shape[0] == 1000
    assert np.abs(recording[np.array([last - 30])] - recording[np.array([last - 80])]).max() > 0.1
    assert len(recording._wav) < 2000


@pytest.mark.parametrize(("note", "played"), [(48, 72), (36, 72), (72, 72), (96, 84), (60, 60)])
def test_what_is_outside_the_range_moves_by_octaves(note: int, played: int) -> None:
    _, notes = followed(hummed([note] * 2))
    low, high = FLUTE.training.pitch or (0, 0)
    assert notes[-10] is not None
    assert (notes[-10] - note) % 12 == 0
    assert low - 1 <= notes[-10] <= high + 1
    assert abs(notes[-10] - played) in (0, 12)


def test_all_notes_move_by_the_same_octaves() -> None:
    move = RunningPitch((60, 84))
    melody = [48, 50, 52, 53, 55]
    moved = [[move(note) for _ in range(20)][-1] for note in melody]
    assert {after - before for before, after in zip(melody, moved, strict=True)} == {24}
    # One frame that was found an octave off is not heard.
    assert [move(55), move(67), move(55)] == [79, 79, 79]
    # What is not voiced has the last note.
    assert move(None) == 79
    # A tenth of what came of late moves none of the others.
    assert move(70) == 82
    move(None)
    assert move(48) == 72


def test_a_level_moves_to_that_of_the_training() -> None:
    match = RunningLoudness(FLUTE.training.loudness, 100)
    trained = FLUTE.training.loudness
    assert trained is not None
    assert match(-75, False) == (trained.silence, False)
    # The room, however much of a pitch it has.
    assert match(-62, True) == (trained.silence, False)
    assert match(-45, True) == (pytest.approx(trained.middle), True)
    assert match(-48, True) == (pytest.approx(trained.middle - 1.5), True)
    assert match(-90, False) == (trained.silence, False)
    assert match(0, True)[0] == trained.high


def test_only_models_of_pitch_and_loudness_follow_one() -> None:
    for config, line in ((SMALL, "without pitch"), (VOCODER, "follows mel")):
        model = as_checkpoint(network(config))
        with pytest.raises(EngineError, match=line):
            LiveRecording(model, Generator(model, "numba").projection)


def test_another_label_holds_for_what_comes() -> None:
    model = as_checkpoint(network(replace(VOICES, conditioning=("pitch",), frame_hop=8)))
    recording = LiveRecording(model, Generator(model, "numba").projection, 0)
    silence: Array = np.zeros(4000, np.float32)
    recording.add(silence)
    before, hop = recording.until, model.config.model.frame_hop
    recording.change_label(1)
    recording.add(silence)
    features = recording[np.arange(recording.until // hop)]
    assert (features[0] == features[before // hop - 1]).all()
    assert (features[0] != features[-1]).any()
