"""What a shell offers behind Tab."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet.model import checkpoint, locate


def offered(line: str, folder: Path) -> list[str]:
    """What bash is offered at the end of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    variables = os.environ | words | {"_WAVENET_COMPLETE": "complete_bash"}
    # Completion goes by the name of the program.
    code = "import sys; sys.argv[0] = 'wavenet'; from wavenet.__main__ import main; main()"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wavenet pre", ["presets"]),
        ("wavenet train x --config sm", ["small", "small-44k"]),
        ("wavenet train x --set train.le", ["train.learning_rate="]),
        ("wavenet evaluate x y --split ", ["all", "tails"]),
        ("wavenet generate demo", ["demo-flute", "demo-vocoder", "demo-voice"]),
        ("wavenet generate runs/", ["runs/a"]),
        # Nothing is a file, which the shell offers itself.
        ("wavenet generate ./", []),
    ],
)
def test_names_are_offered(line: str, expected: list[str], model: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a" / "checkpoints"
    run.mkdir(parents=True)
    checkpoint.save(locate.step_path(run, 1), checkpoint.load(model))
    (tmp_path / "runs" / "other").mkdir()
    assert offered(line, tmp_path) == expected
