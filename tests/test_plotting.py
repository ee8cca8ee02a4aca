"""Pictures are drawn whatever backend the environment names, and others' plots keep theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import os
from pathlib import Path
from wavenet import plotting
plotting.curves(Path("a.png"), {"run": [{"step": 1, "seconds": 1.0, "train_bits": 3.0}]}, "steps")
import matplotlib
print(os.environ["MPLBACKEND"], dict.__getitem__(matplotlib.rcParams, "backend"))
"""
# What Jupyter and Colab hand down to all that they start; there it may not be installed.
INLINE = "module://matplotlib_inline.backend_inline"


@pytest.mark.parametrize("backend", [INLINE, "nonsense", "svg"])
def test_the_library_draws_under_any_backend_and_leaves_it_alone(
    backend: str, tmp_path: Path
) -> None:
    environment = os.environ | {"MPLBACKEND": backend}
    command = [sys.executable, "-c", DRAW]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    kept, used = result.stdout.split(maxsplit=1)
    assert kept == backend
    assert used.strip() == "svg" or backend != "svg"
    assert (tmp_path / "a.png").exists()
