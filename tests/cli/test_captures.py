"""What every command prints in a terminal of 80 columns, and of 120.

captures-80.txt and captures-120.txt are transcripts of COMMANDS, in the folder that `place` makes.
Times, speeds, the machine and all decimals are left out of the comparison, since the last digits of
a sum are another CPU's own, and so is where lines break: a longer figure may move a word. After a
change of what is printed, write them anew, and read what changed:

    WRITE_CAPTURES=1 python -m pytest tests/cli/test_captures.py
"""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from tests.helpers import (
    INSTRUMENT,
    SMALL,
    VOCODER,
    VOICES,
    as_checkpoint,
    network,
    noisy,
    wavenet,
    write_recordings,
)
from wavenet.bench.measure import Row
from wavenet.config import AudioConfig, Config, TrainConfig
from wavenet.data import cache_folders
from wavenet.data.cache_folders import entries
from wavenet.model import checkpoint

ROOT = Path(__file__).parents[2]
WIDTHS = (80, 120)
# The version that the help was written with.
TYPER = "0.29."
COMMANDS = (Path(__file__).parent / "captures.sh").read_text(encoding="utf-8").splitlines()
# What is another on another machine or at another time.
VARYING = {
    r"\d{4}-\d\d-\d\d( \d\d:\d\d)?": "DATE",
    r"[\d.,]+k? samples/s": "SPEED",
    r"[\d.]+ x real time": "SPEED",
    r"\b\d+:\d\d(:\d\d)?\b": "TIME",
    r"[\d.]+ (s|ms) a step": "TIME a step",
    r"about [\d.]+ s\b": "about TIME",
    r"\bin \d\d:\d\d\b": "in TIME",
    r"\(\d+ threads?\)": "(THREADS)",
    r"\((AVX-512|AVX2|x86-64|NEON), (bf16|fp32), (up to )?\d+ threads?\)": "(CPU)",
    r"\d+ CPU threads?": "THREADS",
    r"[\d.]+ [MG]B at the most": "MEMORY",
    r"-[0-9a-f]{12}\b": "-HASH",
    r"(wavenet|torch|version) +\d+\.\d+\.\d+(\+\w+)?": r"\1 VERSION",
    r"-?\d+\.\d+": "#",
    # The kernels' cache may be empty.
    r"compiling the CPU kernels for this machine, once; some seconds\s+compiled in # s\s": "",
    # Bars of a drawing, and frames.
    r"[─═█▏▎▍▌▋▊▉▁▂▃▄▅▆▇│╭╮╰╯]+": "",
}
# What `wavenet bench` measures.
ROWS = [Row("numba", "bf16", threads, batch, 150_000.0 * batch, 18.75 * batch)
        for threads, batch in ((1, 1), (2, 16))]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with models, recordings and a run."""
    folder = tmp_path_factory.mktemp("captures")
    models = {"model": SMALL, "voices": VOICES, "vocoder": VOCODER, "instrument": INSTRUMENT}
    for name, model in models.items():
        checkpoint.save(folder / f"{name}.safetensors", as_checkpoint(network(model)))
    write_recordings(folder / "speech", {f"{i}.wav": noisy(1.2, seed=i) for i in range(5)})
    write_recordings(folder / "speech", {"short.wav": noisy(0.01)})
    train = TrainConfig(steps=10, batch=3, segment_seconds=0.05, evaluate_every=5, sample_seconds=0)
    config = Config(name="test", audio=AudioConfig(sample_rate=8000), model=SMALL, train=train)
    (folder / "test.toml").write_text(config.to_toml())
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def comparable(text: str) -> str:
    """A transcript without what may vary."""
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return " ".join(text.split())


def is_too_wide(line: str, width: int) -> bool:
    """A command to copy may be wider, and a word that would not fit beside anything."""
    if len(line) <= width or " wavenet " in f" {line}":
        return False
    return max(map(len, line.split())) < width - 20


@pytest.mark.parametrize("width", WIDTHS)
def test_every_command_prints_what_it_did(
    width: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    # Which columns there is room for does not depend on where tests run.
    monkeypatch.setattr(
        cache_folders,
        "entries",
        lambda *of: [replace(e, folder="/home/ada/speech") for e in entries(*of)],
    )
    monkeypatch.setattr("wavenet.bench.measure.measure", lambda config, cases: ROWS)
    monkeypatch.setattr("wavenet.system.machine.machine", lambda: "a machine of some length")
    folder = place / str(width)
    folder.mkdir()
    for name in ("speech", "test.toml", *(path.name for path in place.glob("*.safetensors"))):
        (folder / name).symlink_to(place / name)
    monkeypatch.chdir(folder)
    transcript = ""
    for command in COMMANDS:
        result = wavenet(*shlex.split(command)[1:])
        lines = [line.rstrip() for line in result.output.splitlines()]
        # A .toml file is as wide as it is.
        is_file = command.startswith("wavenet presets tiny")
        wide = [line for line in lines if is_too_wide(line, width) and not is_file]
        assert not wide, f"{command}\n" + "\n".join(wide)
        status = f"(status {result.exit_code})\n" if result.exit_code else ""
        transcript += f"$ {command}\n" + "".join(f"{line}\n" for line in lines) + f"{status}\n"
    transcript = transcript.replace(str(place), "/home/ada").replace(str(ROOT), "/home/ada/wavenet")
    path = Path(__file__).parent / f"captures-{width}.txt"
    if os.environ.get("WRITE_CAPTURES"):
        path.write_text(transcript, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    for was, now in zip(expected.split("\n$ "), transcript.split("\n$ "), strict=True):
        # How help is laid out is the library's, and each version has it otherwise.
        if "--help" not in now.partition("\n")[0] or typer.__version__.startswith(TYPER):
            assert comparable(now) == comparable(was)
