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
from wavenet.cli import vocode
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
        monkeypatch.setattr(vocode, "MAX_STREAMS", most)
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
    assert result.stdout.splitlines()[-1] == "interrupted: what was made until then is kept"
    assert len(sf.read(out / "a-vocoded.wav")[0]) == 100


def test_outputs_never_overwrite_inputs_or_each_other(tmp_path: Path) -> None:
    a, other = tmp_path / "a.wav", tmp_path / "sub" / "a.wav"
    assert vocode.outputs([a], None) == [Path("a-vocoded.wav")]
    assert vocode.outputs([a], tmp_path) == [tmp_path / "a-vocoded.wav"]
    for inputs, out, subject in (
        ([a], a, a),
        ([a, other], tmp_path, tmp_path / "a-vocoded.wav"),
        ([a, other], tmp_path / "x.wav", tmp_path / "x.wav"),
        ([a], tmp_path / "x.txt", tmp_path / "x.txt"),
    ):
        with pytest.raises(AudioError) as e:
            vocode.outputs(inputs, out)
        assert e.value.subject == subject
