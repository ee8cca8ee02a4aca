"""What users of the library are told, and where."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet.system.notices import LOGGER, tell, warn


class Terminal:
    """A standard error that a person may read."""

    def __init__(self, isatty: bool) -> None:
        self.text, self._isatty = "", isatty

    def isatty(self) -> bool:
        return self._isatty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...


@pytest.mark.parametrize("kind", ["terminal", "notebook", "file"])
def test_a_line_is_shown_to_a_person_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal(kind == "terminal")
    monkeypatch.setattr(sys, "stderr", stderr)
    if kind == "notebook":
        monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    tell("compiling")
    assert stderr.text == ("" if kind == "file" else "wavenet: compiling\n")


def test_whoever_has_set_up_logging_decides(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stderr = Terminal(True)
    monkeypatch.setattr(sys, "stderr", stderr)
    with caplog.at_level(logging.INFO, "wavenet"):
        tell("compiling")
    assert caplog.messages == ["compiling"]
    monkeypatch.setattr(LOGGER, "level", logging.ERROR)
    LOGGER.manager._clear_cache()  # type: ignore[attr-defined]
    tell("silenced")
    LOGGER.manager._clear_cache()  # type: ignore[attr-defined]
    assert stderr.text == ""
    assert caplog.messages == ["compiling"]


@pytest.mark.slow
def test_compiling_is_told_in_python_once(tmp_path: Path) -> None:
    """Of an engine and of a network by itself, but not of other people's functions."""
    code = """
import os, sys
os.environ["NUMBA_CACHE_DIR"] = sys.argv[1]
sys.ps1 = ">>> "
import numba, torch, wavenet
numba.njit(lambda x: x + 1)(1)
network = wavenet.WaveNet(wavenet.ModelConfig(layers=2, residual_channels=8, skip_channels=8))
for dtype in (torch.float32, torch.float64):
    network.to(dtype)(torch.zeros(1, 9, dtype=torch.int64))
print("network", file=sys.stderr)
wavenet.generate(wavenet.Model.from_network(network), 0.01)
print("engine", file=sys.stderr)
wavenet.generate(wavenet.Model.from_network(network), 0.01)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    compiling = "wavenet: compiling the CPU kernels for this machine, once; some seconds"
    assert told[:3] == [compiling, "network", compiling]
    assert told[3].startswith("wavenet: compiled in ")
    assert told[4:] == ["engine"]


def test_a_warning_reaches_logs_and_people_alike(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stderr = Terminal(True)
    monkeypatch.setattr(sys, "stderr", stderr)
    warn("skipped")
    assert [(r.levelname, r.message) for r in caplog.records] == [("WARNING", "skipped")]
    monkeypatch.setattr(LOGGER, "hasHandlers", lambda: False)
    warn("skipped again")
    assert stderr.text == "wavenet: skipped again\n"


def test_a_standard_error_that_is_no_terminal_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for stderr in (object(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        tell("compiling")
