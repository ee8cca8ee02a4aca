"""What is to be run on a GPU, tried without one: every stage, its bounds, and what it leaves."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_stages import generate, learn, suite, train
from benchmarks.gpu_stages.report import Column, Report
from benchmarks.training_case import CONV1D, OURS, Case, Contestant, ContestantError
from tests.helpers import STARTER, require_triton
from wavenet.bench import measure

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
posix = pytest.mark.skipif(os.name != "posix", reason="its processes are ended by signals of Unix")


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "stage.json", 60.0, {"machine": "a CPU"})


def rows(report: Report, table: str) -> list[dict[str, Any]]:
    found = json.loads(report.path.read_text("utf-8"))
    assert found["machine"] == "a CPU"
    return [row for row in found["rows"] if row["table"] == table]


def test_rows_are_printed_in_columns_and_kept_at_once(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    table = report.table("t", (Column("name", "name", 6), Column("ms", "ms", 7, ".2f")), "title")
    table.row(name="a", ms=1.5, more=[1])
    assert rows(report, "t") == [{"table": "t", "name": "a", "ms": 1.5, "more": [1]}]
    table.row(name="b", note="failed: why")
    assert len(rows(report, "t")) == 2
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["", "title", "name        ms", "a         1.50", "b  failed: why"]


def test_the_most_streams_are_found_within_a_twentieth() -> None:
    assert generate.most_streams(lambda batch: batch <= 137, 4096) in range(130, 138)
    assert generate.most_streams(lambda _: False, 64) == 0
    assert generate.most_streams(lambda _: True, 64) == 64


def test_generation_is_measured(
    hasty: None, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    """Triton's interpreter plays the GPU's part, slowly."""
    require_triton()
    monkeypatch.setattr(measure, "ROUNDS", 1)
    monkeypatch.setattr(generate, "ONE_STREAM", ("paper",))
    monkeypatch.setattr(generate, "REAL_TIME", ("paper",))
    generate.run(report, CPU)
    single = rows(report, "one stream")
    kinds = [(row["engine"], row["precision"]) for row in single]
    assert kinds == [
        ("eager on GPU", "fp32"),
        ("triton", "fp32"),
        ("triton", "bf16"),
        ("cuda-graph", "fp32"),
        ("triton, ahead", "fp32"),
        ("triton, ahead", "bf16"),
    ]
    assert all(row["times_eager"] > 0 and row["samples_per_second"] > 0 for row in single)
    many = rows(report, "streams in real time")
    assert [row["precision"] for row in many] == ["fp32", "bf16"]


def test_a_stage_without_time_says_what_it_leaves_out(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.seconds = 0
    generate.run(report, CPU)
    assert rows(report, "one stream") == []
    assert "no time for nv-wavenet\nno time for paper\n" in capsys.readouterr().out


RESULTS = """<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">
<testcase classname="tests.a" name="test_b[c]"><failure message="AssertionError: 1 != 2&#10;x"/>
</testcase><testcase classname="tests.a" name="test_d"><error message=""/></testcase>
</testsuite></testsuites>"""


def test_a_parts_tests_are_counted_and_its_failures_named(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    process.wait()
    part = suite.Part("training", process, tmp_path / "log.txt", tmp_path / "results.xml")
    row, failures = suite.outcome(part)
    assert row == {"note": f"ended with 1; {tmp_path / 'log.txt'}"}
    assert failures == []
    part.results.write_text(RESULTS, "utf-8")
    row, failures = suite.outcome(part)
    assert row == {"passed": 1, "failed": 2, "skipped": 1}
    assert failures == [("tests.a::test_b[c]", "AssertionError: 1 != 2"), ("tests.a::test_d", "")]


def test_the_schedule_fills_the_time() -> None:
    assert learn.planned_steps(110, 0.1) == pytest.approx(1000, abs=1)
    assert learn.planned_steps(-5, 0.1) == 2


# --- processes ------------------------------------------------------------------------------------

TINY = {"model.layers": 2, "train.segment_seconds": 0.01, "train.batch": 1}


@posix
def test_a_contestant_that_fails_says_why_and_goes_on() -> None:
    contestant = Contestant(Case("ours", "tiny", overrides=TINY, device="cpu"))
    try:
        with pytest.raises(ContestantError, match=r"train\.batch = 0"):
            contestant.ask("build", {"train.batch": 0})
        assert contestant.ask("build", {}) > 0
        assert contestant.ask("time", 1) > 0
        kernels, moved = contestant.ask("count")
        assert kernels > 50
        assert moved > 10_000
        assert contestant.ask("profile")["kernels"] > 50
        with pytest.raises(ContestantError, match="no answer"):
            contestant.ask("time", 1000, seconds=0.01)
        with pytest.raises(ContestantError, match="stopped"):
            contestant.ask("time", 1)
    finally:
        contestant.stop()


def run(out: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu", "--device=cpu", f"--out={out}"]
    command += map(str, arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@posix
@pytest.mark.parametrize(
    ("code", "outcome"),
    [("time.sleep(60)", "cut off"), ("sys.exit(3)", "failed (3)"), ("pass", "done")],
    ids=["hangs", "fails", "ends"],
)
def test_a_stage_is_ended_in_time_and_leaves_what_it_printed(
    code: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"import sys, time; print('a row', flush=True); {code}"
    monkeypatch.setattr(gpu, "CHILD", [sys.executable, "-c", script])
    options = argparse.Namespace(seconds=gpu.ENDING + 2, device="cpu", out=tmp_path)
    assert gpu.parent("train", options, "this machine").startswith(outcome)
    assert (tmp_path / "train.txt").read_text("utf-8") == "a row\n"


@posix
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "ended"])
def test_nothing_is_left_running_when_it_is_interrupted(tmp_path: Path, how: int) -> None:
    def left() -> list[str]:
        processes = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True)
        return [line for line in processes.stdout.splitlines() if str(tmp_path) in line]

    command = [sys.executable, "-m", "benchmarks.gpu", "suite", "--device=cpu"]
    started = subprocess.Popen([*command, f"--out={tmp_path}"], cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = len(suite.PARTS)
    ends = time.monotonic() + 60
    while sum("junitxml" in line for line in left()) < parts and time.monotonic() < ends:
        time.sleep(0.2)
    assert sum("junitxml" in line for line in left()) >= parts
    started.send_signal(how)
    assert started.wait(15) != 0
    assert left() == []


@posix
@pytest.mark.slow
@pytest.mark.timeout(800)
def test_a_training_step_is_measured_beside_others(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = train.cases

    def cases(preset: str, *where: Any) -> list[Case]:
        """All contestants of one preset; of the other, whose are the same, two that are compared.

        Each is a process, and each preset's compiled one compiles for long.
        """
        compared = (f"{OURS}, fp32", f"{CONV1D}, fp32")
        return [c for c in every(preset, *where) if preset == "paper" or c.label in compared]

    monkeypatch.setattr(train, "cases", cases)
    report.seconds = 700
    options = argparse.Namespace(child="train", peer="")
    assert gpu.run_stage(options, report, CPU)
    for preset in ("paper", "r9y9-mulaw256"):
        found = rows(report, f"train {preset}")
        measured = {(r["case"], r["windows"]): r for r in found}
        for windows in (1, 2):
            row = measured[f"{OURS}, fp32", windows]
            assert row["times_conv1d"] > 0
            assert 0 < row["matrix_share"] < 2
            assert row["kernels"] > 50
    assert rows(report, "profile paper")


@posix
@pytest.mark.slow
def test_a_run_of_given_seconds_leaves_its_model_curve_and_audio(tmp_path: Path) -> None:
    done = run(tmp_path, "learn", "--seconds", 60, "--config", "tiny", "--folder", STARTER)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (tmp_path / "learn").iterdir()}
    pictures = {"clip.wav", "clip.png", "held-out.wav", "held-out.png"}
    assert names >= {"best.safetensors", "metrics.jsonl", *pictures}
    found = json.loads((tmp_path / "learn.json").read_text("utf-8"))["rows"]
    curve = [row["validation_bits"] for row in found if row["table"] == "learn"]
    assert len(curve) > 2
    assert curve[-1] < curve[0]
