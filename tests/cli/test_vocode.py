"""`wavenet vocode`: one file or a folder, in batches, and nothing overwritten."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import BOTH, VOCODER, as_checkpoint, matches, network, noisy, tone, wavenet
from wavenet.audio import mel, writing
from wavenet.cli import follow
from wavenet.config import ModelConfig
from wavenet.errors import AudioError
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint

RATE = 8000


def saved(config: ModelConfig, folder: Path) -> Path:
    path = folder / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(config)))
    return path


def test_several_inputs_are_written_into_a_folder_as_each_would_be_alone(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    path, out = saved(BOTH, tmp_path), tmp_path / "out"
    recordings = {"a.wav": tone(0.1), "b.wav": noisy(0.05), "quiet.wav": 0.001 * tone(0.02)}
    folder = make_folder(recordings)
    np.save(folder / "c.npy", mel.frames_of(tone(0.03).astype(np.float32), RATE, BOTH))
    inputs = [folder / name for name in (*recordings, "c.npy")]
    options = ("--label", "bob", "--seed", 3)
    printed = wavenet("vocode", path, *inputs, *options, "-o", out).stdout
    transcript = f"""numba engine (...), checkpoint of step 0, seed 3
{out}/a-vocoded.wav  0.10 s, after {folder}/a.wav, bob
{out}/b-vocoded.wav  0.05 s, after {folder}/b.wav, bob
{out}/quiet-vocoded.wav  0.02 s, after {folder}/quiet.wav, bob
{out}/c-vocoded.wav  0.03 s, after {folder}/c.npy, bob
"""
    assert matches(printed, transcript), printed
    for name, wav in recordings.items():
        info = sf.info(out / name.replace(".", "-vocoded."))
        assert (info.frames, info.samplerate) == (len(wav), RATE)
    alone = tmp_path / "alone.flac"
    wavenet("vocode", path, inputs[1], *options, "--engine", "numba", "-o", alone)
    by_itself, among_others = sf.read(alone)[0], sf.read(out / "b-vocoded.wav")[0]
    # flac and wav are rounded to 16 bits in their own ways.
    np.testing.assert_allclose(by_itself, among_others, atol=2**-14)


def test_the_first_line_says_how_frames_of_another_program_were_taken(tmp_path: Path) -> None:
    model, frames, out = saved(VOCODER, tmp_path), tmp_path / "f.npy", tmp_path / "x.wav"
    own = mel.frames_of(noisy(0.05).astype(np.float32), RATE, VOCODER)
    audio = []
    for scale, array, options in (
        ("", own, ()),
        (", frames of base-10 logarithms", own / np.log(10), ("--mel-scale", "log10")),
        (", first frame centred on sample 8", own[1:], ("--mel-offset", 8)),
        (", bands from 80 to 3600.5 Hz", own, ("--mel-range", "80-3600.5")),
    ):
        # Tensors of a batch of one, by band.
        np.save(frames, array.T[None])
        result = wavenet("vocode", model, frames, "--seed", 3, "-fo", out, *options)
        assert result.stdout.splitlines()[0].endswith(f"seed 3{scale}"), result.output
        audio.append(sf.read(out)[0])
    np.testing.assert_allclose(audio[0], audio[1], atol=1e-3)
    # One frame fewer, and the first one holds before itself.
    assert len(audio[2]) == len(audio[0]) - VOCODER.frame_hop
    assert (audio[3] != audio[0]).any()


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_written_files_say_that_they_are_resynthesised(tmp_path: Path, suffix: str) -> None:
    model, recording = saved(VOCODER, tmp_path), tmp_path / "private.wav"
    sf.write(recording, tone(0.3), RATE)
    tagged, plain = tmp_path / f"tagged{suffix}", tmp_path / f"plain{suffix}"
    common = ("vocode", model, recording, "--seed", 3, "-o")
    assert wavenet(*common, tagged).exit_code == 0
    comment = sf.SoundFile(tagged).comment
    assert comment.startswith("Synthetic audio (resynthesis from mel frames), made by wavenet ")
    assert comment.endswith(": model model, step 0, seed 3")
    assert b"private" not in tagged.read_bytes()
    assert wavenet(*common, plain, "--no-tag").exit_code == 0
    assert not sf.SoundFile(plain).copy_metadata()
    assert (sf.read(plain)[0] == sf.read(tagged)[0]).all()


def test_recordings_are_resynthesized_in_groups_of_similar_length(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(VOCODER, tmp_path)
    folder = make_folder({f"{i}.wav": noisy((50 + 40 * i) / RATE, seed=i) for i in range(5)})
    outs = tmp_path / "at-once", tmp_path / "groups"
    for most, out in zip((32, 2), outs, strict=True):
        monkeypatch.setattr(follow, "MAX_STREAMS", most)
        wavenet("vocode", path, *sorted(folder.iterdir()), "--seed", 3, "-o", out)
    at_once, groups = ([file.read_bytes() for file in sorted(out.iterdir())] for out in outs)
    assert len(at_once) == 5
    assert at_once == groups


def test_nothing_is_written_when_something_is_wrong(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    folder = make_folder({"a.wav": tone(0.1), "b.wav": tone(0.1)})
    inputs, out = (folder / "a.wav", folder / "b.wav"), tmp_path / "out"
    for config, options in (
        (BOTH, ("--label", "eve")),
        (BOTH, ()),
        # A mixture has no top-p.
        (replace(BOTH, output="logistic"), ("--label", "bob", "--top-p", 0.5)),
    ):
        assert wavenet("vocode", saved(config, tmp_path), *inputs, *options, "-o", out).exit_code
        assert not out.exists()


def test_ctrl_c_keeps_what_was_generated(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = make_folder({"a.wav": tone(1.0), "b.wav": tone(1.0)}), tmp_path / "out"
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(self: Sampler, samples: list[int]) -> Iterator[Any]:
        yield next(uninterrupted(self, samples, 100))
        raise KeyboardInterrupt

    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    result = wavenet("vocode", saved(VOCODER, tmp_path), *sorted(folder.iterdir()), "-o", out)
    assert result.exit_code == 130
    assert result.stdout.splitlines()[-1] == "interrupted: what was made until then is kept"
    assert len(sf.read(out / "a-vocoded.wav")[0]) == 100


def test_outputs_never_overwrite_inputs_or_each_other(tmp_path: Path) -> None:
    a, other = tmp_path / "a.wav", tmp_path / "sub" / "a.wav"
    assert follow.outputs([a], None, "-vocoded") == [Path("a-vocoded.wav")]
    assert follow.outputs([a], tmp_path, "-vocoded") == [tmp_path / "a-vocoded.wav"]
    for inputs, out, subject in (
        ([a], a, a),
        ([a, other], tmp_path, tmp_path / "a-vocoded.wav"),
        ([a, other], tmp_path / "x.wav", tmp_path / "x.wav"),
        ([a], tmp_path / "x.txt", tmp_path / "x.txt"),
    ):
        with pytest.raises(AudioError) as e:
            follow.outputs(inputs, out, "-vocoded")
        assert e.value.subject == subject


def test_a_folder_is_its_recordings_and_frames(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder({"a.wav": tone(0.1), "ada/b.wav": tone(0.05), "bob/b.flac": tone(0.02)})
    np.save("recordings/c.npy", mel.frames_of(tone(0.03).astype(np.float32), RATE, VOCODER))
    Path("recordings/notes.txt").write_text("not audio")
    result = wavenet("vocode", saved(VOCODER, tmp_path), "recordings", "--seed", 3)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [(words[0], words[-1]) for words in lines] == [
        ("recordings-vocoded/a-vocoded.wav", "recordings/a.wav"),
        ("recordings-vocoded/ada/b-vocoded.wav", "recordings/ada/b.wav"),
        ("recordings-vocoded/bob/b-vocoded.wav", "recordings/bob/b.flac"),
        ("recordings-vocoded/c-vocoded.wav", "recordings/c.npy"),
    ]
    lengths = [sf.info(words[0]).frames for words in lines]
    assert lengths == [800, 400, 160, 248]


@pytest.mark.parametrize("out", ["new/", "new"])
def test_one_input_goes_into_a_folder_that_is_named_as_one(
    tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sf.write("a.wav", tone(0.1), RATE)
    if not out.endswith("/"):
        Path(out).mkdir()
    assert wavenet("vocode", saved(VOCODER, tmp_path), "a.wav", "-o", out).exit_code == 0
    assert sf.info("new/a-vocoded.wav").frames == 800


def test_an_input_that_cannot_be_read_keeps_no_other_from_being_made(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_folder({"a.wav": tone(0.1), "d.wav": noisy(0.05)})
    (folder / "b.wav").write_text("not audio")
    np.save(folder / "c.npy", np.zeros((10, 7)))
    result = wavenet("vocode", saved(VOCODER, tmp_path), folder, "-o", "out", "--seed", 3)
    assert result.exit_code == 1
    bad = [line for line in result.stderr.splitlines() if line.startswith("wavenet: ")]
    assert [line.split(":")[1].strip() for line in bad] == [
        str(folder / "b.wav"),
        str(folder / "c.npy"),
    ]
    assert [path.name for path in sorted(Path("out").iterdir())] == [
        "a-vocoded.wav",
        "d-vocoded.wav",
    ]
    alone = tmp_path / "alone.wav"
    wavenet("vocode", "model.safetensors", folder / "d.wav", "-o", alone, "--seed", 3)
    assert alone.read_bytes() == Path("out/d-vocoded.wav").read_bytes()


def test_where_no_input_can_be_read_nothing_is_made(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    folder = make_folder({})
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_text("not audio")
    result = wavenet("vocode", saved(VOCODER, tmp_path), folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert not (tmp_path / "out").exists()


def test_ctrl_c_before_the_first_block_leaves_no_file(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt

    folder = make_folder({"a.wav": tone(0.1), "b.wav": tone(0.1)})
    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    printed = wavenet("vocode", saved(VOCODER, tmp_path), folder, "-o", tmp_path / "out").stdout
    assert printed.splitlines()[1:] == ["interrupted: what was made until then is kept"]
    assert not list((tmp_path / "out").iterdir())


def test_silence_where_there_was_sound_is_told(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    mute = as_checkpoint(network(VOCODER))
    mute.arrays["average.output.weight"][:] = 0
    mute.arrays["average.output.bias"][:] = -20 * np.abs(np.arange(32) - 16)
    checkpoint.save(tmp_path / "mute.safetensors", mute)
    folder = make_folder({"loud.wav": tone(0.4), "silent.wav": np.full(3200, 1e-4)})
    result = wavenet("vocode", tmp_path / "mute.safetensors", folder, "-o", tmp_path / "out")
    told = [line for line in result.stderr.splitlines() if "silence" in line]
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path / 'out' / 'loud-vocoded.wav'} came out near silence")
    assert result.stderr.splitlines()[-1].startswith("try another --seed, --temperature 1.05")


def test_a_folder_of_recordings_beside_their_frames_is_vocoded_whole(tmp_path: Path) -> None:
    """By the rules for recordings: what is hidden, or a run, is no input."""
    vocoder, folder = saved(VOCODER, tmp_path), tmp_path / "both"
    for place in (folder, folder / ".hidden", folder / "run" / "checkpoints"):
        place.mkdir(parents=True)
        np.save(place / "a.npy", np.full((20, 6), -5.0))
    (folder / "run" / "config.toml").touch()
    sf.write(folder / "a.wav", noisy(0.1), 8000)
    np.save(folder / "B", np.full((20, 6), -5.0))
    (folder / "B.npy").rename(folder / "B.NPY")
    result = wavenet("vocode", vocoder, folder, "--seed", 1, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    made = sorted(path.name for path in (tmp_path / "out").rglob("*"))
    assert made == ["B-vocoded.wav", "a.npy-vocoded.wav", "a.wav-vocoded.wav"]
