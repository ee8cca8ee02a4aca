"""`wavenet train`: what it prints, a dry run, and Ctrl-C."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from filelock import FileLock

from tests.helpers import fails, matches, noisy, wavenet
from wavenet.cli.console import ConsoleReport, first_audio
from wavenet.config import loading
from wavenet.data.decoding import VERSION
from wavenet.data.pcm_cache import index_folder
from wavenet.generation.api import load
from wavenet.model import locate
from wavenet.training.run_folder import Run
from wavenet.training.session import train
from wavenet.training.trainer import Trainer


def test_a_run_is_described_trained_and_used(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    options = ("--config", config_file, "--seed", 5, "--set", "train.batch=2", "--cache", cache)
    trained = wavenet("train", training_folder, "--out", run, *options)
    assert trained.exit_code == 0, trained.output
    transcript = f"""model      test: 5 layers, 2,501 parameters, hears 11 samples (1 ms)
recordings {training_folder}: 6 recordings, 6.2 s at 8000 Hz
trimmed    0.0 s of silence at their ends (audio.trim)
level      as recorded, loudest moment at -11 dBFS (audio.level)
held out   1.4 s for validation: 2 whole recordings
cache      {cache}/recordings-... (0.1 MB, 6 files decoded now)
run        {run}
training   steps 1 to 10 of 10 in fp32 on cpu (1 thread): ... s a step, about ... evaluations
step      5  validation 4... bits per sample, the best so far
step     10  validation 4... bits per sample, the best so far
done. Hear it with: wavenet generate {run}
"""
    assert matches(trained.stdout, transcript), trained.stdout
    assert re.search(r"100%, 10 of 10 steps, .* of 5 bits, .*k samples/s", trained.stderr)
    generated = wavenet("generate", run, "--seconds", 0.2, "-o", tmp_path / "a.wav")
    assert "checkpoint of step 10" in generated.stdout
    report = wavenet("receptive-field", run)
    assert "hears 11 samples = 1.4 ms at 8000 Hz" in report.stdout


def test_what_was_resampled_and_what_was_amiss_is_said(make_folder: Callable[..., Path]) -> None:
    voice = noisy(1.5, 44100)
    folder = make_folder({f"{i}.wav": noisy(1.5, 44100, seed=i) for i in range(6)}, rate=44100)
    sf.write(folder / "six.wav", noisy(1.0, 16000), 16000)
    sf.write(folder / "offset.wav", 0.2 + voice, 44100)
    for i in range(9):
        rate = 22050 + i
        sf.write(folder / f"count-{i}.wav", 9000 * noisy(1.0, rate, seed=i), rate, subtype="FLOAT")
    result = wavenet("train", folder, "--config", "tiny", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    (resampled,) = (i for i, line in enumerate(lines) if line.startswith("resampled"))
    assert lines[resampled] == (
        "resampled  7 from 44100 Hz, 1 from 22050 Hz, 1 from 22051 Hz, and from 7 other rates"
    )
    noted = next(i for i, line in enumerate(lines) if line.startswith("noted"))
    assert lines[noted] == ("noted      10 files; recordings.csv in the run folder lists all")
    integers = "its floats count the steps of 16-bit integers: scaled"
    assert lines[noted + 1] == f"           count-0.wav: {integers}"
    (folder / "six.wav").unlink()
    for path in folder.glob("count-*"):
        path.unlink()
    lines = wavenet("train", folder, "--config", "tiny", "--dry-run").output.splitlines()
    assert "resampled  7 from 44100 Hz" in lines
    advice = "what lies above 8 kHz is lost: --config music or small-44k keeps more of it"
    assert f"           {advice}" in lines
    assert "noted      1 file" in lines
    # A preset of that rate needs no such advice.
    kept = wavenet("train", folder, "--config", "small-44k", "--dry-run").output
    assert "\nresampled" not in kept


def test_a_dry_run_reports_what_training_takes_and_keeps_nothing(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--dry-run", "--set", "train.accumulate=3", "--tensorboard")
    dry_run = wavenet("train", training_folder, "-c", config_file, "-o", out, *options)
    assert dry_run.exit_code == 0, dry_run.output
    for part in (
        "2,501 parameters, hears 11 samples",
        "3 windows of 400 samples, each after 11 of context, 1 at a time, "
        "in fp32 on cpu (1 thread)",
        " s a step, ",
        "10 steps take about ",
        "nothing was written but the cache of decoded recordings",
    ):
        assert part in dry_run.output, part
    assert not out.exists()


def test_ctrl_c_saves_and_says_how_to_go_on(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, train_step = tmp_path / "run", Trainer.train_step

    def interrupted(trainer: Trainer) -> float:
        if trainer.step == 3:
            signal.raise_signal(signal.SIGINT)
        return train_step(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    result = wavenet("train", training_folder, "-c", config_file, "-o", run)
    assert result.exit_code == 130
    assert result.stdout.splitlines()[-1] == (
        f"stopped at step 4, everything is saved. Go on with: wavenet train --out {run}"
    )
    assert locate.steps(run / "checkpoints") == [4]


def test_a_reader_that_leaves_early_does_not_end_the_training(
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as dead, closing(ConsoleReport()) as console:
        monkeypatch.setattr(sys, "stdout", dead)
        run = train(
            training_folder, config=str(config_file), out=tmp_path / "run", listeners=[console]
        )
    assert locate.steps(run.checkpoints) == [5, 10]
    said = [line for line in re.split("[\r\n]+", capsys.readouterr().err) if "warning" in line]
    assert said == ["warning: these lines can be shown no more (Broken pipe); training goes on"]


def test_commands_that_are_suggested_can_be_pasted(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the places that the user gave, quoted for the shell."""
    run, cache = tmp_path / "My Voice", tmp_path / "my cache"

    def suggested(text: str) -> list[str]:
        command, *words = shlex.split(text[text.index("wavenet train") :].splitlines()[0])
        assert command == "wavenet"
        return words

    go_on = ["train", "--out", str(run), "--cache", str(cache)]
    start = ("train", training_folder, "-c", config_file, "-o", run, "--cache", cache)
    stopped = wavenet(*start, "--set", "train.evaluate_every=2", "--stop-at", 4).stdout
    assert suggested(stopped) == go_on
    losses = Trainer._losses
    monkeypatch.setattr(Trainer, "_losses", lambda self: [float("nan") * x for x in losses(self)])
    diverged = suggested(fails(*go_on).partition("Go on from it with: ")[2])
    assert diverged[:5] == go_on
    assert diverged[5:] == ["--set", "train.learning_rate=0.0007", "--accept-changes"]
    monkeypatch.undo()
    done = wavenet(*go_on).stdout
    assert shlex.split(done.rpartition("wavenet ")[2]) == ["generate", str(run)]
    ended = wavenet(*go_on).stdout
    assert suggested(ended) == [*go_on, "--steps", "N", "--accept-changes"]
    moved = training_folder.rename(tmp_path / "moved")
    words = suggested(fails(*go_on))
    assert words == ["train", "FOLDER", *go_on[1:]]
    words[1] = str(moved)
    assert wavenet(*words).exit_code == 0


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_ctrl_c_ends_the_wait_for_another_process_that_reads_the_recordings(
    command: str,
    model: Path,
    training_folder: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    config = load(model).config if command == "evaluate" else loading.load(config_file)
    version = load(model).training.decoding if command == "evaluate" else VERSION
    index = index_folder(
        training_folder, config.audio, trim=command == "train", cache=cache, version=version
    )
    monkeypatch.setattr("time.sleep", lambda _s: signal.raise_signal(signal.SIGINT))
    options = [model, training_folder] if command == "evaluate" else [training_folder]
    if command == "train":
        options += ["-c", config_file, "-o", tmp_path / "run"]
    lock = FileLock(index.cache / "lock")
    with ThreadPoolExecutor(1) as another:
        another.submit(lock.acquire).result()
        result = wavenet(command, *options, "--cache", cache)
        another.submit(lock.release).result()
    assert result.exit_code == 130
    assert result.output.count("waiting for another process, which is reading") == 1
    assert result.stderr.splitlines()[-1] == "wavenet: interrupted"


@pytest.mark.parametrize(
    ("preset", "found", "words"),
    [
        ("tiny", {}, "generate runs/x"),
        ("voices", {"labels": ("jo", "al")}, "generate runs/x"),
        ("vocoder", {}, "vocode runs/x RECORDING"),
        ("instrument", {}, "play runs/x 'C4:0.5 E4 G4:1'"),
        ("words", {"labels": ("jo",), "segment_labels": ("a",)}, "play runs/x a:0.5 --label jo"),
        ("words", {"labels": (), "segment_labels": ("a b",)}, "play runs/x LABELS.csv"),
    ],
)
def test_what_to_hear_first_goes_by_what_a_network_follows(
    preset: str, found: dict[str, Any], words: str
) -> None:
    model = replace(loading.load(preset).model, **found)
    assert first_audio(model, Run(Path("runs/x"))) == f"wavenet {words}"


def test_a_vocoder_is_not_left_to_learn_that_nothing_lies_above_what_was_recorded(
    make_folder: Callable[..., Path],
) -> None:
    recordings = {f"{i}.wav": noisy(1.5, 16000, seed=i) for i in range(3)}
    folder = make_folder(recordings, rate=16000)
    call = ("train", folder, "--config", "vocoder-small", "--dry-run", "--set", "train.batch=1")
    lines = wavenet(*call).output.splitlines()
    advised = lines.index("resampled  3 from 16000 Hz") + 1
    assert lines[advised].endswith("consider --set audio.sample_rate=16000")
    for settings in ("audio.sample_rate=16000", "model.linear_prediction=0"):
        assert "would have to learn first" not in wavenet(*call, "--set", settings).output
    slow = make_folder({f"{i}.wav": noisy(1.5, 11025, seed=i) for i in range(3)}, rate=11025)
    call = ("train", slow, *call[2:])
    advice = next(line for line in wavenet(*call).output.splitlines() if "to learn first" in line)
    settings = re.findall(r"--set \S+", advice)
    assert len(settings) == 2
    followed = wavenet(*call, *" ".join(settings).split())
    assert followed.exit_code == 0, followed.output
