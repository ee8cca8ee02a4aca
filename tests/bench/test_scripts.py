"""The scripts under benchmarks/."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Not for people: it answers another process.
SERVES = {"training_case"}
SCRIPTS = [
    path
    for path in sorted((ROOT / "benchmarks").rglob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8") and path.stem not in SERVES
]


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_says_what_it_does_and_does_nothing_else(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    # Another script may have imported it.
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(name, run_name="__main__")
    assert ended.value.code in (0, None)
    assert "usage: " in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
