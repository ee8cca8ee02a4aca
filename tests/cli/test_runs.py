"""`wavenet runs`: what it lists, compares, and says of damaged runs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import GOLDEN, wavenet
from wavenet.config import Config
from wavenet.training.run_folder import Run


def make_run(folder: Path, config: Config, steps: int, bits: float) -> Run:
    run = Run(folder)
    run.create().release()
    run.config_file.write_text(config.to_toml(), encoding="utf-8")
    for step in range(10, steps + 1, 10):
        run.log(step=step, seconds=360.0 * step, train_bits=bits)
        run.log(step=step, seconds=360.0 * step, validation_bits=bits + abs(step - 20) / 100)
    return run


@pytest.fixture
def place(tmp_path: Path, small_config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs: one of an earlier version, and two that differ in a setting."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "run-1", tmp_path / "runs" / "old")
    make_run(tmp_path / "runs" / "a", small_config, 20, 4.0)
    faster = replace(small_config, train=replace(small_config.train, learning_rate=4e-3))
    make_run(tmp_path / "runs" / "more" / "b", faster, 40, 5.0)
    return tmp_path


def rows(printed: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}


def test_runs_are_listed_with_how_far_they_came(place: Path) -> None:
    table = rows(wavenet("runs").stdout)
    assert table["run"][:4] == ["config", "step", "of", "best"]
    assert table["runs/a"][:6] == ["test", "20", "10", "4.000", "20", "2.00"]
    assert table["runs/more/b"][:6] == ["test", "40", "10", "5.000", "20", "4.00"]
    old = table["runs/old"]
    assert old[:7] == ["golden", "8", "16", "4.731", "8", "0.00", "1,688"]
    assert "6.4" in old


def test_the_table_fits_and_keeps_what_matters(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = wavenet("runs").stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert "best bits" in lines[0]


def test_named_runs_are_compared_by_their_settings(place: Path) -> None:
    table = wavenet("runs", "runs/a", "runs/more/b").stdout
    assert table.splitlines()[-2:] == [
        "setting              a      b",
        "train.learning_rate  0.002  0.004",
    ]
    assert "train.learning_rate" not in wavenet("runs", "runs").stdout
    assert "their settings are the same" in wavenet("runs", "runs/a", "runs/a/../a").stdout


def test_a_comparison_without_room_has_a_line_for_each_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = wavenet("runs", "runs/a", "runs/more/b").stdout.splitlines()
    assert lines[-3:] == ["train.learning_rate", "  0.002  runs/a", "  0.004  runs/more/b"]


def test_json_is_a_list_whatever_the_number(place: Path) -> None:
    (one,) = json.loads(wavenet("runs", "runs/old", "--json").stdout)
    every = json.loads(wavenet("runs", "--json").stdout)
    assert one in every
    assert len(every) == 3
    assert one["recordings"]["count"] == 8
    assert one["config"]["model"]["labels"] == ["ada", "bob"]
    assert (one["step"], one["steps"], one["best_step"]) == (8, 16, 8)
    assert json.loads(wavenet("runs", place / "runs" / "a" / "samples", "--json").stdout) == []


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.toml", "not = = toml", "config.toml: not a TOML file"),
        ("config.toml", "[train]\nstep = 3", "train.step: unknown setting"),
        ("checkpoints/step-00000030.safetensors", "", "not a checkpoint of this program"),
        ("metrics.jsonl", b"\xff\xfe\0", "metrics.jsonl: not text in UTF-8"),
        ("corpus.json", b"\xff\xfe\0", "corpus.json: not text in UTF-8"),
    ],
)
def test_a_damaged_run_is_listed_with_what_is_wrong(
    file: str, content: str | bytes, problem: str, place: Path
) -> None:
    content = content.encode() if isinstance(content, str) else content
    (place / "runs" / "a" / file).write_bytes(content)
    result = wavenet("runs")
    assert result.exit_code == 0
    assert rows(result.stdout)["runs/a"][-1] == "damaged"
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("damaged"))
    assert problem in line
    assert wavenet("info", "runs/a").exit_code == 0


def test_lines_of_a_log_that_are_no_metrics_are_left_out(place: Path) -> None:
    with (place / "runs" / "a" / "metrics.jsonl").open("a") as file:
        file.write('3\n{"step": "x", "seconds": 1}\n{"step": 30}\n{"step": 30, "seco')
    assert rows(wavenet("runs").stdout)["runs/a"][1] == "20"
    assert wavenet("plot", "runs/a").exit_code == 0


def test_a_run_that_another_process_trains_is_told(place: Path) -> None:
    code = "import sys; from pathlib import Path; from wavenet.training.run_folder import Run\n"
    code += "lock = Run(Path('runs/a')).create(); print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        table = rows(wavenet("runs").stdout)
        process.stdin.close()
    assert table["runs/a"][-2:] == ["in", "training"]
    assert rows(wavenet("runs").stdout)["runs/a"][-1] != "training"


def test_without_runs_there_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = wavenet("runs")
    assert nothing.stdout == "runs: no runs here; `wavenet train` makes one\n"
    assert json.loads(wavenet("runs", "--json").stdout) == []


def test_a_place_that_is_none_leaves_the_list_of_the_others(place: Path) -> None:
    result = wavenet("runs", "nope", "runs/a", "runs/more/b")
    assert (result.exit_code, result.stderr.startswith("wavenet: nope: no such folder")) == (
        1,
        True,
    )
    assert {"runs/a", "runs/more/b"} <= rows(result.stdout).keys()
    assert "train.learning_rate  0.002  0.004" in result.stdout
    drawn = wavenet("plot", "runs/a", "nope")
    assert (drawn.exit_code, drawn.stderr.startswith("wavenet: nope: not a run")) == (1, True)
    assert Path("loss.png").exists()


def test_a_validation_that_is_no_number_hides_no_other(place: Path) -> None:
    with (place / "runs" / "a" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 12, "seconds": 1, "validation_bits": NaN}\n')
        log.write('{"step": 13, "seconds": 1, "validation_bits": "x"}\n')
    assert rows(wavenet("runs").stdout)["runs/a"][3:5] == ["4.000", "20"]
    assert "best bits per sample" not in wavenet("plot", "runs/a").stdout
    assert "at best 4.000 bits per sample at step 20" in wavenet("plot", "runs/a", "-f").stdout
