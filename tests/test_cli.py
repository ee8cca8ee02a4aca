"""The commands, as typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

from tests.conftest import SMALL, as_checkpoint, network, tone
from wavenet.cli.main import app
from wavenet.model import checkpoint, locate

GOLDEN = Path(__file__).parent / "golden" / "format-1.safetensors"


def wavenet(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def fails(*args: object) -> str:
    """The one line that a wrong call ends with."""
    result = wavenet(*args)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("wavenet: "), result.stderr
    return line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL)))
    return path


def test_train_generate_and_inspect_a_folder(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained = wavenet(
        "train",
        training_folder,
        "--config",
        config_file,
        "--out",
        run,
        "--seed",
        5,
        "--set",
        "train.batch=2",
    )
    assert trained.exit_code == 0, trained.output
    for part in (
        "model      test: 5 layers",
        "hears 11 samples (1 ms)",
        "6 recordings",
        "held out",
        "cache",
        "s a step",
        "of 5 bits",
        "done.",
    ):
        assert part in trained.output, part
    assert f"wavenet generate {run}" in trained.output
    generated = wavenet("generate", run, "--seconds", 0.2, "--seed", 1, "-o", tmp_path / "a.wav")
    assert generated.exit_code == 0, generated.output
    engine = r"numba engine \(.*fp32, .* threads?\), checkpoint of step"
    assert re.search(engine, generated.output)
    assert "x real time" in generated.output
    wav, rate = sf.read(tmp_path / "a.wav")
    assert (len(wav), rate) == (1600, 8000)
    report = wavenet("receptive-field", run)
    assert "hears 11 samples = 1.4 ms at 8000 Hz" in report.output


def test_same_seed_same_file_and_batch_mates_do_not_matter(model: Path, tmp_path: Path) -> None:
    common = ("generate", model, "--seconds", 0.1, "--seed", 1)
    for name, args in {"a": (), "b": (), "other": ("--seed", 2), "many": ("--count", 3)}.items():
        assert wavenet(*common, *args, "-o", tmp_path / f"{name}.wav").exit_code == 0
    a, b, other = ((tmp_path / f"{n}.wav").read_bytes() for n in ("a", "b", "other"))
    assert a == b == (tmp_path / "many-1.wav").read_bytes()
    assert a != other
    assert a != (tmp_path / "many-2.wav").read_bytes()
    assert (tmp_path / "many-3.wav").exists()


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


def test_a_kept_prompt_comes_first(model: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "p.wav", tone(0.5, 16000), 16000)
    common = ("generate", model, "--prompt", tmp_path / "p.wav", "--seconds", 0.1, "--seed", 1)
    assert wavenet(*common, "-o", tmp_path / "new.wav").exit_code == 0
    assert wavenet(*common, "--keep-prompt", "-o", tmp_path / "both.wav").exit_code == 0
    new, both = sf.read(tmp_path / "new.wav")[0], sf.read(tmp_path / "both.wav")[0]
    assert len(both) - len(new) == pytest.approx(4000, abs=1)
    assert (both[-len(new) :] == new).all()
    assert np.abs(both[500:3500]).max() == pytest.approx(0.4, abs=0.01)


def described(*args: object) -> Any:
    """What `wavenet receptive-field` says in JSON."""
    return json.loads(wavenet("receptive-field", *args, "--json").stdout)


def test_receptive_field_json_has_the_promised_keys() -> None:
    report = described("paper")
    assert report.keys() == {
        "name",
        "sample_rate",
        "receptive_field",
        "receptive_field_ms",
        "parameters",
        "macs_per_sample",
        "state_bytes",
        "layers",
        "pitch_hz",
        "pitch_periods",
        "coverage",
        "influence",
        "advice",
    }
    assert report["receptive_field"] == 3070
    assert report["layers"][9] == {"dilation": 512, "kernel_size": 2, "reach": 1024}
    assert described("small", "--set", "model.dilations=[4,4,4,4]")["receptive_field"] == 17
    assert described("--set", "model.layers=10")["receptive_field"] == 1024
    assert described(GOLDEN)["receptive_field"] == 11


def test_evaluate_prints_a_line_per_file_and_json_has_the_promised_keys(
    model: Path, training_folder: Path, tmp_path: Path
) -> None:
    (training_folder / "text.wav").write_text("not audio")
    result = wavenet("evaluate", model, training_folder)
    assert result.exit_code == 0, result.output
    for part in (
        "checkpoint of step 0 on 6 recordings",
        "short.wav",
        "text.wav: cannot be read",
        "bits per sample over",
        "of order 24",
    ):
        assert part in result.stdout, part
    options = ("--split", "tails", "--engine", "numba", "--json")
    scores = json.loads(wavenet("evaluate", model, training_folder, *options).stdout)
    assert scores.keys() == {
        "bits_per_sample",
        "bits_per_16bit_sample",
        "unigram_bits",
        "bigram_bits",
        "lpc_bits",
        "samples",
        "files",
        "skipped",
        "vocoded",
    }
    assert scores["samples"] == sum(f["samples"] for f in scores["files"]) == 5 * 960
    assert scores["skipped"][0]["name"] == "text.wav"


def test_cache_lists_and_clears(training_folder: Path, model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert wavenet("evaluate", model, training_folder, "--cache", cache).exit_code == 0
    assert str(training_folder) in wavenet("cache", "--cache", cache).stdout
    assert "cleared: " in wavenet("cache", training_folder, "--clear", "--cache", cache).stdout
    assert "holds no decoded recordings" in wavenet("cache", "--cache", cache).stdout
    assert list(cache.iterdir()) == []


def test_presets_are_listed_with_their_field_and_purpose() -> None:
    lines = wavenet("presets").output.splitlines()
    assert {line.split()[0] for line in lines[1:]} == {
        "tiny", "small", "paper", "music", "r9y9-mulaw256", "r9y9-mol", "nv-wavenet", "ibab",
        "wavenet-1024", "vocoder", "vocoder-small", "voices",
    }  # fmt: skip
    assert any("3,070" in line and "777,984" in line for line in lines)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("train", "no/such/folder"), "no/such/folder: no such folder"),
        (("train",), "name a folder of recordings"),
        (("train", ".", "--config", "smal"), "smal: no such preset; did you mean small?"),
        (
            ("train", ".", "--set", "model.layrs=3"),
            "model.layrs: unknown setting; did you mean model.layers?",
        ),
        (("train", ".", "--set", "train.batch=0"), "train.batch = 0: must be 1 to 65536"),
        (("generate", "no.safetensors"), "no.safetensors: no such run or checkpoint"),
        (("generate", __file__), "not a checkpoint of this program"),
        (("generate", GOLDEN, "--top-p", 2), "top-p 2.0: must be above 0 and at most 1"),
        (("generate", GOLDEN, "--seconds", 0), "seconds 0: must be above 0"),
        (("generate", GOLDEN, "--count", 0), "count 0: must be 1"),
        (("generate", GOLDEN, "--prompt", "no.wav"), "no.wav: no such file"),
        (("generate", GOLDEN, "--prompt", __file__), "cannot be read as audio"),
        (("generate", GOLDEN, "--keep-prompt"), "there is no --prompt to keep"),
        (("generate", GOLDEN, "-o", "no/such/a.wav"), "the folder no/such does not exist"),
        (("generate", GOLDEN, "-o", "a.xyz"), "use one of .wav, .flac, .ogg, .mp3"),
        (("generate", GOLDEN, "--engine", "warp"), "--engine warp: unknown"),
        (("generate", GOLDEN, "--precision", "int8"), "--precision int8: must be fp32, or bf16"),
        (("generate", GOLDEN, "--threads", -2), "--threads -2: must be 0 (as many as help)"),
        (
            ("generate", GOLDEN, "--engine", "reference", "--precision", "bf16"),
            "the reference engine computes in double precision",
        ),
        (
            ("evaluate", GOLDEN, GOLDEN.parent, "--precision", "bf16"),
            "--precision bf16: only engines take one; add --engine numba",
        ),
        (("bench", "smal"), "smal: no such preset"),
        (("generate", GOLDEN, "--seconds", "abc"), "Invalid value for '--seconds'"),
        (("generate",), "; see wavenet generate --help"),
        (("generate", GOLDEN, "--sedonds", 3), "No such option: --sedonds"),
        (("train", ".", "--stop-at", 0), "--stop-at 0: must be a step from 1 on"),
        (("evaluate", "no.safetensors", "."), "no.safetensors: no such run or checkpoint"),
        (("evaluate", GOLDEN, "no"), "no: no such folder"),
        (("evaluate", GOLDEN, ".", "--split", "half"), "--split half: must be all"),
        (("evaluate", GOLDEN), "Missing argument 'folder'"),
        (("cache", "--cache", "no"), "no: no such folder"),
        (("generate", GOLDEN, "--prompt", "."), ".: is a folder, not a recording"),
        (("generate", "."), ".: holds no checkpoint yet"),
        (("train", ".", "-o", f"{__file__}/run"), "test_cli.py is a file); choose another --out"),
        (("receptive-field", "nonsense"), "nonsense: no such preset"),
        (("receptive-field", "."), "is a folder without config.toml"),
        (("receptive-field", __file__), "not a TOML file"),
        (
            ("receptive-field", "paper", "--picture", "a.pdf"),
            "a.pdf: a picture is drawn as .png or .svg; name it a.png",
        ),
        (
            ("receptive-field", "paper", "small", "--picture", "a.png"),
            "--picture a.png: draws one network; name one source instead of 2",
        ),
        (
            ("receptive-field", "paper", "--picture", "no/such/a.png"),
            "no/such/a.png: cannot be written",
        ),
        (("receptive-field", "paper", "--pitch", 0), "--pitch 0: must be 1 to 20000 Hz"),
        (
            ("receptive-field", "paper", "--label", "ada"),
            "--label ada: is what a measurement is told; add --on RECORDINGS",
        ),
        (
            ("receptive-field", "paper", "--on", "."),
            "--on .: paper has no weights to measure with; name a run or a checkpoint",
        ),
        (("receptive-field", GOLDEN, "--on", "no.wav"), "no.wav: no such recording or folder"),
        (("receptive-field", GOLDEN, "--on", __file__), "cannot be read as audio"),
        (
            ("receptive-field", GOLDEN, "--on", ".", "--set", "model.dilations=[1,2]"),
            "is measured as it was trained; leave out --set",
        ),
    ],
)
def test_wrong_calls_get_one_line(
    args: tuple[object, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails(*args)
    # Nothing is left behind.
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_gets_one_line(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    assert "--device cuda:99: not available" in fails(
        "train", training_folder, "-c", config_file, "-o", tmp_path / "r", "--device", "cuda:99"
    )


def test_a_prompt_is_never_overwritten(model: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "p.wav", tone(0.5), 8000)
    before = (tmp_path / "p.wav").read_bytes()
    assert "is the prompt itself" in fails(
        "generate", model, "--prompt", tmp_path / "p.wav", "-o", tmp_path / "p.wav"
    )
    assert (tmp_path / "p.wav").read_bytes() == before


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate")]
)
def test_too_little_memory_names_what_to_lower(
    error: Exception,
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("wavenet.training.trainer.Trainer.time_step", fail)
    line = fails("train", training_folder, "-c", config_file, "-o", tmp_path / "run")
    advice = "lower train.batch or train.segment_seconds, or raise train.accumulate"
    assert f"needs more memory than there is; {advice}" in line


def test_a_dry_run_reports_what_training_takes_and_keeps_nothing(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    dry_run = wavenet(
        "train",
        training_folder,
        "-c",
        config_file,
        "-o",
        out,
        "--dry-run",
        "--set",
        "train.accumulate=3",
        "--tensorboard",
    )
    assert dry_run.exit_code == 0, dry_run.output
    for part in (
        "2,501 parameters, hears 11 samples",
        (
            "3 windows of 400 samples, each after 11 of context, 1 at a time, "
            "in fp32 on cpu (1 threads)"
        ),
        "0 MB estimated: ",
        "the whole process has used ",
        " s a step, ",
        "10 steps take about ",
        "nothing was written but the cache of decoded recordings",
    ):
        assert part in dry_run.output, part
    assert not out.exists()


def with_files_up_to(
    kilobytes: int, *args: object, code: int = 1, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command whose files may not pass a size: so a full disk looks to a process."""
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * kilobytes, 1000 * kilobytes))

    command = [sys.executable, "-m", "wavenet", *map(str, args)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, preexec_fn=limit
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_a_full_disk_keeps_the_audio_that_fitted(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    result = with_files_up_to(
        20, "generate", model, "--seconds", 60, "--engine", "reference", "-o", path
    )
    assert f"{path}: cannot be written on" in result.stderr.splitlines()[-1]
    assert len(sf.read(path)[0]) > 4000


def test_a_full_disk_keeps_the_checkpoints_that_fitted(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    common = ("train", training_folder, "-o", run, "--cache", cache)
    assert wavenet(*common, "-c", config_file, "--stop-at", 5).exit_code == 0
    size = locate.step_path(run / "checkpoints", 5).stat().st_size
    result = with_files_up_to(size // 1000 - 1, "train", "--out", run, "--cache", cache)
    assert "step-00000010.safetensors: cannot be written" in result.stderr.splitlines()[-1]
    assert "everything finished before is intact" in result.stderr
    assert checkpoint.load(locate.find(run)).training.step == 5
    assert not list(run.rglob("*.partial"))


def test_compiled_code_that_finds_no_room_is_used_all_the_same(model: Path, tmp_path: Path) -> None:
    uncached, cached = tmp_path / "a.wav", tmp_path / "b.wav"
    args = ("generate", model, "--seconds", 0.1, "--seed", 1, "-o")
    numba = str(tmp_path / "numba")
    result = with_files_up_to(8, *args, uncached, code=0, NUMBA_CACHE_DIR=numba)
    assert "numba engine" in result.stdout
    remark = r"compiling the CPU kernel for this machine, once.*\ncompiled in \d+\.\d s"
    assert re.search(remark, result.stderr)
    assert wavenet(*args, cached).exit_code == 0
    assert uncached.read_bytes() == cached.read_bytes()


def started(*args: object) -> "subprocess.Popen[str]":
    environment = os.environ | {"XDG_CACHE_HOME": str(args[-1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "wavenet", *map(str, args[:-1])]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_ctrl_c_saves_and_says_how_to_go_on(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = started(
        "train",
        training_folder,
        "-c",
        config_file,
        "-o",
        run,
        "--steps",
        1_000_000,
        tmp_path / "cache",
    )
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "everything is saved" in out
    assert f"wavenet train --out {run}" in out
    step = int(out.split("stopped at step ")[1].split(",")[0])
    assert locate.steps(run / "checkpoints")[-1] == step


def test_ctrl_c_keeps_the_audio_generated_so_far(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    process = started(
        "generate", model, "--seconds", 80_000, "--seed", 1, "-o", path, tmp_path / "cache"
    )
    deadline = time.monotonic() + 120
    while not path.exists() or path.stat().st_size < 20_000:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "interrupted: what was made until then is kept" in out, err
    kept, _ = sf.read(path)
    assert len(kept) >= 10_000
    again = wavenet("generate", model, "--seconds", 1, "--seed", 1, "-o", tmp_path / "b.wav")
    assert again.exit_code == 0
    assert (sf.read(tmp_path / "b.wav")[0] == kept[:8000]).all()


def test_a_reader_that_leaves_early_ends_it_quietly(model: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "wavenet", "receptive-field", str(model)]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert result.returncode == 1
    assert result.stderr == ""


def test_python_cli_py_works_from_a_checkout() -> None:
    script = Path(__file__).parent.parent / "cli.py"
    result = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True
    )
    assert "receptive-field" in result.stdout
