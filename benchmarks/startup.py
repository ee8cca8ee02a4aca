"""How soon the commands that only look at something answer.

    python -m benchmarks.startup [--rounds N]

Each is a process, timed from its start to its end, in a folder with one short run. The commands
take turns. The seconds of CPU are the ones to trust on a busy machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import parser
from wavenet.system.machine import machine

COMMANDS = (
    "--help",
    "train --help",
    "presets",
    "settings",
    "receptive-field paper",
    "runs",
    "info runs/a",
    "info demo-voice",
    "plot runs/a --force",
    "cache",
)
RECORDINGS = Path(__file__).parents[1] / "data" / "starter" / "speech" / "allison"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = f"train {RECORDINGS} --config tiny --steps 2 --out runs/a --cache cache"
        measure(run, folder)
        times = [[measure(command, folder) for command in COMMANDS] for _ in range(rounds)]
    print(f"{machine()}; medians of {rounds} rounds")
    print(f"{'wavenet ...':24} {'seconds':>8} {'of CPU':>7}")
    for i, command in enumerate(COMMANDS):
        seconds, cpu = (statistics.median(row[i][k] for row in times) for k in (0, 1))
        print(f"{command:24} {seconds:>8.2f} {cpu:>7.2f}")


def measure(command: str, folder: Path) -> tuple[float, float]:
    """The seconds that a command takes, and those of CPU."""
    started, before = time.perf_counter(), os.times()
    words = [sys.executable, "-m", "wavenet", *command.split()]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return time.perf_counter() - started, cpu


if __name__ == "__main__":
    main()
