"""Runs as users start, stop and resume them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from safetensors.numpy import load_file

from tests.conftest import STARTER, noisy, tone
from wavenet import checkpoint, config
from wavenet.errors import RunError, TrainingError, WavenetError
from wavenet.run import Run
from wavenet.session import Report, Request, train


class Notes(Report):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def sit(folder: Path | None, out: Path, *settings: str, **more: object) -> tuple[Run, str]:
    report = Notes()
    run = train(Request(folder, out=out, settings=settings, **more), report)  # type: ignore[arg-type]
    return run, "\n".join(report.notes)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    whole, _ = sit(training_folder, tmp_path / "whole", config=str(config_file))
    half, _ = sit(training_folder, tmp_path / "half", config=str(config_file), stop_at=5)
    assert checkpoint.steps(half.checkpoints) == [5]
    _, notes = sit(None, tmp_path / "half")  # neither folder nor config need repeating
    assert "resuming" in notes
    assert "at step 5" in notes
    a, b = (load_file(checkpoint.step_path(r.checkpoints, 10)) for r in (whole, half))
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name] == b[name]).all(), name
    bits = [[(m["step"], m.get("train_bits"), m.get("validation_bits")) for m in r.metrics()] for r in (whole, half)]
    assert bits[0][-1] == bits[1][-1]
    assert [m["step"] for m in half.metrics()] == [5, 5, 10, 10]


def test_a_run_describes_itself(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    run, _ = sit(training_folder, tmp_path / "run", "train.sample_seconds=0.05", config=str(config_file))
    assert {p.name for p in run.folder.iterdir()} >= {
        "config.toml",
        "corpus.json",
        "recordings.csv",
        "metrics.jsonl",
        "samples",
        "checkpoints",
    }
    assert run.config().model == config.load(config_file).model
    rows = (run.folder / "recordings.csv").read_text().splitlines()
    assert len(rows) == 7
    assert sum(",validation," in r for r in rows) >= 1
    assert {p.name for p in run.samples.iterdir()} == {f"step-{s:08d}.{k}" for s in (5, 10) for k in ("wav", "png")}
    assert not list(run.folder.rglob("*.partial"))


def test_the_last_few_and_the_best_checkpoints_stay(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    settings = ("train.evaluate_every=1", "train.keep_checkpoints=2")
    run, _ = sit(training_folder, tmp_path / "run", *settings, config=str(config_file))
    best = checkpoint.load(checkpoint.step_path(run.checkpoints, 10)).training.best_step
    assert best is not None
    assert set(checkpoint.steps(run.checkpoints)) == {9, 10, best}


def test_metrics_a_crash_undid_are_forgotten(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    run, _ = sit(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    with open(run.metrics_file, "a") as f:
        f.write(json.dumps({"step": 8, "seconds": 1, "train_bits": 9}) + '\n{"step": 9, "sec')
    run, _ = sit(None, tmp_path / "run")
    assert [m["step"] for m in run.metrics()] == [5, 5, 10, 10]


def test_other_settings_or_recordings_are_named_and_need_a_word(
    training_folder: Path, config_file: Path, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    out = tmp_path / "run"
    sit(training_folder, out, config=str(config_file), stop_at=5)
    with pytest.raises(RunError, match=r"train.learning_rate: 0.002 -> 0.0001\); add --accept-changes"):
        sit(training_folder, out, "train.learning_rate=1e-4")
    with pytest.raises(RunError, match=r"train.steps: 10 -> 20"):
        sit(training_folder, out, "train.steps=20")
    with pytest.raises(RunError, match=r"model.layers: 5 -> 6.*start a new run with another --out"):
        sit(training_folder, out, "model.layers=6", accept_changes=True)
    other = make_folder({f"{i}.wav": noisy(1.0, seed=i) for i in range(5)}, name="other")
    with pytest.raises(RunError, match=r"recordings: those of .* -> others"):
        sit(other, out)
    run, _ = sit(other, out, "train.steps=6", accept_changes=True)
    assert checkpoint.steps(run.checkpoints)[-1] == 6


def test_a_moved_folder_goes_on_without_a_word(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    sit(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    moved = training_folder.rename(tmp_path / "moved")
    run, _ = sit(moved, tmp_path / "run")
    assert checkpoint.steps(run.checkpoints)[-1] == 10
    assert run.corpus()["folder"] == str(moved)


def test_a_finished_run_says_so(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    sit(training_folder, tmp_path / "run", config=str(config_file))
    _, notes = sit(None, tmp_path / "run")
    assert "is at step 10 already; to go on, give a longer schedule: --steps N --accept-changes" in notes


def test_a_run_in_use_is_refused(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    run, _ = sit(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    with FileLock(run.folder / ".lock"), pytest.raises(RunError, match="another process is training this run"):
        sit(None, run.folder)


def test_places_that_cannot_be_runs_are_named(training_folder: Path, config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("precious")
    (tmp_path / "file").write_text("")
    for out in ("full", "file"):
        with pytest.raises(RunError, match="exists and is not a run"):
            sit(training_folder, tmp_path / out, config=str(config_file))
    with pytest.raises(RunError, match="name a folder of recordings"):
        train(Request(), Report())
    with pytest.raises(WavenetError, match="does not know its recordings"):
        sit(None, tmp_path / "new", config=str(config_file))
    assert (tmp_path / "full" / "thesis.doc").read_text() == "precious"


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sit(training_folder, tmp_path / "run", config=str(config_file), stop_at=5)
    monkeypatch.setattr("wavenet.trainer.Trainer._loss", lambda self, step: (self.model.output.bias * float("nan")).sum())
    with pytest.raises(
        TrainingError, match=r"not finite at step 5; the last good checkpoint is of step 5. Go on from it with --set train.lea"
    ):
        sit(None, tmp_path / "run")
    monkeypatch.undo()
    run, _ = sit(None, tmp_path / "run")
    assert checkpoint.steps(run.checkpoints)[-1] == 10


@pytest.mark.parametrize(("kind", "warns"), [("noise", True), ("speech", False)])
def test_nothing_learnt_fires_on_white_noise_and_not_on_speech(
    kind: str, warns: bool, make_folder: Callable[..., Path], config_file: Path, tmp_path: Path
) -> None:
    folder = make_folder({f"{i}.wav": noisy(1.0, seed=i) for i in range(5)}) if kind == "noise" else STARTER / "speech" / "carlo"
    settings = ("train.steps=80", "train.evaluate_every=80", "train.learning_rate=5e-3", "train.warmup_steps=10")
    _, notes = sit(folder, tmp_path / "run", *settings, config=str(config_file))
    assert ("nothing has been learnt" in notes) == warns, notes


def test_very_short_recordings_can_be_learnt_from(make_folder: Callable[..., Path], config_file: Path, tmp_path: Path) -> None:
    folder = make_folder({f"{i}.wav": tone(0.11, hertz=100 + 30 * i) for i in range(5)})
    run, _ = sit(folder, tmp_path / "run", "train.segment_seconds=0.5", config=str(config_file))
    assert run.metrics()[-1]["validation_bits"] < 5
