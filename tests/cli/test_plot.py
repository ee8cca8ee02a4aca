"""`wavenet plot`: what it draws and prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from tests.helpers import fails, wavenet
from wavenet.config import Config
from wavenet.training.run_folder import Run


@pytest.fixture
def runs(tmp_path: Path, small_config: Config) -> list[Path]:
    """Two runs with curves, the second longer."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, steps in zip(folders, (40, 100), strict=True):
        run = Run(folder)
        run.create().release()
        run.config_file.write_text(small_config.to_toml(), encoding="utf-8")
        for step in range(10, steps + 1, 10):
            run.log(step=step, seconds=36.0 * step, train_bits=8 - step / 20)
            validation_bits = 8 - step / 25 if step < 90 else 6.0
            run.log(step=step, seconds=36.0 * step, validation_bits=validation_bits)
    return folders


def test_runs_are_drawn_and_summed_up(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "loss.png"
    assert wavenet("plot", *runs, "-o", out).stdout.splitlines() == [
        f"{runs[0]}  step 40, 0.40 hours; at best 6.400 bits per sample at step 40",
        f"{runs[1]}  step 100, 1.00 hours; at best 4.800 bits per sample at step 80",
        str(out),
    ]
    both = matplotlib.image.imread(out)
    wavenet("plot", runs[0], "-o", out, "--force")
    one = matplotlib.image.imread(out)
    assert both.shape == one.shape
    # The second run left its mark.
    assert (both != one).any()
    wavenet("plot", runs[0], "--over", "hours", "-o", out, "-f")
    assert (matplotlib.image.imread(out) != one).any()


@pytest.mark.parametrize(
    ("out", "drawn", "begin"),
    [
        ("a.svg", "a.svg", b"<?xml"),
        ("a.PDF", "a.PDF", b"%PDF"),
        ("new/", "new/loss.png", b"\x89PNG"),
        ("new/a", "new/a.png", b"\x89PNG"),
        (".", "loss.png", b"\x89PNG"),
    ],
)
def test_the_name_decides_on_the_kind_of_file(
    out: str,
    drawn: str,
    begin: bytes,
    runs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wavenet("plot", runs[0], "-o", out).stdout.splitlines()[-1] == drawn
    picture = (tmp_path / drawn).read_bytes()
    assert picture.startswith(begin)
    wavenet("plot", runs[0], "-o", out, "--force")
    assert (tmp_path / drawn).read_bytes() == picture


def test_a_file_that_is_there_is_replaced_only_when_asked(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (("plot", runs[0], "-o", "a.png"), ("receptive-field", "--picture", "a.png")):
        Path("a.png").write_text("precious")
        line = fails(*call)
        assert line == (
            "wavenet: a.png: exists already; --force overwrites it, or choose another name"
        )
        assert Path("a.png").read_text() == "precious"
        assert wavenet(*call, "--force").exit_code == 0
        assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_runs_is_drawn_without_those_that_have_logged_nothing(
    runs: list[Path], tmp_path: Path
) -> None:
    Run(tmp_path / "c").create().release()
    (tmp_path / "c" / "config.toml").write_text("")
    lines = wavenet("plot", tmp_path, "-o", tmp_path / "a.png").stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [str(run) for run in runs]


@pytest.mark.parametrize("call", [("plot", "a", "-o", "-"), ("receptive-field", "--picture", "-")])
def test_no_picture_goes_to_standard_output(
    call: tuple[str, ...], runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert fails(*call).startswith("wavenet: standard output: takes no picture; name a file, as ")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [b"caf\xe9", "\N{HIRAGANA LETTER A}".encode(), b"a$x^$", b"b$"])
def test_a_run_of_any_name_is_drawn(name: bytes, runs: list[Path], tmp_path: Path) -> None:
    renamed = runs[0].rename(tmp_path / os.fsdecode(name))
    result = wavenet("plot", renamed, "-o", tmp_path / "a.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "a.png").exists()


def test_a_log_without_a_line_of_one_is_told_as_damaged(runs: list[Path]) -> None:
    (runs[0] / "metrics.jsonl").write_text("garbage\n")
    line = "metrics.jsonl: is damaged: none of its lines has a step and a time"
    assert fails("plot", runs[0]).endswith(line)


def test_json_has_the_points_of_each_run(runs: list[Path], tmp_path: Path) -> None:
    every = json.loads(wavenet("plot", *runs, "--json").stdout)
    assert [run["path"] for run in every] == [str(run) for run in runs]
    assert every[0]["points"][0] == {"step": 10, "seconds": 360.0, "train_bits": 7.5}
    assert json.loads(wavenet("plot", runs[0], "--json").stdout) == every[:1]


def test_the_command_line_draws_under_a_notebooks_backend(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "loss.png"
    command = [sys.executable, "-m", "wavenet", "plot", runs[0], "-o", out]
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert out.exists()
