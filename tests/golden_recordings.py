"""The recordings that tests/golden/run-1 was trained on.

They are the same to the last bit on every machine.
"""

import wave
from pathlib import Path

import numpy as np

RATE = 8000
SECONDS = 0.8


def write_recordings(folder: Path) -> None:
    """Two voices with four recordings each: triangle waves and noise, in integer arithmetic."""
    for voice, period in (("ada", 37), ("bob", 59)):
        (folder / voice).mkdir(parents=True)
        for i in range(4):
            n = np.arange(round(SECONDS * RATE), dtype=np.int64)
            triangle = np.abs(n % (period + i) * 2 - (period + i)) * 200
            noise = (n * 1103515245 + 12345 + i * 7919) // 65536 % 512
            pcm = (triangle + noise - 4000).astype("<i2")
            with wave.open(str(folder / voice / f"{i}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(pcm.tobytes())
