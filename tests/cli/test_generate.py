"""`wavenet generate`: seeds, formats, prompts, and what Ctrl-C leaves."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import (
    SMALL,
    VOICES,
    as_checkpoint,
    files_up_to,
    matches,
    network,
    tone,
    wavenet,
)
from wavenet import __version__
from wavenet.audio import writing
from wavenet.audio.reading import AudioFile
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint


def test_a_line_for_the_engine_and_one_for_each_clip(tmp_path: Path) -> None:
    model, out = tmp_path / "voices.safetensors", tmp_path / "a.wav"
    checkpoint.save(model, as_checkpoint(network(VOICES)))
    sf.write(tmp_path / "p.wav", tone(0.5), 8000)
    prompt = ("--prompt", tmp_path / "p.wav", "--keep-prompt")
    labels = ("--label", "bob", "--label", "ada")
    result = wavenet("generate", model, "--seconds", 0.2, "--seed", 1, *labels, *prompt, "-o", out)
    transcript = f"""numba engine (...bf16, ...), checkpoint of step 0, seed 1
{tmp_path}/a-1.wav  0.20 s after 0.50 s of prompt, bob
{tmp_path}/a-2.wav  0.20 s after 0.50 s of prompt, ada
"""
    assert matches(result.stdout, transcript), result.stdout
    assert re.search(r"100%, .* samples/s, .* x real time", result.stderr)


def test_a_prompt_that_counts_integers_or_has_a_wild_sample_is_set_right(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    checkpoint.save(model, as_checkpoint(network(SMALL)))
    voice = np.rint(32768 * tone(1.0)) / 32768
    spike = voice.copy()
    spike[100] = 1e6
    notes = {
        "usual": "",
        "counts": "its floats count the steps of 16-bit integers: scaled",
        "spike": "a wild sample clipped",
    }
    played = {}
    for name, wav in (("usual", voice), ("counts", 32768 * voice), ("spike", spike)):
        prompt = tmp_path / f"{name}.wav"
        sf.write(prompt, wav, 8000, subtype="FLOAT")
        options = ("--seconds", 0.1, "--seed", 1, "--prompt", prompt, "--keep-prompt")
        result = wavenet("generate", model, *options, "--force", "-o", tmp_path / "out.wav")
        assert result.exit_code == 0, result.output
        said = [line for line in result.stdout.splitlines() if line.startswith("note")]
        assert said == ([f"note: {prompt}: {notes[name]}"] if notes[name] else [])
        played[name], _ = sf.read(tmp_path / "out.wav")
    # The prompt itself is kept as it was set right.
    assert (played["counts"] == played["usual"]).all()
    assert (np.delete(played["spike"], 100) == np.delete(played["usual"], 100)).all()


def test_same_seed_same_file_and_batch_mates_do_not_matter(model: Path, tmp_path: Path) -> None:
    common = ("generate", model, "--seconds", 0.1, "--seed", 1)
    for name, args in {"a": (), "b": (), "other": ("--seed", 2), "many": ("--count", 3)}.items():
        assert wavenet(*common, *args, "-o", tmp_path / f"{name}.wav").exit_code == 0
    a, b, other = ((tmp_path / f"{n}.wav").read_bytes() for n in ("a", "b", "other"))
    assert a == b == (tmp_path / "many-1.wav").read_bytes()
    assert a != other
    assert a != (tmp_path / "many-2.wav").read_bytes()
    assert (tmp_path / "many-3.wav").exists()


@pytest.mark.parametrize("options", [(), ("--label", "bob", "--label", "cy")])
def test_more_clips_than_files_may_be_open_are_the_same(
    tmp_path: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, printed = tmp_path / "voices.safetensors", {}
    checkpoint.save(path, as_checkpoint(network(VOICES)))
    common = ("generate", path, "--seconds", 0.05, "--seed", 1, "--count", 5, *options)
    for at_once, name in ((5, "whole"), (2, "parts")):
        monkeypatch.setattr("wavenet.system.files.open_at_once", lambda _count, n=at_once: n)
        (tmp_path / name).mkdir()
        printed[name] = wavenet(*common, "-o", tmp_path / name / "a.wav").stdout.splitlines()[1:]
        printed[name] = [line.replace(name, "") for line in printed[name]]
    assert printed["whole"] == printed["parts"]
    assert len(printed["parts"]) == 5
    for i in range(1, 6):
        whole, part = (tmp_path / name / f"a-{i}.wav" for name in printed)
        assert whole.read_bytes() == part.read_bytes()


def test_clips_that_got_no_sample_leave_no_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(self: Sampler, *args: Any) -> Iterator[object]:
        if self.streams[0].number == 2:
            raise KeyboardInterrupt
        return uninterrupted(self, *args)

    sf.write(tmp_path / "p.wav", tone(0.5), 8000)
    monkeypatch.setattr("wavenet.system.files.open_at_once", lambda _count: 2)
    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    (tmp_path / "a-3.wav").write_bytes(b"an older one")
    prompt = ("--prompt", tmp_path / "p.wav", "--keep-prompt")
    options = ("--seconds", 0.05, "--count", 4, "--seed", 1, *prompt, "-o", tmp_path / "a.wav")
    printed = wavenet("generate", model, *options, "--force").stdout.splitlines()
    assert [line.partition("  ")[0] for line in printed[1:]] == [
        str(tmp_path / "a-1.wav"),
        str(tmp_path / "a-2.wav"),
        "interrupted: what was made until then is kept",
    ]
    assert (tmp_path / "a-3.wav").read_bytes() == b"an older one"
    assert not (tmp_path / "a-4.wav").exists()


def test_a_prompt_that_nothing_follows_leaves_no_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while it is put in front."""
    blocks, calls = AudioFile.blocks, []

    def interrupted(self: AudioFile) -> Iterator[object]:
        calls.append(self)
        yield from blocks(self)
        # The first two calls are those of reading it.
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(AudioFile, "blocks", interrupted)
    sf.write(tmp_path / "p.wav", tone(0.5), 8000)
    prompt = ("--prompt", tmp_path / "p.wav", "--keep-prompt")
    options = ("--seconds", 0.05, "--count", 3, "--seed", 1, *prompt, "-o", tmp_path / "a.wav")
    assert "interrupted" in wavenet("generate", model, *options).stdout
    assert [path.name for path in sorted(tmp_path.glob("a-*.wav"))] == ["a-1.wav"]


def test_clips_near_silence_are_told(tmp_path: Path) -> None:
    # The output's bias decides alone: the middle level, which is silence.
    quiet = as_checkpoint(network(SMALL))
    quiet.arrays["average.output.weight"][:] = 0
    quiet.arrays["average.output.bias"][:] = -20 * np.abs(np.arange(32) - 16)
    checkpoint.save(tmp_path / "quiet.safetensors", quiet)
    common = ("generate", tmp_path / "quiet.safetensors", "--seed", 1, "-o", tmp_path / "a.wav")
    stderr = wavenet(*common, "--seconds", 0.3, "--count", 5).stderr
    for i in range(1, 4):
        line = rf"a-{i}\.wav came out near silence: its loudest 20 ms are at -\d+ dBFS\n"
        assert re.search(line, stderr)
    assert stderr.splitlines()[-2:] == [
        "and so did 2 more",
        "try a --prompt, another --seed, --temperature 1.05, or more training",
    ]
    assert "silence" not in wavenet(*common, "--seconds", 0.1).stderr


def test_audio_as_quiet_as_its_prompt_is_not_called_silence(tmp_path: Path) -> None:
    model = as_checkpoint(network(SMALL))
    louder = replace(model.config, audio=replace(model.config.audio, level="peak"))
    checkpoint.save(tmp_path / "peak.safetensors", replace(model, config=louder))
    sf.write(tmp_path / "p.wav", 0.003 * tone(0.5), 8000, subtype="FLOAT")
    options = ("--prompt", tmp_path / "p.wav", "--seconds", 0.3, "--seed", 1)
    result = wavenet("generate", tmp_path / "peak.safetensors", *options, "-o", tmp_path / "a.wav")
    assert result.exit_code == 0
    assert "silence" not in result.stderr


def test_a_new_seed_is_drawn_and_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = wavenet("generate", model, "--seconds", 0.05)
    seed = result.output.split("seed ")[1].split()[0]
    assert (tmp_path / f"model-{seed}.wav").exists()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_format_follows_the_suffix(model: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    assert wavenet("generate", model, "--seconds", 0.3, "--seed", 1, "-o", path).exit_code == 0
    assert sf.info(path).format == suffix.upper()


@pytest.mark.parametrize("suffix", writing.WRITABLE)
def test_written_files_say_that_they_are_synthetic(tmp_path: Path, suffix: str) -> None:
    model = tmp_path / "Zoë.safetensors"
    checkpoint.save(model, as_checkpoint(network(SMALL), step=400))
    common = ("generate", model, "--seconds", 0.3, "--seed", 7)
    name = r"Zo\xeb" if suffix == ".mp3" else "Zoë"
    assert wavenet(*common, "--count", 2, "-o", tmp_path / f"a{suffix}").exit_code == 0
    for clip in (1, 2):
        tags = sf.SoundFile(tmp_path / f"a-{clip}{suffix}").copy_metadata()
        assert tags["title"] == f"Synthetic audio: {name}, seed 7, clip {clip}"
        origin = f"model {name}, step 400, seed 7, clip {clip}"
        assert tags["comment"] == f"Synthetic audio, made by wavenet {__version__}: {origin}"
        assert str(tmp_path) not in str(tags)
    plain = tmp_path / f"plain{suffix}"
    assert wavenet(*common, "--no-tag", "-o", plain).exit_code == 0
    assert not sf.SoundFile(plain).copy_metadata()
    assert b"wavenet" not in plain.read_bytes()
    assert (sf.read(plain)[0] == sf.read(tmp_path / f"a-1{suffix}")[0]).all()


def test_a_kept_prompt_comes_first(model: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "p.wav", tone(0.5, 16000), 16000)
    common = ("generate", model, "--prompt", tmp_path / "p.wav", "--seconds", 0.1, "--seed", 1)
    assert wavenet(*common, "-o", tmp_path / "new.wav").exit_code == 0
    assert wavenet(*common, "--keep-prompt", "-o", tmp_path / "both.wav").exit_code == 0
    new, both = sf.read(tmp_path / "new.wav")[0], sf.read(tmp_path / "both.wav")[0]
    assert len(both) - len(new) == pytest.approx(4000, abs=1)
    assert (both[-len(new) :] == new).all()
    comments = [sf.SoundFile(tmp_path / f"{name}.wav").comment for name in ("new", "both")]
    assert comments[0].startswith("Synthetic audio, made")
    assert comments[1].startswith("Synthetic audio after 0.50 s of a recording, made")
    assert np.abs(both[500:3500]).max() == pytest.approx(0.4, abs=0.01)


def test_ctrl_c_keeps_the_audio_generated_so_far(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(*args: Any) -> Iterator[object]:
        for number, blocks in enumerate(uninterrupted(*args)):
            if number == 3:
                signal.raise_signal(signal.SIGINT)
            yield blocks

    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    out, whole = tmp_path / "a.wav", tmp_path / "b.wav"
    command = ("generate", model, "--seconds", 2, "--seed", 1, "-o")
    result = wavenet(*command, out)
    assert result.exit_code == 130
    assert result.stdout.splitlines()[-2:] == [
        f"{out}  0.77 s",
        "interrupted: what was made until then is kept",
    ]
    monkeypatch.undo()
    wavenet(*command, whole)
    assert (sf.read(whole)[0][: 3 * 2048] == sf.read(out)[0]).all()


@pytest.mark.slow
def test_compiled_code_that_finds_no_room_is_used_all_the_same(model: Path, tmp_path: Path) -> None:
    uncached, cached = tmp_path / "a.wav", tmp_path / "b.wav"
    args = ("generate", model, "--seconds", 0.1, "--seed", 1, "-o")
    # Where compiled code is kept is decided when a process starts.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    with files_up_to(8):
        result = subprocess.run(
            [sys.executable, "-m", "wavenet", *map(str, (*args, uncached))],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            restore_signals=False,
        )
    assert "numba engine" in result.stdout
    remark = r"compiling the CPU kernels for this machine, once.*\ncompiled in \d+\.\d s"
    assert re.search(remark, result.stderr)
    assert wavenet(*args, cached).exit_code == 0
    assert uncached.read_bytes() == cached.read_bytes()
