"""What the studies of played notes and of words measure, on what is known."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf

from benchmarks.studies import judges, playing, words
from benchmarks.studies.playing import Tuning, cents_off, correlation
from wavenet.errors import ScoreError

RATE = judges.RATE


def pitch(*notes: float | None) -> np.ndarray:
    """Frames (frames, 2) of these MIDI notes; None is unvoiced, with a note beside it."""
    return np.array([(60.0, 0) if note is None else (note, 1) for note in notes], np.float32)


def chirp(low: float, high: float, seconds: float = 0.4) -> np.ndarray:
    """Something like a word: a buzz whose lowest overtone moves."""
    return 0.5 * librosa.chirp(fmin=low, fmax=high, sr=RATE, duration=seconds).astype(np.float32)


def test_frames_count_where_something_should_sound_and_unvoiced_ones_are_not_in_tune() -> None:
    asked = pitch(60, 60, 60, 60, 60, None, 60)
    # In tune, sharp by 40 and by 60 cents, an octave down, unvoiced; then where nothing should be.
    found = pitch(60, 60.4, 60.6, 48.1, None, 60)
    off = cents_off(asked, found)
    np.testing.assert_allclose(off, [0, 40, 60, -1190, np.nan], atol=1e-3)
    tuning = Tuning.of(off)
    assert tuning.frames == 5
    assert tuning.sound == pytest.approx(4 / 5)
    assert tuning.in_tune == pytest.approx(2 / 5)
    assert tuning.in_tune_of_sound == pytest.approx(2 / 4)
    assert tuning.octave == pytest.approx(1 / 4)
    assert tuning.cents == pytest.approx(50, abs=1e-3)


@pytest.mark.parametrize(
    ("off", "octave"), [(1151, 1), (1249, 1), (-2400, 1), (1140, 0), (1260, 0), (700, 0)]
)
def test_an_octave_error_is_a_whole_number_of_octaves(off: float, octave: float) -> None:
    assert Tuning.of(np.array([off])).octave == octave


def test_silence_has_no_tuning_and_a_row_all_the_same() -> None:
    none = Tuning.of(cents_off(pitch(None, None), pitch(60, None)))
    assert none.frames == 0
    assert np.isnan([none.sound, none.in_tune, none.octave, none.cents]).all()
    row = none.row("silence", float("nan"), 0.5, 17.94, float("nan"))
    assert row.split()[-4:] == ["-", "0.500", "17.9", "-"]


def test_loudness_below_the_floor_does_not_count() -> None:
    a = np.array([[-100.0], [-90], [-40], [-20]])
    b = np.array([[-81.0], [-99], [-30], [-10], [0]])
    assert correlation(a, b) == pytest.approx(1, abs=0.01)
    assert np.isnan(correlation(a, np.full((4, 1), -95.0)))


def test_neither_level_nor_length_nor_silence_around_it_changes_what_a_word_is() -> None:
    word = chirp(300, 2000)
    same = words.features(word)
    around = words.features(np.pad(0.1 * word, (500, 900)))
    longer = words.features(chirp(300, 2000, 0.8))
    other = words.features(chirp(2000, 300))
    assert same.shape == (words.MFCCS * words.STEPS,)

    def distance(a: np.ndarray) -> float:
        return float(np.linalg.norm(a - same))

    assert max(distance(around), distance(longer)) < 0.5 * distance(other)
    assert not len(words.features(np.zeros(RATE, np.float32)))


def test_the_judge_knows_words_in_noise_and_gives_silence_to_nobody() -> None:
    rng = np.random.default_rng(3)
    wavs = {"up": chirp(300, 2000), "down": chirp(2000, 300), "flat": chirp(800, 810)}
    judge = words.Judge([words.Spoken("a", w, wav) for w, wav in wavs.items() for _ in range(4)])
    assert [judge.word(judges.in_noise(wav, 20, rng)) for wav in wavs.values()] == [*wavs]
    assert judge.word(np.zeros(RATE, np.float32)) == judges.NOBODY


def test_clips_have_every_word_in_every_voice_before_any_again() -> None:
    known, speakers = ["1", "2", "3", "4"], ["a", "b"]
    pairs = words.in_turn(known, speakers, 10)
    assert len(set(pairs[:8])) == 8
    assert pairs[8:] == pairs[:2]
    assert [word for word, _ in pairs[:4]] == known


def test_words_are_segments_or_else_the_first_part_of_the_name(tmp_path: Path) -> None:
    path = tmp_path / "seven_ann_3.wav"
    sf.write(path, chirp(300, 600, 1.0), RATE)
    (whole,) = words.spoken_in(path, "ann")
    assert (whole.speaker, whole.word, len(whole.wav)) == ("ann", "seven", RATE)
    segments = path.with_suffix(".csv")
    segments.write_text("0.1,0.3,one\n0.5,1,two\n", encoding="utf-8")
    found = [(s.word, len(s.wav)) for s in words.spoken_in(path, "ann")]
    assert found == [("one", 0.2 * RATE), ("two", 0.5 * RATE)]
    segments.write_text("0.1,one\n", encoding="utf-8")
    with pytest.raises(ScoreError, match="three columns"):
        list(words.spoken_in(path, "ann"))


def test_the_first_quarter_of_the_takes_is_held_back(tmp_path: Path) -> None:
    for speaker in ("ann", "bob"):
        (tmp_path / speaker).mkdir()
        for take in range(4):
            (tmp_path / speaker / f"one_{speaker}_{take}.wav").touch()
    training, held_back = judges.split(tmp_path)
    assert [path.name for path in held_back["ann"]] == ["one_ann_0.wav"]
    assert [judges.take(path) for path in training["bob"]] == [1, 2, 3]


def test_a_table_counts_what_was_taken_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    recognised = {"a": ["a", "b", "a"], "b": ["b", judges.NOBODY]}
    assert judges.confusion("recognised:", recognised, ["a", "b"]) == (3, 5)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    columns = ["recognised:", "a", "b", judges.NOBODY]
    assert rows == [columns, ["a", "2", "1", "0"], ["b", "0", "1", "1"]]


def test_the_recording_of_a_score_is_the_one_of_its_name(tmp_path: Path) -> None:
    for name in ("take.mid", "take.txt", "take 2.wav"):
        (tmp_path / name).touch()
    assert playing.recording_of(tmp_path / "take.mid") is None
    (tmp_path / "take.FLAC").touch()
    assert playing.recording_of(tmp_path / "take.mid") == tmp_path / "take.FLAC"
    assert playing.recording_of(tmp_path / "take 2.wav") == tmp_path / "take 2.wav"
