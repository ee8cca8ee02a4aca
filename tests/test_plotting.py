"""Pictures are drawn whatever backend the environment names, and others' plots keep theirs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wavenet import plotting
from wavenet.errors import OutputError

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


def test_curves_of_pitch_are_drawn_where_they_are_voiced(tmp_path: Path) -> None:
    wav, hop = np.zeros(4000, np.float32), 80
    notes = np.full(51, 69, np.float32)
    pictures = []
    for voiced in (np.zeros(51), np.arange(51) < 20, np.ones(51)):
        frames = np.stack([notes, voiced], axis=1).astype(np.float32)
        path = tmp_path / "pitch.png"
        plotting.pitches(path, {"$": wav}, 8000, {"$": {"asked": frames, "found": frames}}, hop)
        pictures.append(path.read_bytes())
    assert len(set(pictures)) == 3


def test_a_clip_without_curves_is_drawn_and_an_unknown_kind_of_picture_refused(
    tmp_path: Path,
) -> None:
    clips = {"one": np.zeros(100, np.float32), "two": np.ones(9000, np.float32)}
    plotting.pitches(tmp_path / "a.svg", clips, 16000, {"one": {}, "two": {}}, 160)
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(OutputError, match="cannot be drawn"):
        plotting.pitches(tmp_path / "a.nonsense", clips, 16000, {"one": {}, "two": {}}, 160)
