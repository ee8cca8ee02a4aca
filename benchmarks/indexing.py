"""How fast a folder of recordings is decoded into the cache, and in how much memory.

    python -m benchmarks.indexing [FILES] [HOURS]

FILES (3000) files of half a second (44.1 kHz stereo), then one of HOURS (3) hours (48 kHz stereo),
are resampled to 16 kHz. It prints the contents of a code block for a page.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.arguments import parser
from wavenet.config import AudioConfig
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.system.machine import machine

HALF_SECOND = 22050


def main(files: int, hours: float) -> None:
    print(machine())
    print(
        f"{'what':44} {'seconds':>8} {'files a minute':>15} {'x real time':>12} {'peak memory':>12}"
    )
    with tempfile.TemporaryDirectory() as place:
        many, long = Path(place, "many"), Path(place, "long")
        many.mkdir()
        long.mkdir()
        rng = np.random.default_rng(0)
        for i in range(files):
            sf.write(many / f"{i:05}.wav", 0.1 * rng.standard_normal((HALF_SECOND, 2)), 44100)
        row(f"{files} files of half a second, first time", many)
        row(f"{files} files, none changed", many)
        sf.write(many / "00000.wav", 0.1 * rng.standard_normal((HALF_SECOND, 2)), 44100)
        row(f"{files} files, one changed", many)
        with sf.SoundFile(long / "long.wav", "w", 48000, 2, "PCM_16") as file:
            minute = (0.1 * rng.standard_normal((60 * 48000, 2))).astype(np.float32)
            for _ in range(round(60 * hours)):
                file.write(minute)
        row(f"one stereo file of {hours:g} hours at 48 kHz", long)


def row(what: str, folder: Path) -> None:
    """Index in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--index", str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, files, audio_seconds, peak = map(float, printed.split())
    print(
        f"{what:44} {seconds:>8.2f} {60 * files / seconds:>15,.0f} "
        f"{audio_seconds / seconds:>12,.0f} {peak:>9.0f} MB"
    )


def index(folder: Path) -> Index:
    return index_folder(folder, AudioConfig(), trim=True, cache=folder.parent / "cache")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--index"]:
        started = time.monotonic()
        indexed = index(Path(sys.argv[2]))
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(seconds, len(indexed.recordings), indexed.seconds, peak)
    else:
        arguments = parser(__doc__)
        arguments.add_argument("files", type=int, nargs="?", default=3000)
        arguments.add_argument("hours", type=float, nargs="?", default=3.0)
        main(**vars(arguments.parse_args()))
