"""Hours of audio: memory stays flat. Run by `make test-long`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.conftest import SMALL, as_checkpoint, network
from wavenet import checkpoint

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform == "win32", reason="asks getrusage for the peak memory")]


def recording(path: Path, minutes: float, rate: int, channels: int) -> Path:
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    with sf.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for _ in range(round(6 * minutes)):
            file.write((0.1 * rng.standard_normal((10 * rate, channels))).astype(np.float32))
    return path.parent


def peak_megabytes(code: str, *args: object) -> float:
    """Of a fresh process that runs `code`."""
    script = f"import sys, resource\n{code}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)"
    result = subprocess.run([sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


INDEX = """
from pathlib import Path
from wavenet.config import AudioConfig
from wavenet.pcm_cache import index_folder
found = index_folder(Path(sys.argv[1]), AudioConfig(), trim=True, cache=Path(sys.argv[2]))
assert len(found.recordings) == 1, found.skipped
print(found.seconds)
"""
EVALUATE = """
from pathlib import Path
from wavenet.score import EvaluateRequest, evaluate
for line in evaluate(EvaluateRequest(Path(sys.argv[1]), Path(sys.argv[2]), cache=Path(sys.argv[3])), as_json=True): print(line)
"""


def test_three_stereo_hours_are_indexed_at_flat_memory(tmp_path: Path) -> None:
    short = recording(tmp_path / "short" / "a.wav", 1, 48000, 2)
    long = recording(tmp_path / "long" / "a.wav", 180, 48000, 2)
    assert (long / "a.wav").stat().st_size > 2e9
    few, many = (peak_megabytes(INDEX, folder, tmp_path / "cache") for folder in (short, long))
    assert many < few + 60, (few, many)


def test_a_long_file_is_scored_at_flat_memory(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model.safetensors", as_checkpoint(network(SMALL)))
    short = recording(tmp_path / "short" / "a.wav", 1, 8000, 1)
    long = recording(tmp_path / "long" / "a.wav", 40, 8000, 1)
    few, many = (peak_megabytes(EVALUATE, tmp_path / "model.safetensors", folder, tmp_path / "cache") for folder in (short, long))
    mapped = 2 * 40 * 60 * 8000 / 1e6  # of the cache itself, which the kernel takes back when it likes
    assert many < few + mapped + 60, (few, many)
