"""What all commands share."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.helpers import GOLDEN, wavenet
from wavenet.cli.options import EngineName
from wavenet.engines import ENGINES
from wavenet.version import __version__

FORMAT_1 = GOLDEN / "format-1.safetensors"


def described(*args: object) -> Any:
    """What `wavenet receptive-field` says in JSON of one network."""
    (report,) = json.loads(wavenet("receptive-field", *args, "--json").stdout)
    return report


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


def test_the_version_is_printed_and_a_wrong_option_before_a_command_gets_its_line() -> None:
    for option in ("--version", "-V"):
        assert wavenet(option).output == f"wavenet {__version__}\n"
    wrong = wavenet("--versoin")
    assert wrong.exit_code == 1
    assert wrong.output == (
        "wavenet: No such option: --versoin (Possible options: --version); see wavenet --help\n"
    )


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("train x --lr 3", "--set train.learning_rate=..."),
        ("train x --batch-size=8", "--set train.batch=..."),
        ("train x --weight-decay 0", "--set train.weight_decay=..."),
        ("train x --epochs 3", "--steps or --minutes"),
        ("train x --finetune demo-voice", "--init-from"),
        ("train x --gpu", "--device"),
        ("generate demo-voice --duration 3", "--seconds"),
        ("generate demo-voice --overwrite", "--force"),
    ],
)
def test_an_option_of_another_program_is_told_as_it_is_here(command: str, advice: str) -> None:
    words = command.split()
    option = next(word for word in words if word.startswith("--")).partition("=")[0]
    line = f"No such option: {option}; here it is {advice}; see wavenet {words[0]} --help"
    assert wavenet(*words).output == f"wavenet: {line}\n"


def test_only_options_that_are_alike_are_proposed() -> None:
    alike = wavenet("generate", "demo-voice", "--speed", "3").output
    assert alike.startswith("wavenet: No such option: --speed (Possible options: --seed); see ")
    assert wavenet("generate", "demo-voice", "--gpu").output == (
        "wavenet: No such option: --gpu; see wavenet generate --help\n"
    )


def test_every_command_can_be_quiet_and_verbose_and_has_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    overview = wavenet("--help").output
    assert "..." not in overview.replace("ARGS]...", "")
    for name in re.findall(r"^│ ([a-z][a-z-]+) ", overview, re.MULTILINE):
        text = wavenet(name, "--help").output
        assert max(map(len, text.splitlines())) <= 80
        assert all(option in text for option in ("--quiet", "--verbose", "--help")), name
        assert not re.search(r"<(bool|str|int|path|list)", text), name


def test_verbose_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    plain = wavenet("generate", tmp_path / "none")
    verbose = wavenet("generate", tmp_path / "none", "-v")
    assert verbose.output.startswith("Traceback (most recent call last):")
    assert verbose.output.splitlines()[-1] == plain.output.rstrip("\n")


def test_engines_are_named_as_the_registry_has_them() -> None:
    assert set(get_args(EngineName)) == {"auto", *ENGINES}
