"""How soon a command makes its first sound: `wavenet generate demo-voice` to 0.1 s of audio.

    python -m benchmarks.first_sound [--rounds N]

First with nothing compiled, then warm; each is a process, timed from its start to its end.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wavenet.system.machine import machine

ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(f"{machine()}; medians of {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        first, lines = seconds(Path(folder))
        warm = [seconds(Path(folder))[0] for _ in range(rounds)]
    print(f"{'first time':14}{first:>7.2f} s")
    for line in lines:
        print(f"{'':14}{line}")
    print(f"{'warm':14}{statistics.median(warm):>7.2f} s, {min(warm):.2f} to {max(warm):.2f}")


def seconds(folder: Path) -> tuple[float, list[str]]:
    """Those of the command with compiled code kept in a folder, and what it said of compiling."""
    command = [sys.executable, "-m", "wavenet", "generate", "demo-voice", "--seconds", "0.1"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "numba")}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--force", "-o", str(folder / "new.wav")],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    passed = time.perf_counter() - started
    return passed, [line for line in done.stderr.splitlines() if line.startswith("compil")]


if __name__ == "__main__":
    main()
