"""Commands that are pasted into a shell come out as they went in."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet.system.shell import command

WORDS = ["runs/My Voice-tiny", "it's", "$HOME", "a;b", "*.wav", "Zoë", "", 'say "hi"', "a\\b"]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_the_words_that_were_meant(word: str) -> None:
    line = command("wavenet", "generate", word, "--seconds", 10)
    assert shlex.split(line) == ["wavenet", "generate", word, "--seconds", "10"]


@pytest.mark.skipif(os.name == "nt", reason="cmd has no printf")
def test_this_machines_shell_does_so_too() -> None:
    code = "import sys; print(ascii(sys.argv[1:]))"
    line = command(sys.executable, "-c", code, *WORDS)
    printed = subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == ascii(WORDS)


def test_plain_words_and_parameters_stay_as_they_are() -> None:
    line = command("wavenet", "train", "`out`", "runs/a-tiny", "`set`", "train.steps=10")
    assert line == "wavenet train `out` runs/a-tiny `set` train.steps=10"


def test_on_windows_quotes_are_those_of_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    assert command("wavenet", r"C:\My Voice", "a") == r'wavenet "C:\My Voice" a'


def test_a_path_that_begins_with_a_dash_is_no_option() -> None:
    assert command("wavenet", "generate", Path("-lead"), "--seed") == (
        f"wavenet generate .{os.sep}-lead --seed"
    )
