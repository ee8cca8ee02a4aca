"""What all commands share."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import GOLDEN, wavenet

FORMAT_1 = GOLDEN / "format-1.safetensors"


def described(*args: object) -> Any:
    """What `wavenet receptive-field` says in JSON."""
    return json.loads(wavenet("receptive-field", *args, "--json").stdout)


def test_a_config_comes_from_anything_that_has_one() -> None:
    report = described("paper")
    assert report.keys() == {
        "name", "sample_rate", "receptive_field", "receptive_field_ms", "parameters",
        "macs_per_sample", "state_bytes", "layers", "pitch_hz", "pitch_periods", "coverage",
        "influence", "advice",
    }  # fmt: skip
    assert report["receptive_field"] == 3070
    assert report["layers"][9] == {"dilation": 512, "kernel_size": 2, "reach": 1024}
    assert described("small", "--set", "model.dilations=[4,4,4,4]")["receptive_field"] == 17
    assert described("--set", "model.layers=10")["receptive_field"] == 1024
    assert described(FORMAT_1)["receptive_field"] == 11


def test_a_reader_that_leaves_early_ends_it_quietly(model: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "wavenet", "receptive-field", str(model)]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert result.returncode == 1
    assert result.stderr == ""


def test_python_cli_py_works_from_a_checkout() -> None:
    script = Path(__file__).parent.parent.parent / "cli.py"
    result = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True
    )
    assert "receptive-field" in result.stdout
