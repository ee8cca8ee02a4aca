"""Streams that are heard while they are made draw what `generate` draws, whatever others do."""

import numpy as np
import pytest

import wavenet
from tests.helpers import SMALL, as_checkpoint, network
from wavenet.errors import EngineError, UsageError
from wavenet.generation.live import LiveStream, LiveStreams
from wavenet.generation.live_notes import LiveNotes
from wavenet.generation.streams import Generator
from wavenet.glossary import Array
from wavenet.model.distributions.base import Sampling
from wavenet.scores.notes import Note

NONE = np.zeros(0, np.int64)
MODEL = as_checkpoint(network(SMALL))


def live_streams() -> LiveStreams:
    return LiveStreams(Generator(MODEL, "numba"))


def joined(live: LiveStreams, seed: int, keep_every: int = 50) -> LiveStream:
    return live.join(live.generator.stream(seed, 0, {}), NONE, keep_every)


def expected(seed: int, samples: int, **how: float) -> Array:
    seconds = samples / MODEL.sample_rate
    return np.asarray(wavenet.generate(MODEL, seconds, seed, engine="numba", **how))  # type: ignore[arg-type]


def test_streams_that_come_and_go_do_not_change_each_other() -> None:
    live = live_streams()
    streams = [joined(live, seed) for seed in range(3)]
    made: dict[int, list[Array]] = {0: [], 1: [], 2: []}
    for who in ([0], [0, 1], [2, 1, 0], [2], [0, 2], [0, 2], [1, 2]):
        wavs = live.advance([streams[i] for i in who], 37)
        for i, wav in zip(who, wavs, strict=True):
            made[i].append(wav)
    live.leave(streams[0])
    made[1] += live.advance([streams[1]], 37)
    for seed, blocks in made.items():
        wav = np.concatenate(blocks)
        assert (wav == expected(seed, len(wav))).all(), seed
    assert len(made[2]) == 5


def test_a_stream_that_goes_back_makes_the_same_again() -> None:
    live = live_streams()
    stream, other = joined(live, 4), joined(live, 5)
    before = np.concatenate([live.advance([stream, other], 25)[0] for _ in range(8)])
    moment = live.moment(stream, 90)
    # Kept at every second block.
    assert moment.stream.time == 100
    live.go_on_from(stream, moment)
    assert stream.now.time == 100
    again = np.concatenate([live.advance([other, stream], 25)[1] for _ in range(8)])
    assert (again[:100] == before[100:]).all()
    assert (np.concatenate([before[:100], again]) == expected(4, 300)).all()


def test_a_changed_sampling_holds_from_the_moment_on() -> None:
    live = live_streams()
    stream, other = joined(live, 4, keep_every=10), joined(live, 5)
    first = np.concatenate([live.advance([stream, other], 50)[0] for _ in range(4)])
    live.go_on_from(stream, live.moment(stream, 100))
    stream.now.sampling = Sampling(0.0)
    wavs = [live.advance([stream, other], 50) for _ in range(4)]
    changed, untouched = np.concatenate([w[0] for w in wavs]), np.concatenate([w[1] for w in wavs])
    assert (changed[:100] != first[100:]).any()
    assert (untouched == expected(5, 400)[200:]).all()
    # Nothing is drawn any more, so the seed has no part in it.
    live.go_on_from(stream, live.moment(stream, 100))
    assert stream.now.time == 100
    stream.now.seed, stream.now.sampling = 77, Sampling(0.0)
    assert (np.concatenate([live.advance([stream], 50)[0] for _ in range(4)]) == changed).all()


def test_one_moment_has_many_futures() -> None:
    live = live_streams()
    stream = joined(live, 4)
    live.advance([stream], 50)
    branch = live.moment(stream, 50)
    futures = []
    for seed in (4, 8, 4):
        live.go_on_from(stream, branch)
        stream.now.seed = seed
        futures.append(live.advance([stream], 200)[0])
    assert (futures[0] == expected(4, 250)[50:]).all()
    assert (futures[2] == futures[0]).all()
    assert (futures[1] != futures[0]).any()


def test_moments_are_forgotten_when_they_were_played_and_when_there_are_many() -> None:
    live = live_streams()
    stream = joined(live, 1, keep_every=10)
    for _ in range(50):
        live.advance([stream], 10)
    assert len(stream.moments) == 20
    stream.forget_before(450)
    assert [m.stream.time for m in stream.moments] == [450, 460, 470, 480, 490]
    # Nothing later is kept than the present.
    assert live.moment(stream, 10_000).stream.time == 500


FLUTE = wavenet.load("demo-flute")
HOP = FLUTE.config.model.frame_hop


def live_notes() -> LiveNotes:
    return LiveNotes(FLUTE, Generator(FLUTE, "numba").projection)


def features_of(source: str | list[Note]) -> Array:
    conditions = wavenet.read_source(source, FLUTE)
    return Generator(FLUTE, "numba").projection.features(**conditions.values)


def test_notes_that_are_played_are_features_of_the_same_notes_typed() -> None:
    typed = features_of("-:1 C5:1 E5:0.5 -:0.5 G5:1")
    notes = live_notes()
    # What was asked for before a key was pressed was silence.
    quiet = notes[np.arange(50)]
    assert np.abs(quiet - typed[:50]).max() < 1e-5
    keys = [(1, 72, True), (2, 76, True), (2, 72, False), (2.5, 76, False), (3, 79, True)]
    for second, pitch, pressed in [*keys, (4, 79, False)]:
        time = round(second * FLUTE.sample_rate)
        notes.press(time, pitch, 80) if pressed else notes.release(time, pitch)
    played = notes[np.arange(100, 400)]
    np.testing.assert_allclose(played, typed[100:400], atol=1e-4)


def test_a_note_that_is_still_held_sounds_again() -> None:
    notes, rate = live_notes(), FLUTE.sample_rate
    notes.press(0, 72, 80)
    notes.press(rate, 76, 80)
    notes.release(2 * rate, 76)
    middle = np.array([50, 150, 250])
    first, second, again = notes[middle]
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(again, first, atol=1e-3)
    notes.release(3 * rate, 72)
    assert np.abs(notes[np.array([550])] - live_notes()[np.array([550])]).max() < 1e-2


def test_notes_that_are_bent_are_features_of_the_same_notes_with_bends() -> None:
    bends = (((0.5, 0.4), (0.75, 1.5)), ((0, 1.5), (0.5, -2)))
    given = [Note(1 + i, 2 + i, 72 + i, bends=of_one) for i, of_one in enumerate(bends)]
    notes, rate = live_notes(), FLUTE.sample_rate
    notes.press(rate, 72, 80)
    # What was to come is done otherwise: a wheel that is turned has no future.
    for second, semitones in ((1.5, 0.4), (2.9, -3), (1.75, 1.5)):
        notes.bend(round(second * rate), semitones)
    notes.press(2 * rate, 73, 80)
    notes.release(2 * rate, 72)
    notes.bend(round(2.5 * rate), -2)
    notes.release(3 * rate, 73)
    expected = features_of(given)
    np.testing.assert_allclose(notes[np.arange(100, 300)], expected[100:300], atol=1e-4)
    # After seconds the wheel is still where it was.
    notes.press(20 * rate, 74, 80)
    late = features_of([Note(0, 2, 72)])
    np.testing.assert_allclose(notes[np.arange(2010, 2100)], late[10:100], atol=1e-4)
    # The highest note that it knows is not taken for one an octave lower where it is bent up.
    top = int(FLUTE.training.pitch[1])  # type: ignore[index]
    read = wavenet.read_source([Note(0, 1, top, bends=((0.5, 2),))], FLUTE).values["pitch"]
    assert [read[frame, 0] for frame in (20, 80)] == [top, top + 2]
    with pytest.raises(UsageError, match="`bend` 131"):
        notes.bend(rate, 131)


def test_a_label_changes_the_instrument_while_it_is_played() -> None:
    notes = live_notes()
    notes.press(0, 72, 80)
    before = notes[np.arange(10)]
    notes.change_label(0)
    # That model knows none, but all is computed anew.
    assert notes._last == -1
    assert (notes[np.arange(10)] == before).all()


def test_a_note_may_be_held_for_minutes() -> None:
    notes, rate = live_notes(), FLUTE.sample_rate
    notes.press(0, 72, 80)
    early = notes[np.array([60])]
    for second in range(2, 300, 4):
        frame = second * rate // HOP
        assert np.abs(notes[np.arange(frame, frame + 5)] - early).max() < 1e-3
    assert len(notes._features) < 2000


def test_time_may_go_back_before_all_notes() -> None:
    notes, rate = live_notes(), FLUTE.sample_rate
    quiet = notes[np.arange(100, 110)]
    notes.press(20 * rate, 72, 80)
    assert np.abs(notes[np.arange(2050, 2060)] - quiet).max() > 0.1
    assert (notes[np.arange(100, 110)] == quiet).all()


def test_a_key_that_is_none_and_a_model_without_pitch_are_refused() -> None:
    with pytest.raises(UsageError, match="pitch 300"):
        live_notes().press(0, 300, 80)
    with pytest.raises(UsageError, match="velocity 0"):
        live_notes().press(0, 60, 0)
    with pytest.raises(EngineError, match="without pitch"):
        LiveNotes(MODEL, Generator(MODEL, "numba").projection)
    vocoder = wavenet.load("demo-vocoder")
    with pytest.raises(EngineError, match="no notes"):
        LiveNotes(vocoder, Generator(vocoder, "numba").projection)
