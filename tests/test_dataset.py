from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL, STARTER, noisy, tone
from wavenet.config import Config
from wavenet.config.loading import load
from wavenet.data.dataset import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CorpusError
from wavenet.model.cost import receptive_field

RECEPTIVE_FIELD = receptive_field(SMALL.schedule)


def corpus(folder: Path, config: Config, **train: object) -> Corpus:
    config = replace(config, train=replace(config.train, **train))  # type: ignore[arg-type]
    return Corpus(index_folder(folder, config.audio, trim=config.trims), config, RECEPTIVE_FIELD)


def test_batches_are_a_pure_function_of_seed_and_step(
    training_folder: Path, small_config: Config
) -> None:
    a, b = corpus(training_folder, small_config), corpus(training_folder, small_config)
    b.batch(0)
    assert (a.batch(7).x == b.batch(7).x).all()
    assert (a.batch(7).x != a.batch(8).x).any()
    assert (a.batch(7).x != corpus(training_folder, small_config, seed=9).batch(7).x).any()


def test_augmented_windows_are_the_recorded_ones_louder_or_softer(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    folder = make_folder({f"{i}.wav": noisy(0.5, 8000, seed=i) * 0.3 for i in range(6)})
    fine = replace(small_config, model=replace(small_config.model, output="logistic"))
    plain, changed = corpus(folder, fine), corpus(folder, fine, augment_gain_db=6.0)
    gains = []
    for step in range(60):
        a, b = (
            plain.distribution.decode(c.batch(step).x).astype(np.float64) for c in (plain, changed)
        )
        for x, y in zip(a, b, strict=True):
            gains.append((x * y).sum() / (x * x).sum())
            assert np.abs(y - gains[-1] * x).max() < 1e-4
    decibels = 20 * np.log10(gains)
    assert decibels.min() < -5
    assert decibels.max() > 5
    assert abs(decibels).max() < 6.01
    assert abs(decibels.mean()) < 1
    assert all(
        (p.x == q.x).all()
        for p, q in zip(plain.validation_batches(), changed.validation_batches(), strict=True)
    )


def test_an_augmented_window_never_clips(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    tones = [tone(0.5, 8000, 100 + i) for i in range(6)]
    folder = make_folder({f"{i}.wav": x * 0.99 / np.abs(x).max() for i, x in enumerate(tones)})
    fine = replace(small_config, model=replace(small_config.model, output="logistic"))
    c = corpus(folder, fine, augment_gain_db=20.0)
    for step in range(20):
        for x in c.distribution.decode(c.batch(step).x):
            assert (np.abs(x) > 0.9999).sum() < 20, "the tops of a tone are flat"


def test_frames_follow_the_level_of_an_augmented_window(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    vocoder = replace(
        small_config.model,
        mel_bands=8,
        mel_hop=32,
        mel_window=128,
        mel_high_hz=4000.0,
        output="logistic",
    )
    folder = make_folder({f"{i}.wav": noisy(0.5, 8000, seed=i) * 0.2 for i in range(6)})
    c = corpus(folder, replace(small_config, model=vocoder))
    a, b = c.window(c.training[0], 320), c.window(c.training[0], 320, 0.5)
    audio, softer_audio = (w.conditioning_input.values["mel"] for w in (a, b))
    assert audio is not None
    assert softer_audio is not None
    assert np.abs(softer_audio - 0.5 * audio).max() <= 0.5
    assert np.abs(c.distribution.decode(b.x) - 0.5 * c.distribution.decode(a.x)).max() < 1e-4
    assert c.training[0].length > 321 + c.config.segment_samples
    c._pcm = c._pcm.copy()
    # A loud sample lies behind the window, within its last frame.
    c._pcm[c.training[0].offset + 320 + c.config.segment_samples] = 30_000
    loud = c.window(c.training[0], 320, 4.0)
    loud_audio = loud.conditioning_input.values["mel"]
    assert loud_audio is not None
    assert np.asarray(loud_audio).max() == 32767
    peak, loud_peak = (np.abs(c.distribution.decode(x)).max() for x in (a.x, loud.x))
    assert loud_peak < 1.2 * peak, "the same gain for both"


def test_windows_never_straddle_files(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    """Each file has one constant loudness of its own.

    A window of two files would show two of them.
    """
    square = {
        f"{i}.wav": np.where(np.arange(3000) % 2, 0.1 + 0.1 * i, -0.1 - 0.1 * i) for i in range(6)
    }
    c = corpus(make_folder(square), small_config)
    silence = c.distribution.silence
    for step in range(40):
        for x in c.batch(step).x:
            loudness = {
                abs(float(c.distribution.decode(np.array(code))))
                for code in np.unique(x)
                if code != silence
            }
            assert max(loudness) - min(loudness) < 0.04, loudness


def test_before_a_recording_there_is_silence_that_the_loss_leaves_out(
    training_folder: Path, small_config: Config
) -> None:
    c = corpus(training_folder, small_config)
    span = c.training[0]
    first = c.window(span, span.start)
    assert (first.x[:RECEPTIVE_FIELD] == c.distribution.silence).all()
    assert first.loss_mask.all()
    straddling = c.window(span, span.start - 100)
    assert straddling.loss_mask.tolist() == [0] * 100 + [1] * (small_config.segment_samples - 100)
    assert (straddling.x[: RECEPTIVE_FIELD + 100] == c.distribution.silence).all()


def test_a_short_recording_is_aligned_to_its_end(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    folder = make_folder({f"{i}.wav": tone(0.12, hertz=100 + 50 * i) for i in range(6)})
    c = corpus(folder, small_config, segment_seconds=0.2)
    batch = c.batch(0)
    segment = c.config.segment_samples
    assert batch.loss_mask.shape == (3, segment)
    assert (batch.loss_mask.sum(axis=1) == round(0.12 * 8000)).all()
    assert batch.loss_mask[:, -1].all()
    assert (batch.x[:, :RECEPTIVE_FIELD] == c.distribution.silence).all()


def test_every_sample_is_about_equally_likely(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    folder = make_folder({f"{i}.wav": noisy(0.5 if i else 2.0, seed=i) for i in range(4)})
    c = corpus(folder, small_config, validation_fraction=0.01, batch=50)
    seen = {s.offset: np.zeros(s.stop) for s in c.training}
    for step in range(60):
        for span, start in _drawn(c, step):
            seen[span.offset][max(start, 0) : start + c.config.segment_samples] += 1
    total = np.concatenate([v[200:-200] for v in seen.values()])
    assert total.min() > 0.4 * total.mean()
    edges = np.concatenate([v[:50] for v in seen.values()])
    assert edges.mean() > 0.4 * total.mean()


def _drawn(c: Corpus, step: int) -> list[tuple[object, int]]:
    drawn: list[tuple[object, int]] = []
    window = c.window

    def spy(span, start, gain):  # type: ignore[no-untyped-def]
        drawn.append((span, start))
        return window(span, start, gain)

    c.window = spy  # type: ignore[method-assign]
    c.batch(step)
    c.window = window  # type: ignore[method-assign]
    return drawn  # type: ignore[return-value]


def test_duplicates_stay_on_one_side(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(8)}
    files |= {f"copy{i}.wav": noisy(0.5, seed=i) for i in range(8)}
    for fraction in (0.1, 0.2, 0.4):
        c = corpus(make_folder(files), small_config, validation_fraction=fraction)
        held = {s.offset for s in c.validation}
        assert held
        assert held.isdisjoint({s.offset for s in c.training})


def test_one_short_clip_is_not_validation_enough(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    files = {f"{i}.wav": noisy(3.0, seed=i) for i in range(8)} | {"jingle.wav": noisy(0.2, seed=9)}
    c = corpus(make_folder(files), small_config)
    assert sum(len(s) for s in c.validation) >= 3.0 * 8000


def test_held_out_files_hardly_change_when_one_is_added(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(30)}
    before = set(corpus(make_folder(files), small_config).held_out)
    files["new.wav"] = noisy(0.5, seed=99)
    after = set(corpus(make_folder(files), small_config).held_out)
    assert len(before) == 3
    assert len(before & after) >= 2


def test_too_few_files_fall_back_to_tails_with_a_note(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    c = corpus(make_folder({"a.wav": tone(0.5), "b.wav": noisy(0.5)}), small_config)
    assert "only 2 different recordings" in c.notes[0]
    assert [(s.start, s.stop) for s in c.validation] == [(3600, 4000)] * 2


def test_tails_are_the_last_tenth_with_the_files_own_past(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    wav = noisy(2.0)
    folder = make_folder({"a.wav": wav, "b.wav": noisy(1.5), "short.wav": noisy(0.9)})
    c = corpus(folder, small_config, validation="tails")
    assert [(s.start, s.stop) for s in c.validation] == [(14400, 16000), (10800, 12000)]
    assert [(s.start, s.stop) for s in c.training] == [(0, 14400), (0, 10800)]
    assert "1 shorter ones left out" in c.notes[0]
    window = c.window(c.validation[0], 14400)
    recorded = wav[14400 - RECEPTIVE_FIELD : 14400 + c.config.segment_samples].astype(np.float32)
    assert (window.x == c.distribution.encode(recorded)).mean() > 0.98
    with pytest.raises(CorpusError, match="needs recordings over 1 s"):
        corpus(make_folder({"s.wav": noisy(0.5)}, name="short"), small_config, validation="tails")


def test_validation_counts_every_held_out_sample_once(
    training_folder: Path, small_config: Config
) -> None:
    c = corpus(training_folder, small_config, validation_seconds=100)
    scored = sum(b.loss_mask.sum() for b in c.validation_batches())
    assert scored == sum(len(s) for s in c.validation)
    limited = corpus(training_folder, small_config, validation_seconds=0.1)
    assert sum(b.loss_mask.sum() for b in limited.validation_batches()) <= 0.1 * 8000


def test_fingerprint_follows_content(
    make_folder: Callable[..., Path], small_config: Config
) -> None:
    files = {f"{i}.wav": noisy(0.5, seed=i) for i in range(5)}
    renamed = {f"x{k}": v for k, v in files.items()}
    replaced = files | {"0.wav": noisy(0.5, seed=77)}
    a = corpus(make_folder(files, name="a"), small_config).fingerprint
    assert corpus(make_folder(renamed, name="b"), small_config).fingerprint == a
    assert corpus(make_folder(replaced, name="c"), small_config).fingerprint != a


def test_unigram_and_bigram_bits_match_the_published_ones() -> None:
    config = load("paper", ["train.validation=tails"])
    index = index_folder(STARTER / "speech" / "carlo", config.audio, trim=False)
    unigram, bigram = Corpus(index, config, 10).held_out_baselines()
    assert unigram == pytest.approx(7.86, abs=0.01)
    assert bigram == pytest.approx(5.34, abs=0.02)


def test_the_unigram_baseline_is_not_the_silence_at_the_starts_of_many_recordings(
    make_folder: Callable[..., Path], small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {
        f"{i:02}.wav": np.concatenate([np.zeros(2000), noisy(0.6, seed=i), np.zeros(2000)])
        for i in range(40)
    }
    untrimmed = replace(small_config, audio=replace(small_config.audio, trim=False))
    c = corpus(make_folder(sound), untrimmed, validation_fraction=0.1)
    bits = c.unigram_bits()
    monkeypatch.setattr("wavenet.data.dataset.STATISTICS_SPANS", 5)
    read: list[int] = []
    wav = c._wav

    def spy(start, stop):  # type: ignore[no-untyped-def]
        read.append(stop - start)
        return wav(start, stop)

    c._wav = spy  # type: ignore[method-assign]
    assert c.unigram_bits() == pytest.approx(bits, abs=0.1)
    assert 3 <= len(read) <= 5
    read.clear()
    monkeypatch.setattr("wavenet.data.dataset.STATISTICS_SAMPLES", 5 * 1000)
    # None of the silence is counted now.
    assert c.unigram_bits() > bits + 0.5
    assert max(read) <= 5000 // len(read) <= 1700
