"""`wavenet cache`: what it lists, and clears."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers import matches, wavenet


def test_decoded_recordings_are_listed_and_cleared(
    training_folder: Path, model: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert wavenet("evaluate", model, training_folder, "--cache", cache).exit_code == 0
    listed = f""" MB  recordings    Hz  last used   folder
0.1           6  8000  ...  {training_folder}
0.1 MB in {cache}
"""
    printed = wavenet("cache", "--cache", cache).stdout
    assert matches(printed, listed), printed
    (entry,) = json.loads(wavenet("cache", "--cache", cache, "--json").stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", entry["used"])
    assert entry["settings"].items() >= {"audio.sample_rate": 8000, "trim": False}.items()
    cleared = wavenet("cache", training_folder, "--clear", "--cache", cache).stdout
    assert cleared.endswith(f"cleared: 0.1 MB of {training_folder} in {cache}\n")
    nothing = wavenet("cache", "--cache", cache).stdout
    assert nothing == f"{cache}: holds no decoded recordings\n"
    assert list(cache.iterdir()) == []


def test_they_are_cleared_though_nobody_reads_the_list(
    training_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(text: object) -> None:
        raise BrokenPipeError

    assert wavenet("evaluate", model, training_folder).exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr("wavenet.cli.terminal.result", unread)
        wavenet("cache", "--clear")
    assert "holds no decoded recordings" in wavenet("cache").stdout


def test_a_folder_that_has_gone_is_listed_as_such(
    training_folder: Path, model: Path, tmp_path: Path
) -> None:
    assert wavenet("evaluate", model, training_folder).exit_code == 0
    training_folder.rename(tmp_path / "moved")
    assert f"{training_folder}  (no longer there)\n" in wavenet("cache").stdout
