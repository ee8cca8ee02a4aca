"""Runs of networks that follow frames of every kind: begun, resumed, changed, begun from others."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import (
    EVERYTHING,
    FOLLOWING,
    fails,
    last,
    noisy,
    tone,
    train_run,
    wavenet,
    write_beside,
)
from wavenet.audio import pitch
from wavenet.config import Config, ModelConfig
from wavenet.config.model import without_found
from wavenet.errors import ChangedRunError, ConfigError, CorpusError, RunError
from wavenet.glossary import Array
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.segments import PLACES
from wavenet.training.run_folder import Run

HOP = 40
Begin = Callable[..., tuple[Run, str]]


def sized(model: ModelConfig) -> ModelConfig:
    """Without what is found in recordings, and with frames far enough apart to be quick."""
    return without_found(replace(model, frame_hop=HOP, frame_window=64))


ALL = sized(EVERYTHING)


@pytest.fixture(autouse=True)
def quick_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    def track(wav: Array, _rate: int, hop: int, *_: float) -> Array:
        at = np.arange(1 + len(wav) // hop)
        return np.stack([60 + at % 7, at % 10 > 1], axis=1).astype(np.float32)

    def tracks(pcms: Iterable[tuple[str, Array]], *how: Any) -> Iterator[tuple[str, Array]]:
        return ((name, track(pcm, *how[:2])) for name, pcm in pcms)

    monkeypatch.setattr(pitch, "track", track)
    monkeypatch.setattr(pitch, "tracks", tracks)


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """Recordings of two voices with features and segments beside them."""
    wavs = {
        f"{who}/{i}.wav": tone(0.4, hertz=hertz + 9 * i) + noisy(0.4, seed=i, amplitude=0.02)
        for who, hertz in (("ada", 220), ("bob", 330))
        for i in range(3)
    }
    return write_beside(make_folder(wavs), replace(EVERYTHING, frame_hop=HOP, frame_window=64))


@pytest.fixture
def begin(folder: Path, small_config: Config, tmp_path: Path) -> Begin:
    """begin(name, model, *settings, **more): a run of ten steps or fewer."""

    def run(name: str, model: ModelConfig = ALL, *settings: str, **more: Any) -> tuple[Run, str]:
        path = tmp_path / "following.toml"
        train = replace(small_config.train, sample_seconds=0.05)
        path.write_text(replace(small_config, model=model, train=train).to_toml())
        return train_run(folder, tmp_path / name, *settings, config=str(path), **more)

    return run


def assert_same(a: Model, b: Model) -> None:
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name], err_msg=name)


def test_a_resumed_run_of_all_there_is_equals_an_uninterrupted_one(begin: Begin) -> None:
    settings = ("train.input_noise=6", "train.augment_pitch=3")
    whole, shown = begin("whole", ALL, *settings)
    assert (
        "frames     4 mel bands from 0 to 4000 Hz, pitch from 200 to 800 Hz, A-weighted loudness, "
        "3 features, segments of 2 labels, every 40 samples (5.0 ms)"
    ) in shown
    assert "trimmed    nothing, because features are of whole files" in shown
    assert list(whole.samples.glob("*.wav"))
    begin("half", ALL, *settings, stop_at=5)
    # What was found is in the run, and need not be named again.
    half, _ = train_run(None, whole.folder.parent / "half")
    a, b = last(whole), last(half)
    assert_same(a, b)
    assert a.training.pitch == b.training.pitch == (59, 67)
    assert a.training.loudness == b.training.loudness is not None
    assert a.training.mel == b.training.mel is not None
    model = a.config.model
    assert (model.labels, model.features_width) == (("ada", "bob"), 3)
    assert model.segment_labels == ("one", "two")
    # Statistics of features are not trained.
    for name in ("mean", "deviation"):
        arrays = [a.arrays[f"{part}.conditioner.features.{name}"] for part in ("model", "average")]
        assert (arrays[0] == arrays[1]).all()
        assert not np.allclose(arrays[0], float(name == "deviation"))
    # The same config again is no change.
    _, notes = begin("whole", ALL, *settings)
    assert "is at step 10 already" in notes


@pytest.mark.parametrize("kind", ["pitch", "loudness", "features", "segments"])
def test_each_kind_trains_and_is_scored_alike_by_all(
    kind: str, begin: Begin, folder: Path, tmp_path: Path
) -> None:
    run, shown = begin("run", sized(FOLLOWING[kind]))
    typed = {"pitch": "'C4:0.5 E4 G4:1'", "segments": "one:0.5", "features": "FEATURES.npy"}
    assert f"wavenet play {run.folder} {typed.get(kind, 'RECORDING')}" in shown
    out = tmp_path / "played.wav"
    source = folder / "ada" / "0.wav"
    result = wavenet("play", run.folder, source, "--seed", 1, "-o", out)
    assert result.exit_code == 0, result.output
    assert len(sf.read(out)[0]) == 3200
    bits = []
    for engine in ("parallel", "numba"):
        result = wavenet("evaluate", run.folder, folder / "ada", "--engine", engine, "--json")
        assert result.exit_code == 0, result.output
        bits.append(json.loads(result.stdout)["bits_per_sample"])
    assert bits[0] == pytest.approx(bits[1], rel=1e-5)
    # What it does not know, or what is not beside a recording, cannot be scored.
    if kind == "segments":
        (folder / "ada" / "0.csv").write_text("0,0.1,three\n")
        line = fails("evaluate", run.folder, folder / "ada")
        assert "has a segment three, which this network does not know (one, two)" in line
    if kind == "features":
        np.save(folder / "ada" / "0.npy", np.zeros((81, 4)))
        line = fails("evaluate", run.folder, folder / "ada")
        assert "has 4 features, and this network follows 3" in line
    (folder / "lone").mkdir()
    sf.write(folder / "lone" / "a.wav", tone(0.3), 8000)
    lone = wavenet("evaluate", run.folder, folder / "lone")
    assert lone.exit_code == (1 if kind in ("features", "segments") else 0)
    assert "Traceback" not in lone.output


def test_features_and_segments_that_change_are_noticed(begin: Begin, folder: Path) -> None:
    begin("run", ALL, stop_at=3)
    features = folder / "ada" / "0.npy"
    np.save(features, np.load(features) + np.float32(1))
    with pytest.raises(ChangedRunError, match=r"1 with other features \(ada/0.wav\)"):
        begin("run", stop_at=4)
    run, _ = begin("run", ALL, stop_at=4, accept_changes=True)
    (folder / "bob" / "1.csv").write_text("0,0.1,two\n")
    with pytest.raises(ChangedRunError, match=r"1 with other segments \(bob/1.wav\)"):
        begin("run", stop_at=5)
    (folder / "bob" / "1.csv").write_text("0,0.1,three\n")
    with pytest.raises(CorpusError, match="has a segment three, which this network does not know"):
        begin("run", stop_at=5)
    (folder / "bob" / "1.csv").write_text("0,0.1,two\n")
    np.save(features, np.zeros((81, 4)))
    with pytest.raises(CorpusError, match="has 4 features, and this network follows 3"):
        begin("run", stop_at=5)
    with pytest.raises(RunError, match=r"model.conditioning: .*, which cannot change"):
        train_run(None, run.folder, "model.conditioning=pitch")


def test_a_killed_run_reads_again_what_is_beside_recordings(begin: Begin, folder: Path) -> None:
    """It has a config and no checkpoint."""
    run, _ = begin("run", ALL, stop_at=1)
    for step in locate.steps(run.checkpoints):
        locate.step_path(run.checkpoints, step).unlink()
    for path in folder.rglob("*.npy"):
        np.save(path, np.load(path)[:, :2])
    again, _ = train_run(None, run.folder, stop_at=1, accept_changes=True)
    assert last(again).config.model.features_width == 2


# --- from a trained model -------------------------------------------------------------------------

NEW = {
    "pitch": "model.conditioning=pitch",
    "loudness": "model.conditioning=loudness",
    "features": "model.conditioning=features",
    "segments": "model.conditioning=segments",
    "all": "model.conditioning=label,pitch,loudness,features,segments",
}
FRAMES = ("model.frame_hop=40", "model.frame_window=64", "model.pitch_high_hz=1000")
QUICK = ("train.steps=2", "train.evaluate_every=2", "train.sample_seconds=0")


def first_bits(run: Run) -> float:
    return float(run.metrics()[0]["validation_bits"])


def fine_tuned(folder: Path, base: Run, name: str, *settings: str, **more: Any) -> Run:
    init_from = f"train.init_from={base.folder}"
    return train_run(folder, base.folder.parent / name, init_from, *QUICK, *settings, **more)[0]


@pytest.mark.parametrize("with_mel", [False, True], ids=["nothing", "mel"])
def test_every_kind_begins_as_good_as_a_base_without_it(
    begin: Begin, folder: Path, with_mel: bool
) -> None:
    plain = replace(ALL, conditioning=(), label_channels=0, mel_bands=4 * with_mel)
    # Nothing is trimmed where features are, so the base is scored untrimmed.
    base, _ = begin("base", plain, "audio.trim=false")
    expected = last(base).training.validation_bits
    for kind, setting in NEW.items():
        if with_mel:
            setting = setting.replace("=", "=mel,")
        run = fine_tuned(folder, base, kind, setting, *FRAMES[2 * with_mel :])
        # The labels may hold out others.
        if kind != "all":
            assert first_bits(run) == pytest.approx(expected, abs=1e-5)
        model = run.config().model
        assert model.conditioning == last(run).config.model.conditioning
        assert ("mel" in model.conditioning) == with_mel
        before, after = last(base).weights, last(run).weights
        assert any((before[k] != after[k]).any() for k in before if k in after)


def test_a_preset_of_the_same_network_names_what_is_new(
    begin: Begin,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_config: Config,
) -> None:
    base, _ = begin("base", replace(ALL, conditioning=(), label_channels=0, mel_bands=0))
    presets = tmp_path / "presets"
    presets.mkdir()
    own = replace(
        small_config, model=sized(FOLLOWING["pitch and loudness"]), name="flute"
    ).to_toml()
    (presets / "flute.toml").write_text(own)
    monkeypatch.setattr("wavenet.config.loading.preset_folder", lambda: presets)
    run = fine_tuned(folder, base, "flute-run", config="flute")
    assert run.config().model.conditioning == ("pitch", "loudness")
    assert run.config().name == "flute"
    assert first_bits(run) == pytest.approx(last(base).training.validation_bits, abs=1e-5)


def test_a_base_of_features_and_segments_is_trained_further(
    begin: Begin, folder: Path, make_folder: Callable[..., Path]
) -> None:
    model = replace(ALL, conditioning=("features", "segments"), label_channels=0, mel_bands=0)
    base, _ = begin("base", model)
    run = fine_tuned(folder, base, "again")
    assert first_bits(run) == pytest.approx(last(base).training.validation_bits, abs=1e-5)
    assert run.config().model.segment_labels == ("one", "two")
    for name in ("mean", "deviation"):
        key = f"conditioner.features.{name}"
        np.testing.assert_array_equal(last(run).weights[key], last(base).weights[key])
    # Segments of other labels, one of which it knows.
    for path in folder.rglob("*.csv"):
        path.write_text(path.read_text().replace("one", "three"))
    other = fine_tuned(folder, base, "other", "train.learning_rate=1e-9")
    assert last(other).config.model.segment_labels == ("three", "two")
    (_, three, two, _), (_, one, before, _) = (
        np.split(last(r).weights["conditioner.segments.weight"], PLACES * np.arange(1, 4), axis=1)
        for r in (other, base)
    )
    np.testing.assert_allclose(two, before, atol=1e-6)
    np.testing.assert_allclose(three, (one + before) / 2, atol=1e-6)
    # Killed before its first checkpoint, it begins again.
    for step in locate.steps(other.checkpoints):
        locate.step_path(other.checkpoints, step).unlink()
    train_run(None, other.folder, stop_at=1)
    # Features of another width are not for these weights.
    for path in folder.rglob("*.npy"):
        np.save(path, np.load(path)[:, :2])
    with pytest.raises(CorpusError, match="has 2 features, and this network follows 3"):
        fine_tuned(folder, base, "narrow")


def test_what_a_base_cannot_become_is_named(begin: Begin, folder: Path) -> None:
    base, _ = begin("base", sized(FOLLOWING["pitch and loudness"]))
    for setting, named in (
        ("model.frame_hop=20", "model.frame_hop: 40 -> 20"),
        ("model.frame_window=128", "model.frame_window: 64 -> 128"),
        ("model.frame_channels=6", "model.frame_channels: 5 -> 6"),
        ("model.pitch_low_hz=100", "model.pitch_low_hz: 200.0 -> 100.0"),
        ("model.conditioning=pitch", r"model.conditioning: \[.*\] -> \['pitch'\]"),
        ("model.conditioning=", r"model.conditioning: "),
    ):
        with pytest.raises(ConfigError, match=named):
            fine_tuned(folder, base, "other", setting)
    kept = fine_tuned(folder, base, "kept", "model.conditioning=pitch,loudness,segments")
    assert checkpoint.load(locate.find(kept.folder)).config.model.segment_labels == ("one", "two")
