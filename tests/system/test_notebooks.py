"""What a notebook shows of bars and lines, in a kernel of Jupyter."""

import io
import re
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wavenet.system.notebooks import accept_missing_widgets, in_a_notebook
from wavenet.system.notices import tell
from wavenet.system.progress import bar

COMPILING = "wavenet: compiling the CPU kernels for this machine, once; some seconds"
TRAINING = """
import numpy as np, wavenet
network = wavenet.ModelConfig(layers=3, residual_channels=8, skip_channels=8)
recipe = wavenet.TrainConfig(steps=300, batch=1, segment_seconds=0.05, sample_seconds=0)
config = wavenet.Config(name="tones", model=network, train=recipe)
tones = [0.5 * np.sin(0.01 * k * np.arange(16000)) for k in range(4, 9)]
"""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as IPython has made it a notebook's kernel."""
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)


def shown(text: str) -> list[str]:
    """The lines that are left of a text whose lines are taken back."""
    return re.sub(r"[^\n]*\r(?=[^\n])", "", text).rstrip("\r ").splitlines()


def test_a_notebook_has_one_line_for_a_bar(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_a_notebook()
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr("wavenet.system.progress.REDRAW_SECONDS", 0.0)
    with bar(9, unit="steps") as steps:
        for _ in range(9):
            steps.update()
    assert stderr.getvalue().count("\r") >= 9
    (line,) = shown(stderr.getvalue())
    assert line.startswith("100% |###")


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not in_a_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_a_notebook()


def test_lines_stand_above_a_bar(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with bar(2, unit="steps") as steps:
        steps.update()
        tell("compiling")
        assert shown(stderr.getvalue())[0] == "wavenet: compiling"
        assert " 50% |" in shown(stderr.getvalue())[1]
    assert len(shown(stderr.getvalue())) == 2


def test_missing_widgets_are_no_matter_for_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accept_missing_widgets()
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.", stacklevel=1)
        with pytest.raises(UserWarning, match="another"):
            warnings.warn("another", stacklevel=1)


@contextmanager
def client_of(kernels: Any, folder: Path) -> Iterator[tuple[Any, Any]]:
    """A kernel's manager, and a client that asks it."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(**kernels.kernel(folder))
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernels() -> Any:
    """The module that runs notebooks in kernels."""
    for name in ("ipykernel", "nbclient"):
        pytest.importorskip(name, reason=f"{name} is not installed: ./setup.sh dev does it")
    from docs.tools import tour

    return tour


@pytest.mark.slow
def test_compiling_and_progress_in_a_kernel(kernels: Any, tmp_path: Path) -> None:
    import nbformat

    cells = [
        f"{TRAINING}mine = wavenet.train(tones, config, steps=9, progress=True)",
        "wavenet.generate(mine, 0.1)",
        # Brings a library along that asks for a bar of widgets.
        'wavenet.play("demo-flute", "C5:0.1")',
        "wavenet.generate(mine, 0.1)",
        "wavenet.train([*tones, np.zeros(9000)], config, steps=9, progress=True)",
    ]
    new: Any = nbformat.v4
    notebook = new.new_notebook(cells=[new.new_code_cell(source) for source in cells])
    caches = {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    kernels.execute(notebook, tmp_path, caches)
    said = ["".join(o.get("text", "") for o in cell.outputs) for cell in notebook.cells]
    bar_of_nine = r"100% \|█+\| 9 of 9 steps, in \d\d:\d\d, [\d.]+ of 8 bits, [\d.]+k samples/s\n"
    compiling = rf"{COMPILING}\nwavenet: compiled in [\d.]+ s\n"
    assert re.fullmatch(compiling + bar_of_nine, said[0])
    assert re.fullmatch(compiling, said[1])
    assert re.fullmatch(f"({compiling})?", said[2])
    assert said[3] == ""
    skipped = r"wavenet: 1 recording skipped: recordings\[5\]\.wav \(silent: .*\)\n"
    assert re.fullmatch(skipped + bar_of_nine, said[4])


@pytest.mark.slow
def test_interrupting_a_kernel_saves_and_returns(kernels: Any, tmp_path: Path) -> None:
    code = f"""{TRAINING}
import sys
def step(number, bits):
    if number == 5:
        print("at 5", flush=True, file=sys.stderr)
mine = wavenet.train(tones, config, progress=True, on_step=step, out="run")
# Into the stream of the bar: a kernel sends each of its two streams when it likes.
print("step", mine.training.step, "of", wavenet.load("run").training.step, file=sys.stderr)
"""
    text = ""
    with client_of(kernels, tmp_path) as (manager, client):
        asked = client.execute(code)
        while True:
            message = client.get_iopub_msg(timeout=120)
            content = message["content"]
            assert message["msg_type"] != "error", content["traceback"]
            if message["msg_type"] == "stream":
                text += content["text"]
                if "at 5" in content["text"]:
                    manager.interrupt_kernel()
            is_ours = message["parent_header"].get("msg_id") == asked
            if is_ours and content.get("execution_state") == "idle":
                break
    lines = shown(text)
    (line,) = [line for line in lines if "interrupted" in line]
    found = re.fullmatch(r"wavenet: interrupted at step (\d+), before the model was scored", line)
    assert found, line
    at = int(found[1])
    assert 5 <= at < 300
    assert f"step {at} of {at}" in lines
    assert len([line for line in lines if "of 300 steps" in line]) <= 2
