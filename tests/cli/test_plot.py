"""`wavenet plot`: what it draws and prints."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from tests.helpers import wavenet
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
    wavenet("plot", runs[0], "-o", out)
    one = matplotlib.image.imread(out)
    assert both.shape == one.shape
    # The second run left its mark.
    assert (both != one).any()
    wavenet("plot", runs[0], "--over", "hours", "-o", out)
    assert (matplotlib.image.imread(out) != one).any()


def test_the_command_line_draws_under_a_notebooks_backend(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "loss.png"
    command = [sys.executable, "-m", "wavenet", "plot", runs[0], "-o", out]
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert out.exists()
