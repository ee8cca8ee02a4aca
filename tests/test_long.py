"""Hours of audio: memory stays flat. `make test-long` runs these tests."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from benchmarks import hundred_hours
from tests.helpers import SMALL, as_checkpoint, network
from wavenet.model import checkpoint

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="asks getrusage for the peak memory"),
]


def recording(path: Path, minutes: float, rate: int, channels: int) -> Path:
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    with sf.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for _ in range(round(6 * minutes)):
            file.write((0.1 * rng.standard_normal((10 * rate, channels))).astype(np.float32))
    return path.parent


def peak_megabytes(code: str, *args: object) -> float:
    """The peak memory of a fresh process that runs `code`."""
    measure = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)"
    script = f"import sys, resource\n{code}\n{measure}"
    command = [sys.executable, "-c", script, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


INDEX = """
from pathlib import Path
from wavenet.config import AudioConfig
from wavenet.data.pcm_cache import index_folder
index = index_folder(Path(sys.argv[1]), AudioConfig(), trim=True, cache=Path(sys.argv[2]))
assert len(index.recordings) == 1, index.skipped
print(index.seconds)
"""
EVALUATE = """
from wavenet.cli.main import app
app(["evaluate", *sys.argv[1:3], "--cache", sys.argv[3], "--json"], standalone_mode=False)
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
    few, many = (
        peak_megabytes(EVALUATE, tmp_path / "model.safetensors", folder, tmp_path / "cache")
        for folder in (short, long)
    )
    # Megabytes of the mapped cache itself, which the kernel reclaims when it needs to.
    mapped = 2 * 40 * 60 * 8000 / 1e6
    assert many < few + mapped + 60, (few, many)


@pytest.fixture(scope="module")
def ten_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 4,000 recordings of nine seconds, no two alike."""
    folder = tmp_path_factory.mktemp("ten-hours")
    fill(folder, 4000)
    return folder


def fill(folder: Path, files: int) -> None:
    (folder / "recordings").mkdir()
    for i in range(files):
        hundred_hours.write(folder / "recordings" / f"{i}.flac", i, 9.0)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the anonymous memory")


@on_linux
def test_a_warm_cache_of_ten_hours_costs_a_fraction_of_making_it(
    ten_hours: Path, tmp_path: Path
) -> None:
    fill(tmp_path, 40)
    small = hundred_hours.child("index", tmp_path)
    cold, warm = (hundred_hours.child("index", ten_hours) for _ in range(2))
    hundred_hours.write(ten_hours / "recordings" / "new.flac", 4000, 9.0)
    more = hundred_hours.child("index", ten_hours)
    assert [report["decoded"] for report in (cold, warm, more)] == [4000, 0, 1]
    assert warm["cpu"] < cold["cpu"] / 20
    assert more["cpu"] < cold["cpu"] / 20
    # The peaks are in megabytes.
    assert cold["peak"] < small["peak"] + 40


@on_linux
def test_training_on_ten_hours_starts_as_on_minutes_at_flat_memory_and_with_cheap_batches(
    ten_hours: Path, tmp_path: Path
) -> None:
    fill(tmp_path, 40)
    folders = (tmp_path, ten_hours)
    for folder in folders:
        hundred_hours.child("index", folder)
    few, many = (hundred_hours.child("train", folder, "tiny", 60) for folder in folders)
    assert many["prepared_cpu"] < 1.5 * few["prepared_cpu"]
    assert many["first_step_cpu"] < few["first_step_cpu"] + 5 * few["step_cpu"]
    # Memory early and late in training is in megabytes.
    assert many["late"] < many["early"] + 40
    assert many["batch"] < 0.05 * many["step_cpu"]
