"""Vocoders trained on mel frames that another program made: which, where, and how they go on."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from tests.helpers import VOCODER, as_checkpoint, fails, network, noisy, train_run, wavenet
from wavenet.audio import mel, mel_scales
from wavenet.audio.mel_scales import FLOOR
from wavenet.config import Config, TrainConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.loader import to_device
from wavenet.data.pcm_cache import index_folder
from wavenet.engines.options import EngineOptions
from wavenet.errors import ChangedRunError, ConfigError, CorpusError
from wavenet.evaluation.scorers import ScoredSegment, create_scorer
from wavenet.generation.conditions import Conditions
from wavenet.glossary import Array
from wavenet.model import checkpoint, locate

HOP = VOCODER.frame_hop
LENGTHS = (2400, 2801, 3203, 3500, 3999)


@pytest.fixture
def folders(make_folder: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Recordings, and a folder with the frames of each, some by time and some by band."""
    wavs = {f"{i}.wav": noisy(n / 8000, seed=i, amplitude=0.2) for i, n in enumerate(LENGTHS)}
    recordings, frames = make_folder(wavs), tmp_path / "frames"
    frames.mkdir()
    for i, (name, wav) in enumerate(wavs.items()):
        own = mel.frames_of(wav.astype(np.float32), 8000, VOCODER)
        np.save(frames / name.replace("wav", "npy"), own if i % 2 else own.T[None])
    return recordings, frames


@pytest.fixture
def config(small_config: Config) -> Config:
    audio = replace(small_config.audio, trim=False)
    return replace(small_config, model=VOCODER, audio=audio)


def opened(recordings: Path, config: Config, frames: Path | str = "") -> Corpus:
    config = replace(config, train=replace(config.train, frames_from=str(frames)))
    index = index_folder(recordings, config.audio, trim=config.trims)
    return Corpus.open(index, config)


def test_a_recordings_own_frames_act_as_if_they_were_computed(
    folders: tuple[Path, Path], config: Config
) -> None:
    given, computed = (
        WindowDataset(opened(folders[0], config, frames)) for frames in (folders[1], "")
    )
    assert given.corpus.fingerprint != computed.corpus.fingerprint
    net = network(VOCODER)
    for a, b in (
        *((given.batch(step), computed.batch(step)) for step in range(4)),
        *zip(given.validation_batches(), computed.validation_batches(), strict=True),
    ):
        assert (a.x == b.x).all()
        outputs = []
        for batch in (a, b):
            on_device = to_device(config, batch, torch.device("cpu"))
            with torch.no_grad():
                outputs.append(net(on_device.x[:, :-1], on_device.conditioning_input))
        # The cache holds 16 bits.
        torch.testing.assert_close(outputs[0], outputs[1], atol=3e-2, rtol=0)
        assert outputs[0].std() > 0.1


def test_louder_windows_have_frames_of_louder_sound(
    folders: tuple[Path, Path], config: Config
) -> None:
    louder = replace(config, train=replace(config.train, augment_gain_db=12.0))
    given, computed = (
        WindowDataset(opened(folders[0], louder, frames)) for frames in (folders[1], "")
    )
    for step in range(4):
        frames = [
            to_device(louder, dataset.batch(step), torch.device("cpu")).conditioning_input
            for dataset in (given, computed)
        ]
        a, b = (inputs.values["mel"].numpy() for inputs in frames if inputs)
        low, last = given.batch(step).conditioning_input.frame_range.T
        assert a.shape == b.shape
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            # Frames outside the recording are not those of silence, but never read either.
            numbers = low[i] - VOCODER.frame_context + np.arange(len(x))
            inside = (numbers >= 0) & (numbers <= last[i])
            np.testing.assert_allclose(x[inside], y[inside], atol=0.15)


def test_recordings_are_scored_alike_in_parallel_and_by_engines(
    folders: tuple[Path, Path], config: Config
) -> None:
    recordings, frames = folders
    # Frames of other sound, so that computing them would show.
    for path in frames.iterdir():
        np.save(path, np.load(path)[..., ::-1] - np.float32(0.5))
    corpus = opened(recordings, config, frames)
    model = as_checkpoint(network(VOCODER))
    span = corpus.training[0]
    source = corpus.source(span)
    x = corpus.distribution.encode(source.pcm / np.float32(32768))
    for begin in (0, 100 * HOP):
        segments = [
            ScoredSegment(s, begin, x[begin:], 40) for s in (source, source._replace(tracks={}))
        ]
        nats, computed = (
            [create_scorer(model, e, "auto", EngineOptions())(s) for e in ("parallel", "numba")]
            for s in segments
        )
        assert nats == pytest.approx([nats[0]] * 2, rel=1e-5)
        assert abs(nats[0] - computed[0]) > 1e-3 * abs(nats[0])


def test_a_preview_begins_with_the_frame_of_its_first_sample(
    folders: tuple[Path, Path], config: Config
) -> None:
    corpus = opened(*folders[:1], config, folders[1])
    source = corpus.source(corpus.training[0])
    conditions = Conditions.from_source(source, 5 * HOP, 100, config)
    assert (conditions.values["mel"] == source.tracks["mel"](5, 5 + 1 + 100 // HOP)).all()
    assert conditions.samples == 100


def test_a_run_goes_on_as_if_uninterrupted_and_refuses_other_frames(
    folders: tuple[Path, Path], config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings, frames = folders
    path = tmp_path / "vocoder.toml"
    train = replace(config.train, sample_seconds=0.05)
    path.write_text(replace(config, train=train).to_toml())
    monkeypatch.chdir(tmp_path)
    settings = ("train.frames_from=frames",)
    whole, shown = train_run(recordings, tmp_path / "whole", *settings, config=str(path))
    assert f"every 8 samples (1.0 ms), from {frames}" in shown
    assert list(whole.samples.glob("*.wav"))
    train_run(recordings, tmp_path / "two", *settings, config=str(path), stop_at=5)
    # The folder's path is absolute in the run.
    monkeypatch.chdir("/")
    two, _ = train_run(None, tmp_path / "two")
    a, b = (run.latest() for run in (whole, two))
    assert a is not None and b is not None  # noqa: PT018
    assert a.arrays.keys() == b.arrays.keys()
    assert all((a.arrays[k] == b.arrays[k]).all() for k in a.arrays)
    assert a.training.mel == b.training.mel is not None
    # The same frames in another place are no change, and other ones are one wherever they lie.
    moved = frames.rename(tmp_path / "moved")
    with pytest.raises(CorpusError, match="no such folder of frames"):
        train_run(None, tmp_path / "two")
    two, _ = train_run(None, tmp_path / "two", f"train.frames_from={moved}")
    assert two.config().train.frames_from == str(moved)
    frames = moved
    np.save(frames / "1.npy", np.load(frames / "1.npy") + np.float32(0.01))
    with pytest.raises(ChangedRunError, match=r"1 with other mel frames \(1.wav\)"):
        train_run(None, tmp_path / "two")
    train_run(None, tmp_path / "two", accept_changes=True)


def test_recordings_without_frames_are_skipped_and_wrong_frames_are_refused(
    folders: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    recordings, frames = folders
    (frames / "3.npy").unlink()
    corpus = opened(recordings, config, frames)
    assert [r.name for r in corpus.index.recordings] == ["0.wav", "1.wav", "2.wav", "4.wav"]
    assert [(s.name, s.reason) for s in corpus.index.skipped] == [
        ("3.wav", f"has no frames: no {frames}/3.npy")
    ]
    right = np.load(frames / "1.npy")
    longer = np.concatenate([right, right[-3:]])

    def refused(*wrong: tuple[str, Array]) -> CorpusError:
        for name, array in wrong:
            np.save(frames / name, array)
        with pytest.raises(CorpusError) as e:
            opened(recordings, config, frames)
        np.save(frames / "1.npy", right)
        return e.value

    for array, reason in (
        (longer, "holds 354 frames, and 1.wav, 2801 samples at 8000 Hz, has 351"),
        (right[:-3], "holds 348 frames"),
        (right[:, :5], r"is of shape (351, 5)"),
        (np.where(right < -5, np.nan, right), "finite"),
        (8.7 * right, "decibels"),
        (np.exp(right), "magnitudes"),
    ):
        error = refused(("1.npy", array))
        assert reason in error.reason
        assert error.subject == frames / "1.npy"
    np.save(frames / "1.npy", longer[:-1])
    opened(recordings, config, frames)
    both = refused(("0.npy", 8.7 * np.load(frames / "0.npy")), ("1.npy", 8.7 * right))
    assert both.reason.endswith("; 1 more files are wrong")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(CorpusError, match="frames of none of 5 recordings"):
        opened(recordings, config, tmp_path / "nothing")
    with pytest.raises(CorpusError, match="no such folder of frames"):
        opened(recordings, config, tmp_path / "nowhere")


def test_frames_beside_recordings_in_folders_and_of_those_that_are_resampled(
    make_folder: Callable[..., Path], config: Config
) -> None:
    wavs = {f"{who}/{i}.wav": noisy(0.3, 16000, seed=i) for who in "ab" for i in range(2)}
    folder = make_folder(wavs, 16000)
    for name in wavs:
        # 0.3 s are 2400 samples at the model's rate.
        frames = np.random.default_rng(0).uniform(-9, 1, (300, VOCODER.mel_bands))
        np.save((folder / name).with_suffix(".npy"), frames.astype(np.float32))
    corpus = opened(folder, config, folder)
    assert corpus.tracks["mel"].keys() == wavs.keys()
    rows = corpus.tracks["mel"]["b/1.wav"].rows(-2, 303)
    assert rows.shape == (305, VOCODER.mel_bands)
    # Beyond the ends the outer ones hold.
    assert (rows[:3] == rows[2]).all()
    assert (rows[-4:] == rows[-4]).all()


def test_frames_are_of_the_recording_as_it_was_before_it_was_scaled_down_to_fit(
    make_folder: Callable[..., Path], config: Config
) -> None:
    wav = np.clip(noisy(0.4, seed=1, amplitude=0.4) * 3, -3, 3)
    folder = make_folder({f"{i}.wav": wav[i:] for i in range(4)})
    for i in range(4):
        frames = mel.frames_of(wav[i:].astype(np.float32), 8000, VOCODER)
        np.save(folder / f"{i}.npy", frames)
    corpus = opened(folder, config, folder)
    recording = corpus.index.recordings[0]
    assert recording.gain_db < -3
    pcm = corpus.index.pcm(recording).astype(np.float32) / 32768
    computed = mel.frames_of(pcm, 8000, VOCODER)
    np.testing.assert_allclose(
        corpus.tracks["mel"]["0.wav"].rows(0, len(computed)), computed, atol=0.05
    )


def test_silence_stays_silence_when_frames_are_made_louder() -> None:
    frames = np.array([[FLOOR, -5.0]], np.float32)
    louder = mel_scales.louder(frames, math.log(2))
    np.testing.assert_allclose(louder, [[FLOOR, -5 + math.log(2)]], rtol=1e-6)


def test_settings_that_would_part_frames_from_recordings(config: Config) -> None:
    assert replace(config, audio=replace(config.audio, trim=True)).trims
    given = replace(
        config, audio=replace(config.audio, trim=True), train=TrainConfig(frames_from="f")
    )
    assert not given.trims
    with pytest.raises(ConfigError, match=r"audio\.level = none"):
        replace(given, audio=replace(given.audio, level="peak"))


def test_a_run_keeps_what_its_frames_are_like_and_an_earlier_one_gains_it(
    folders: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "vocoder.toml"
    path.write_text(config.to_toml())
    run, _ = train_run(folders[0], tmp_path / "run", config=str(path), stop_at=3)
    begun = checkpoint.load(locate.find(run.folder), resume=True)
    own = mel_scales.statistics(mel.frames_of(noisy(0.35).astype(np.float32), 8000, VOCODER))
    assert begun.training.mel is not None
    assert own is not None
    # Noise at twice the level.
    assert begun.training.mel.middle == pytest.approx(own.middle + math.log(2), abs=0.2)
    other = replace(begun.training.mel, high=-0.5)
    for stop_at, (before, after) in enumerate(((None, begun.training.mel), (other, other)), 4):
        latest = run.latest()
        assert latest is not None
        changed = replace(latest, training=replace(latest.training, mel=before))
        run.save(changed)
        train_run(None, run.folder, stop_at=stop_at)
        latest = run.latest()
        assert latest is not None
        assert (latest.training.step, latest.training.mel) == (stop_at, after)


def test_a_model_trained_on_frames_says_what_it_is_scored_and_played_with(
    folders: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    recordings, frames = folders
    path, run = tmp_path / "vocoder.toml", tmp_path / "run"
    path.write_text(config.to_toml())
    plain = tmp_path / "plain.toml"
    plain.write_text(
        replace(config, model=replace(VOCODER, mel_bands=0, conditioning=())).to_toml()
    )
    train = ("train", recordings, "--frames-from", frames)
    assert "this configuration follows no mel frames" in fails(*train, "-c", plain, "-o", run)
    assert wavenet(*train, "-c", path, "-o", run).exit_code == 0
    assert locate.find(run).exists()
    own = wavenet("evaluate", run, recordings, "--vocoded", 1)
    note = f"note: the model was trained on frames from {frames}, these are computed"
    assert own.stdout.startswith(note), own.output
    given = wavenet("evaluate", run, recordings, "--vocoded", 1, "--frames-from", frames)
    assert given.exit_code == 0, given.output
    assert "note: the model was trained on frames" not in given.stdout
    out = tmp_path / "x.wav"
    played = wavenet("vocode", run, recordings / "0.wav", "--seed", 1, "-o", out)
    assert "those of recordings are computed from their audio" in played.stdout
    played = wavenet("vocode", run, frames / "1.npy", "--seed", 1, "-fo", out)
    assert "note:" not in played.stdout
    assert len(sf.read(out)[0]) == 351 * HOP
