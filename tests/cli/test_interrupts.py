"""Ctrl-C while a command starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A library that takes its time and catches what it should not.
SLOW = """
import pathlib, time
pathlib.Path("importing").touch()
try:
    time.sleep(20)
except BaseException:
    pass
"""


@pytest.mark.parametrize(
    ("command", "library"), [("train recordings", "torch"), ("generate demo-voice", "numba")]
)
def test_ctrl_c_while_libraries_are_imported_ends_it_with_a_line(
    command: str, library: str, tmp_path: Path
) -> None:
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / f"{library}.py").write_text(SLOW)
    repository = Path(__file__).parents[2]
    path = os.pathsep.join([str(libraries), str(repository)])
    started = subprocess.Popen(
        [sys.executable, "-m", "wavenet", *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "importing").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    printed, line = started.communicate(timeout=15)
    assert started.returncode == 130
    assert printed == ""
    assert line == "wavenet: interrupted\n"
    assert {path.name for path in tmp_path.iterdir()} == {"libraries", "importing"}


def test_who_had_ctrl_c_ignored_keeps_that() -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from wavenet.system import interrupts\n"
        "interrupts.end_at_once()\n"
        "signal.raise_signal(signal.SIGINT)\n"
        "interrupts.raise_exceptions()\n"
        "signal.raise_signal(signal.SIGINT)\n"
        "print('on')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "on\n"
