"""Recordings of instruments to train on, taken from a sample library.

    python -m benchmarks.studies.library_samples LIBRARY FOLDER [--seconds 300] [--longest 6]

LIBRARY is a folder of wav or flac files, such as a clone of one from github.com/sfzinstruments.
Evenly chosen ones, in the order of their names, are written to FOLDER/NUMBER.flac: mono, at their
own rate, and cut after --longest seconds, so many that they last --seconds. What a microphone far
from the instrument hardly heard is left out.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile as sf

from wavenet.glossary import Array

SUFFIXES = (".wav", ".flac")
SHORTEST = 0.2  # s
QUIETEST = 0.03  # peak, of full scale


def start_of(path: Path, seconds: float) -> tuple[Array, int]:
    """The first seconds of a file as mono (samples,), and its rate."""
    rate = sf.info(path).samplerate
    wav, _ = sf.read(path, frames=round(seconds * rate), dtype="float32", always_2d=True)
    return wav.mean(axis=1), rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--longest", type=float, default=6.0)
    options = parser.parse_args()
    lengths = {}
    for path in sorted(p for p in options.library.rglob("*") if p.suffix.lower() in SUFFIXES):
        wav, rate = start_of(path, options.longest)
        if len(wav) >= SHORTEST * rate and np.abs(wav).max() >= QUIETEST:
            lengths[path] = len(wav) / rate
    every = max(1.0, sum(lengths.values()) / options.seconds)
    usable = list(lengths)
    chosen = [usable[int(i * every)] for i in range(int(len(usable) / every))]
    options.folder.mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(chosen):
        wav, rate = start_of(path, options.longest)
        sf.write(options.folder / f"{i:03}.flac", wav, rate, subtype="PCM_16")
    seconds = sum(lengths[p] for p in chosen)
    print(f"{options.folder}: {len(chosen)} of {len(usable)} samples, {seconds:.0f} s")


if __name__ == "__main__":
    main()
