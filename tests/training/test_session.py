"""Runs as users start, stop and resume them."""

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from filelock import FileLock
from safetensors.numpy import load_file

from tests.helpers import fails, noisy, tone, train_run, wavenet
from wavenet.config import loading
from wavenet.errors import ChangedRunError, CheckpointError, RunError, TrainingError, UsageError
from wavenet.model import checkpoint, locate
from wavenet.training import plan
from wavenet.training.run_folder import Run
from wavenet.training.session import train
from wavenet.training.trainer import Trainer

RATE = 8000
Start = Callable[..., tuple[Run, str]]


@pytest.fixture
def start(training_folder: Path, config_file: Path, tmp_path: Path) -> Start:
    """Start or resume the run `out` on `training_folder`: `train_run` with the small config."""

    def run(*settings: str, out: str = "run", **more: Any) -> tuple[Run, str]:
        if not (tmp_path / out).exists():
            more["config"] = str(config_file)
        return train_run(training_folder, tmp_path / out, *settings, **more)

    return run


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    start: Start, tmp_path: Path
) -> None:
    whole, _ = start(out="whole")
    half, _ = start(stop_at=5, out="half")
    assert locate.steps(half.checkpoints) == [5]
    # Neither folder nor config need repeating.
    _, notes = train_run(None, tmp_path / "half")
    assert f"resuming {half.folder} at step 5" in notes
    a, b, early = (
        load_file(locate.step_path(run.checkpoints, step))
        for run, step in ((whole, 10), (half, 10), (half, 5))
    )
    assert a.keys() == b.keys()
    assert {name.split(".")[0] for name in a} == {"model", "average", "adam"}
    for name in a:
        assert (a[name] == b[name]).all(), name
    assert (early["model.output.weight"] != a["model.output.weight"]).any()
    assert whole.metrics()[-1]["validation_bits"] == half.metrics()[-1]["validation_bits"]
    assert [m["step"] for m in half.metrics()] == [5, 5, 10, 10]


# The first sample that a process renders waits seconds for its engine.
def test_a_run_describes_itself(start: Start, config_file: Path) -> None:
    run, _ = start("train.sample_seconds=0.05")
    files = {"config.toml", "corpus.json", "recordings.csv", "metrics.jsonl"}
    assert {p.name for p in run.folder.iterdir()} >= files | {"samples", "checkpoints"}
    assert run.config().model == loading.load(config_file).model
    rows = (run.folder / "recordings.csv").read_text().splitlines()
    assert len(rows) == 7
    assert sum(",validation," in r for r in rows) >= 1
    assert {p.name for p in run.samples.iterdir()} == {
        f"step-{s:08d}.{k}" for s in (5, 10) for k in ("wav", "png")
    }
    assert not list(run.folder.rglob("*.partial"))


def test_rendered_samples_continue_a_held_out_recording(
    start: Start, training_folder: Path
) -> None:
    run, _ = start("train.sample_seconds=0.1", "model.levels=256")
    wav, _ = sf.read(run.samples / "step-00000010.wav")
    assert len(wav) == 4000 + 800
    rows = (run.folder / "recordings.csv").read_text().splitlines()
    held_out = [row.split(",") for row in rows if ",validation," in row]
    longest = max(held_out, key=lambda row: float(row[3]))
    recording, _ = sf.read(training_folder / longest[0])
    middle = len(recording) // 2
    np.testing.assert_allclose(wav[:4000], recording[middle - 4000 : middle], atol=1e-3)


def test_a_run_without_a_checkpoint_may_still_change_its_sizes(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> float:
        raise MemoryError

    monkeypatch.setattr(Trainer, "time_step", fail)
    with pytest.raises(MemoryError):
        start()
    monkeypatch.undo()
    run, _ = start("model.layers=3", "train.batch=1")
    assert run.config().model.layers == 3
    assert run.config().train.steps == 10


def test_the_last_few_and_the_best_checkpoints_stay(start: Start) -> None:
    run, _ = start("train.evaluate_every=1", "train.keep_checkpoints=2")
    best = checkpoint.load(locate.step_path(run.checkpoints, 10)).training.best_step
    assert best is not None
    assert set(locate.steps(run.checkpoints)) == {9, 10, best}


def test_a_checkpoint_is_due_after_some_minutes_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whenever the trainer asks for the time, 20 s have passed.
    clock = itertools.count()
    monkeypatch.setattr("wavenet.training.session.time.monotonic", lambda: 20.0 * next(clock))
    settings = ("train.checkpoint_minutes=2.5", "train.keep_checkpoints=9")
    run, _ = start("train.evaluate_every=100", *settings)
    steps = locate.steps(run.checkpoints)
    assert 3 <= len(steps) <= 5
    assert steps[-1] == 10


def test_metrics_a_crash_undid_are_forgotten(start: Start, tmp_path: Path) -> None:
    run, _ = start(stop_at=5)
    with open(run.metrics_file, "a") as f:
        f.write(json.dumps({"step": 8, "seconds": 1, "train_bits": 9}) + '\n{"step": 9, "sec')
    run, _ = train_run(None, tmp_path / "run")
    assert [m["step"] for m in run.metrics()] == [5, 5, 10, 10]


def test_other_settings_or_recordings_are_named_and_must_be_accepted(
    start: Start, make_folder: Callable[..., Path]
) -> None:
    run, _ = start(stop_at=5)
    with pytest.raises(ChangedRunError) as e:
        start("train.learning_rate=1e-4", "train.steps=20")
    assert e.value.changes == {"train.learning_rate": (2e-3, 1e-4), "train.steps": (10, 20)}
    with pytest.raises(RunError, match=r"model.layers: 5 -> 6.*cannot change") as unchangeable:
        start("model.layers=6", accept_changes=True)
    assert unchangeable.type is RunError
    other = make_folder({f"{i}.wav": noisy(1.0, seed=i) for i in range(5)}, name="other")
    with pytest.raises(ChangedRunError) as e:
        train_run(other, run.folder)
    assert e.value.changes == {"recordings": "1 removed (short.wav), 5 changed (0.wav, ...)"}
    train_run(other, run.folder, "train.steps=6", accept_changes=True)
    assert locate.steps(run.checkpoints)[-1] == 6


def test_a_run_keeps_the_rules_of_decoding_that_it_began_with(
    start: Start, training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 0.1 + tone(1.0, RATE)
    sf.write(training_folder / "offset.wav", offset, RATE)
    sf.write(training_folder / "cancel.wav", np.stack([offset, -offset], axis=1), RATE)
    new, _ = start("train.validation_fraction=0.5", out="new", stop_at=5)
    with monkeypatch.context() as earlier:
        earlier.setattr(plan, "DECODING", 1)
        old, _ = start("train.validation_fraction=0.5", out="old", stop_at=5)
        whole, _ = start("train.validation_fraction=0.5", out="whole")
    assert "offset of +0.100 removed" in (new.folder / "recordings.csv").read_text()
    assert "cancel.wav,skipped,silent" in (old.folder / "recordings.csv").read_text()
    # It is the rules that the checkpoint names, and the first where it names none.
    latest = [locate.load_latest(run.checkpoints) for run in (new, old)]
    assert [saved and saved.training.decoding for saved in latest] == [2, 1]
    nested = asdict(checkpoint.Training())
    del nested["decoding"]
    assert checkpoint.Training(**nested).decoding == 1
    train_run(None, old.folder)
    a, b = (load_file(locate.step_path(run.checkpoints, 10)) for run in (old, whole))
    assert all((a[name] == b[name]).all() for name in a)
    train_run(None, new.folder)
    assert "offset of +0.100 removed" in (new.folder / "recordings.csv").read_text()


def test_a_finished_run_says_so(start: Start, tmp_path: Path) -> None:
    start()
    _, notes = train_run(None, tmp_path / "run")
    assert "is at step 10 already; to go on, give a longer schedule" in notes


def test_a_run_in_use_is_refused(start: Start) -> None:
    run, _ = start(stop_at=5)
    with FileLock(run.folder / ".lock"), pytest.raises(RunError, match="another process"):
        train_run(None, run.folder)


def test_places_that_cannot_be_runs_are_named(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("precious")
    (tmp_path / "file").write_text("")
    for out in ("full", "file"):
        with pytest.raises(RunError, match="exists and is not a run"):
            train_run(training_folder, tmp_path / out, config=str(config_file))
    with pytest.raises(RunError, match="name a folder of recordings"):
        train()
    with pytest.raises(RunError, match="does not know its recordings"):
        train_run(None, tmp_path / "new", config=str(config_file))
    assert (tmp_path / "full" / "thesis.doc").read_text() == "precious"


def test_a_loss_that_is_not_finite_names_a_checkpoint_to_go_on_from(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = start("train.evaluate_every=2", stop_at=6)
    out = run.folder
    losses = Trainer._losses

    def nan_from_step_6(self: Trainer) -> list[Any]:
        return [x * (float("nan") if self.step >= 6 else 1) for x in losses(self)]

    monkeypatch.setattr(Trainer, "_losses", nan_from_step_6)
    with pytest.raises(TrainingError) as e:
        train_run(None, out)
    message = str(e.value)
    assert "the loss is not finite at step 6; the last good checkpoint is of step 4" in message
    assert "train.learning_rate=0.0007 `accept_changes`" in e.value.advice
    # Weights that fail at once are set aside, not deleted.
    assert (out / "checkpoints" / "step-00000006.diverged").exists()
    monkeypatch.undo()
    train_run(None, out, "train.learning_rate=0.0007", accept_changes=True)
    assert locate.steps(run.checkpoints)[-1] == 10


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The square root of 0 has the value 0 and an infinite slope.
    def losses(self: Trainer) -> list[Any]:
        return [(self.model.output.bias * 0).sum().sqrt()]

    monkeypatch.setattr(Trainer, "_losses", losses)
    message = r"the gradient is not finite at step 0; there is no checkpoint before it"
    with pytest.raises(TrainingError, match=message):
        start()


HELD_OUT = ["validation=tails", "validation_fraction=0.3", "validation_seconds=0.5"]


@pytest.mark.parametrize("setting", ["", *HELD_OUT, "segment_seconds=0.06"])
def test_other_held_out_audio_starts_the_search_for_the_best_anew(
    setting: str, start: Start, make_folder: Callable[..., Path]
) -> None:
    """Other audio is that of other recordings, or of a setting."""
    run, _ = start(stop_at=5)
    before = run.latest()
    assert before is not None
    never_better = replace(before.training, best_bits=0.001)
    checkpoint.save(locate.step_path(run.checkpoints, 5), replace(before, training=never_better))
    noise = {f"{i}.wav": noisy(1.0, seed=i, amplitude=0.5) for i in range(5)}
    folder = None if setting else make_folder(noise, name="noise")
    train_run(folder, run.folder, *[f"train.{setting}"] * bool(setting), accept_changes=True)
    assert locate.find(run.folder) == locate.step_path(run.checkpoints, 10)


def test_a_run_inside_the_folder_is_not_trained_on(start: Start, training_folder: Path) -> None:
    out = training_folder / "runs" / "mine"
    start("train.sample_seconds=0.2", stop_at=5, out="recordings/runs/mine")
    assert list((out / "samples").glob("*.wav"))
    run, _ = train_run(None, out)
    assert locate.steps(run.checkpoints)[-1] == 10


def test_names_of_any_bytes_are_taken(start: Start, training_folder: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.wav")
    (training_folder / "0.wav").rename(training_folder / odd)
    (training_folder / os.fsdecode(b"\xff.wav")).write_text("not audio")
    run, _ = start()
    assert "caf\\udce9.wav" in (run.folder / "recordings.csv").read_text()


def test_a_damaged_newest_checkpoint_names_the_one_before(start: Start) -> None:
    run, _ = start()
    newest = locate.step_path(run.checkpoints, 10)
    newest.write_bytes(newest.read_bytes()[:-9])
    for attempt in (lambda: train_run(None, run.folder), lambda: locate.find(run.folder)):
        message = r"a damaged one .*; delete it to use that of step 5"
        with pytest.raises(CheckpointError, match=message):
            attempt()


@pytest.mark.parametrize(("output", "bits"), [("mulaw", 5), ("logistic", 16)])
def test_what_is_worse_than_knowing_nothing_is_not_praised(
    output: str, bits: int, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([5851.0, bits - 0.5])
    monkeypatch.setattr(Trainer, "_bits_per_sample", lambda _trainer: next(scores))
    _, notes = start(f"model.output={output}")
    said = [line.partition("  ")[2] for line in notes.splitlines() if line.startswith("step  ")]
    assert [line.strip() for line in said if "validation" in line] == [
        f"5  validation 5851.000 bits per sample, no better than knowing nothing ({bits} bits)",
        f"10  validation {bits - 0.5:.3f} bits per sample, the best so far",
    ]


# Its engine is compiled for each output, which takes seconds.
@pytest.mark.parametrize("output", ["logistic", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_a_run_with_an_output_of_16_bits(
    output: str, training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    """It trains, renders, is resumed, generates and is scored; what it cannot do is refused."""
    out = tmp_path / "run"
    changes = (f"model.output={output}", "model.mixtures=3", "train.sample_seconds=0.05")
    settings = [word for change in changes for word in ("--set", change)]
    command = ("train", training_folder, "-c", config_file, "-o", out, *settings)
    started = wavenet(*command, "--stop-at", 5)
    assert started.exit_code == 0, started.output
    assert "of 16 bits" in started.stderr
    longer = ("train.steps=60", "train.learning_rate=1e-2", "train.evaluate_every=60")
    _, notes = train_run(None, out, *longer, accept_changes=True)
    assert "resuming" in notes
    bits = [m["train_bits"] for m in Run(out).metrics() if "train_bits" in m]
    assert bits[-1] < bits[0] - 0.5
    assert (out / "samples" / "step-00000060.wav").exists()
    played = wavenet("generate", out, "--seconds", 0.1, "--seed", 3, "-o", tmp_path / "a.wav")
    assert played.exit_code == 0, played.output
    wrong = fails("generate", out, "--top-p", 0.9, "-o", tmp_path / "b.wav")
    assert "--top-p 0.9: chooses among mu-law levels" in wrong
    assert not (tmp_path / "b.wav").exists()
    scored = wavenet("evaluate", out, training_folder)
    assert " bits per 16-bit sample over " in scored.stdout, scored.output


def test_very_short_recordings_can_be_learnt_from(
    make_folder: Callable[..., Path], config_file: Path, tmp_path: Path
) -> None:
    folder = make_folder({f"{i}.wav": tone(0.11, hertz=100 + 30 * i) for i in range(5)})
    settings = ("train.segment_seconds=0.5", "train.batch=1")
    run, _ = train_run(folder, tmp_path / "run", *settings, config=str(config_file))
    assert run.metrics()[-1]["validation_bits"] < 5


def test_max_hours_ends_training_with_everything_saved(start: Start) -> None:
    run, _ = start("train.steps=100000", max_hours=0.5 / 3600)
    step = locate.steps(run.checkpoints)[-1]
    assert 0 < step < 100000
    last = run.metrics()[-1]
    assert last["step"] == step
    # It was scored at the last step, although no evaluation was due there.
    assert last["validation_bits"] < 5.1
    train(out=run.folder, max_hours=0.2 / 3600)
    assert locate.steps(run.checkpoints)[-1] > step


def test_a_run_that_gets_no_better_may_end_early(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = {1: 5.0, 2: 4.0, 3: 4.5, 4: 4.2, 5: 4.1, 6: 3.0}
    monkeypatch.setattr(Trainer, "_bits_per_sample", lambda _: next(scores))
    scores = iter(bits.values())
    out = tmp_path / "run"
    command = ["train", str(training_folder), "-c", str(config_file), "-o", str(out)]
    settings = ["--set", "train.evaluate_every=1", "--set", "train.patience=3"]
    ended = wavenet(*command, *settings)
    message = "ended early: nothing since step 2 was better (train.patience). Hear it with"
    assert message in ended.stdout
    assert locate.steps(Run(out).checkpoints) == [2, 3, 4, 5]
    assert locate.find(out) == locate.step_path(Run(out).checkpoints, 2)
    again = wavenet("train", "-o", str(out))
    assert "ended at step 5 because nothing since step 2 was better; to go on" in again.stdout
    # Four evaluations are no better, but the last of them is at the last step, which ends a run
    # anyway.
    scores = iter([3.0, 3.1, 3.1, 3.1, 3.1])
    changes = ["--set", "train.patience=4", "--accept-changes"]
    resumed = wavenet("train", "-o", str(out), *changes)
    assert "done. Hear it with" in resumed.stdout


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_impossible_hours_are_refused(
    hours: float, training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError) as e:
        train(training_folder, config=str(config_file), out=out, max_hours=hours)
    assert e.value.parameter == "max_hours"
    assert not out.exists()


def test_resuming_in_another_precision_is_reported(start: Start) -> None:
    run, _ = start("train.precision=bf16", stop_at=5)
    _, notes = train_run(None, run.folder, "train.precision=auto", accept_changes=True)
    assert "it was trained in bf16 so far, from now on in fp32" in notes


def test_a_dry_run_of_an_existing_run_may_try_other_settings(start: Start) -> None:
    run, _ = start(stop_at=5)
    out = run.folder
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    result = wavenet("train", "--out", str(out), "--dry-run", "--set", "train.accumulate=3")
    assert "1 at a time" in result.output
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
