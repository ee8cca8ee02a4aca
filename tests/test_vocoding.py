"""Recordings resynthesised: alone and in batches, from audio and from frames, and refusals."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import wavenet
from tests.conftest import BOTH, SMALL, VOCODER, VOICES, as_checkpoint, network, noisy, tone
from wavenet.audio import mel
from wavenet.cli import vocode as vocode_command
from wavenet.cli.vocode import VocodeOptions, outputs, vocode
from wavenet.config import ModelConfig
from wavenet.errors import EngineError, WavenetError
from wavenet.generation.mel_input import MelInput
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.base import Sampling

RATE = 8000


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return as_checkpoint(network(VOCODER))


def saved(config: ModelConfig, folder: Path) -> Path:
    path = folder / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(config)))
    return path


def wavs(*samples: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [
        noisy(n / RATE, seed=i, amplitude=0.3).astype(np.float32) for i, n in enumerate(samples)
    ]


@pytest.mark.parametrize(
    ("config", "label"), [(VOCODER, None), (BOTH, "bob")], ids=["mel", "labels and mel"]
)
def test_streams_of_different_length_are_what_each_would_be_alone(
    config: ModelConfig, label: str | None
) -> None:
    model = as_checkpoint(network(config))
    sources = wavs(700, 33, 1500, 1, 700)
    together = wavenet.vocode(model, sources, seed=4, label=label)
    assert [len(w) for w in together] == [700, 33, 1500, 1, 700]
    for source, stream in zip(sources, together, strict=True):
        alone = wavenet.vocode(model, source, seed=4, label=label)
        assert (np.asarray(alone) == stream).all()
    # The two are as long, but follow different frames.
    assert (together[0] != together[4]).any()
    assert wavenet.vocode(model, []) == []


def test_a_vocoder_that_knows_labels_needs_one() -> None:
    model = as_checkpoint(network(BOTH))
    with pytest.raises(EngineError, match="this model knows labels: choose one, --label ada, bob"):
        wavenet.vocode(model, wavs(100)[0])
    ada, bob = (
        np.asarray(wavenet.vocode(model, wavs(300)[0], label=who)) for who in ("ada", "bob")
    )
    assert (ada != bob).any()


def test_a_quiet_recording_comes_out_as_quiet(model: Checkpoint) -> None:
    """With `audio.level = "peak"` the network works at full level; the gain is then undone."""
    config = replace(model.config, audio=replace(model.config.audio, level="peak"))
    levelled = replace(model, config=config)
    (wav,) = wavs(400)
    loud = np.asarray(wavenet.vocode(levelled, wav, seed=1))
    quiet = np.asarray(wavenet.vocode(levelled, wav * np.float32(2**-7), seed=1))
    np.testing.assert_allclose(np.clip(quiet * 2**7, -1, 1), loud, atol=1e-3)
    assert np.abs(loud).max() > 0.1


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (np.zeros(0, np.float32), "wav: holds no samples"),
        (np.full(50, np.nan, np.float32), "wav: holds NaN or infinite samples"),
        (np.full(50, 30000, np.int16), "wav: holds int16 numbers; give floats in -1 ... 1"),
    ],
)
def test_audio_that_cannot_be_followed_is_refused(
    model: Checkpoint, wav: np.ndarray, message: str
) -> None:  # type: ignore[type-arg]
    with pytest.raises(WavenetError, match=message):
        wavenet.vocode(model, wav)


def test_square_frames_are_read_as_documented(model: Checkpoint) -> None:
    frames = np.random.default_rng(0).uniform(-11, 1, (6, 6)).astype(np.float32)
    assert (MelInput.from_frames(frames, model, "f.npy").frames == frames).all()


def test_nothing_is_written_when_something_is_wrong(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    path, folder = saved(BOTH, tmp_path), make_folder({"a.wav": tone(0.1), "b.wav": tone(0.1)})
    inputs, out = (folder / "a.wav", folder / "b.wav"), tmp_path / "out"
    for label, sampling in (("eve", Sampling()), (None, Sampling()), ("bob", Sampling(top_p=0.5))):
        # A mixture has no top-p.
        wrong = saved(replace(BOTH, output="logistic"), tmp_path) if sampling.top_p < 1 else path
        with pytest.raises(WavenetError):
            list(vocode(VocodeOptions(wrong, inputs, sampling, 1, "auto", out, label)))
        assert not out.exists()


def test_ctrl_c_keeps_what_was_generated(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = saved(VOCODER, tmp_path), make_folder({"a.wav": tone(1.0), "b.wav": tone(1.0)})
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(self: Sampler, samples: list[int], block: int = 100) -> Iterator[object]:
        blocks = uninterrupted(self, samples, 100)
        yield next(blocks)
        raise KeyboardInterrupt

    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    inputs, out = (folder / "a.wav", folder / "b.wav"), tmp_path / "out"
    lines = list(vocode(VocodeOptions(path, inputs, Sampling(), 1, "auto", out)))
    assert lines[-1] == "interrupted: what was made until then is kept"
    assert len(sf.read(out / "a-vocoded.wav")[0]) == 100


def test_variable_length_blocks_of_any_size_make_the_same(model: Checkpoint) -> None:
    mel_inputs = [MelInput.from_audio(w, model, "wav") for w in wavs(300, 41)]

    def generated(block: int) -> list[np.ndarray]:  # type: ignore[type-arg]
        sampler = Sampler(model, seed=1, mel_inputs=mel_inputs)
        parts: list[list[np.ndarray]] = [[], []]  # type: ignore[type-arg]
        for blocks in sampler.variable_length_blocks([300, 41], block):
            for stream, wav in blocks:
                parts[stream].append(wav)
        return [np.concatenate(p) for p in parts]

    for a, b in zip(generated(7), generated(2048), strict=True):
        assert (a == b).all()


def test_frames_computed_elsewhere_act_as_those_of_the_recording(
    model: Checkpoint, tmp_path: Path
) -> None:
    (wav,) = wavs(500)
    frames = mel.frames_of(wav, RATE, VOCODER)
    by_audio = np.asarray(wavenet.vocode(model, wav, seed=2))
    by_frames = np.asarray(wavenet.vocode(model, frames, seed=2))
    assert len(by_frames) == len(frames) * VOCODER.mel_hop
    assert (by_frames[:500] == by_audio).all()
    # librosa has (bands, frames).
    np.save(tmp_path / "f.npy", frames.T)
    mel_input = MelInput.read(tmp_path / "f.npy", model)
    assert (mel_input.frames == frames).all()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            np.zeros((10, 7)),
            r"is of shape \(10, 7\); this model follows \(frames, 6\) natural logarithms "
            "of 6 mel magnitudes every 8",
        ),
        (np.zeros(10), "is of shape"),
        (np.zeros((0, 6)), "is of shape"),
        (np.full((10, 6), np.nan), "something other than finite numbers"),
        (np.full((10, 6), "x"), "something other than finite numbers"),
        (np.linspace(-80, 0, 60).reshape(10, 6), r"values from -80 to 0.*decibels\?"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    model: Checkpoint, frames: np.ndarray, message: str
) -> None:  # type: ignore[type-arg]
    with pytest.raises(EngineError, match=message):
        MelInput.from_frames(frames, model, "f.npy")


def test_files_that_hold_no_frames_are_refused(model: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    np.savez(tmp_path / "z.npz", a=np.zeros((10, 6)))
    for content in (b"", b"nothing like it", b"\x93NUMPY", (tmp_path / "z.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(WavenetError, match=r"f.npy: not a .npy file of numbers"):
            MelInput.read(path, model)
    # Nothing is ever unpickled.
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(WavenetError, match=r"not a [.]npy file of numbers"):
        MelInput.read(path, model)
    with pytest.raises(WavenetError, match="no such file"):
        MelInput.read(tmp_path / "no.npy", model)


def test_what_a_model_was_not_trained_for_is_refused(model: Checkpoint) -> None:
    plain = as_checkpoint(network(SMALL))
    with pytest.raises(EngineError, match="trained without mel frames"):
        wavenet.vocode(plain, wavs(100)[0])
    with pytest.raises(EngineError, match=r"follows mel frames: `wavenet vocode`"):
        wavenet.generate(model, seconds=0.1)
    with pytest.raises(EngineError, match="trained without labels"):
        wavenet.generate(plain, seconds=0.1, label="ada")
    message = r"--label bop: unknown; the model knows ada, bob, cy; did you mean bob\?"
    with pytest.raises(EngineError, match=message):
        wavenet.generate(as_checkpoint(network(VOICES)), seconds=0.1, label="bop")


def test_clips_take_labels_in_turn_and_a_stream_is_its_label_and_number() -> None:
    voices = as_checkpoint(network(VOICES))
    sampler = Sampler(voices, seed=1, count=5)
    assert sampler.labels == ["ada", "bob", "cy", "ada", "bob"]
    (together,) = sampler.blocks(300)
    bob = Sampler(voices, seed=1, count=5, labels=["bob"])
    (only,) = bob.blocks(300)
    assert (together[1] == only[1]).all()
    assert (together[4] == only[4]).all()
    assert (together[0] != only[0]).any()
    assert (wavenet.generate(voices, seconds=300 / RATE, seed=1, label="ada") == together[0]).all()


def test_a_prompt_is_continued_under_each_label(make_folder: Callable[..., Path]) -> None:
    voices = as_checkpoint(network(VOICES))
    prompt = make_folder({"p.wav": tone(0.05)}) / "p.wav"
    ada, bob = (
        wavenet.generate(voices, seconds=0.02, seed=1, label=who, prompt=prompt)
        for who in ("ada", "bob")
    )
    assert (ada != bob).any()
    continued = read_prompt(prompt, voices)
    sampler = Sampler(voices, seed=1, count=2, labels=["ada"], prompt=continued)
    assert (next(sampler.blocks(160))[0] == ada).all()


def test_vocode_writes_one_file_or_a_folder(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    path = saved(BOTH, tmp_path)
    folder = make_folder(
        {"a.wav": tone(0.1), "b.wav": noisy(0.05), "quiet.wav": 0.001 * tone(0.02)}
    )
    np.save(folder / "c.npy", mel.frames_of(tone(0.03).astype(np.float32), RATE, BOTH))
    inputs = tuple(folder / n for n in ("a.wav", "b.wav", "c.npy", "quiet.wav"))
    options = VocodeOptions(path, inputs, Sampling(), 3, "auto", tmp_path / "out", "bob")
    lines = list(vocode(options))
    assert "numba engine" in lines[0]
    assert "seed 3" in lines[0]
    for source, seconds in zip(inputs, (0.1, 0.05, None, 0.02), strict=True):
        wav, rate = sf.read(tmp_path / "out" / f"{source.stem}-vocoded.wav")
        assert rate == RATE
        assert seconds is None or len(wav) == round(seconds * RATE)
        assert any(source.name in line for line in lines)
    alone = tmp_path / "alone.flac"
    list(vocode(VocodeOptions(path, (inputs[1],), Sampling(), 3, "numba", alone, "bob")))
    by_itself, among_others = sf.read(alone)[0], sf.read(tmp_path / "out" / "b-vocoded.wav")[0]
    # flac and wav are rounded to 16 bits in their own ways.
    np.testing.assert_allclose(by_itself, among_others, atol=2**-14)


def test_recordings_are_resynthesized_in_groups_of_similar_length(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(VOCODER, tmp_path)
    folder = make_folder({f"{i}.wav": noisy((50 + 40 * i) / RATE, seed=i) for i in range(5)})
    inputs = tuple(sorted(folder.glob("*.wav")))
    at_once = tmp_path / "at-once"
    list(vocode(VocodeOptions(path, inputs, Sampling(), 3, "auto", at_once)))
    monkeypatch.setattr(vocode_command, "MAX_STREAMS", 2)
    groups = tmp_path / "groups"
    list(vocode(VocodeOptions(path, inputs, Sampling(), 3, "auto", groups)))
    for a, b in zip(sorted(at_once.iterdir()), sorted(groups.iterdir()), strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert len(list(at_once.iterdir())) == 5


def test_outputs_never_overwrite_inputs_or_each_other(tmp_path: Path) -> None:
    a, other = tmp_path / "a.wav", tmp_path / "sub" / "a.wav"
    assert outputs((a,), None) == [Path("a-vocoded.wav")]
    assert outputs((a,), tmp_path) == [tmp_path / "a-vocoded.wav"]
    with pytest.raises(WavenetError, match="is an input itself"):
        outputs((a,), a)
    with pytest.raises(WavenetError, match="two inputs of the same name"):
        outputs((a, other), tmp_path)
    with pytest.raises(WavenetError, match="is one file for 2 inputs; name a folder"):
        outputs((a, other), tmp_path / "x.wav")
    with pytest.raises(WavenetError, match="cannot write this kind of file"):
        outputs((a,), tmp_path / "x.txt")
