"""The pitch of tones is known; recordings in pieces, and in several processes, have the same."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import STARTER, noisy, tone
from wavenet.audio import pitch
from wavenet.audio.quantization import from_pcm16, to_pcm16
from wavenet.errors import AudioError, UsageError

RANGE = (80, 60.0, 1000.0)  # hop, low_hz, high_hz
REPOSITORY = Path(__file__).parents[2]


def harmonic(seconds: float, rate: int, hertz: float) -> np.ndarray[Any, Any]:
    """A tone with overtones below half the rate."""
    wav = sum(tone(seconds, rate, k * hertz, 0.2 / k) for k in range(1, 6) if k * hertz < rate / 2)
    return np.asarray(wav, np.float32)


def speech() -> np.ndarray[Any, Any]:
    wav, rate = sf.read(STARTER / "speech" / "allison" / "hello-world.flac", dtype="float32")
    assert rate == 16000
    return np.asarray(wav, np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
@pytest.mark.parametrize("hertz", [65.0, 220.0, 500.0])
def test_a_tone_has_its_note(rate: int, hertz: float) -> None:
    frames = pitch.track(harmonic(0.4, rate, hertz), rate, rate // 100, 60, 1000)
    assert frames.shape == (41, 2)
    assert frames.dtype == np.float32
    inner = frames[5:-5]
    np.testing.assert_array_equal(inner[:, 1], 1)
    errors = np.abs(inner[:, 0] - (69 + 12 * np.log2(hertz / 440)))
    assert np.median(errors) < 0.1
    # Little more than two periods of the lowest tone lie in a frame.
    assert errors.max() < 0.3


def test_a_glide_is_followed_within_steps() -> None:
    rate, times = 16000, np.arange(16000) / 16000
    notes = 57 + 2 * np.sin(2 * np.pi * 2 * times)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / rate
    wav = (0.3 * np.sin(phase) + 0.1 * np.sin(2 * phase)).astype(np.float32)
    frames = pitch.track(wav, rate, *RANGE)[5:-5]
    errors = np.abs(frames[:, 0] - notes[::80][5 : 5 + len(frames)])
    assert frames[:, 1].all()
    assert np.median(errors) < 0.05
    assert errors.max() < 0.3


@pytest.mark.parametrize("samples", [0, 1, 79, 80, 100, 8000])
def test_silence_and_noise_have_the_middle_of_the_range(samples: int) -> None:
    middle = 69 + 12 * np.log2(np.sqrt(60 * 1000) / 440)
    for amplitude in (0.0, 1e-6):
        wav = noisy(samples / 8000, amplitude=amplitude).astype(np.float32)
        frames = pitch.track(wav, 8000, *RANGE)
        assert frames.shape == (1 + samples // 80, 2)
        np.testing.assert_allclose(frames, [[middle, 0]] * len(frames), rtol=1e-6)


def test_a_tone_below_the_level_of_silence_is_unvoiced() -> None:
    assert not pitch.track(1e-4 * harmonic(0.3, 8000, 220), 8000, *RANGE)[:, 1].any()


def test_unvoiced_frames_have_the_note_of_the_nearest_voiced_one() -> None:
    gap = np.zeros(4000, np.float32)
    wav = np.concatenate([gap, harmonic(0.5, 8000, 220), gap, harmonic(0.5, 8000, 330), gap])
    frames = pitch.track(wav, 8000, *RANGE)
    np.testing.assert_allclose(frames[[0, 30, 120], 0], 57, atol=0.2)
    np.testing.assert_allclose(frames[[130, 230, -1], 0], 69 + 12 * np.log2(0.75), atol=0.2)
    np.testing.assert_array_equal(frames[[0, 30, 125, 230, -1], 1], 0)
    np.testing.assert_array_equal(frames[[75, 175], 1], 1)


@pytest.mark.parametrize("hop", [64, 256])
def test_pieces_are_as_the_whole(monkeypatch: pytest.MonkeyPatch, hop: int) -> None:
    wav = np.tile(speech(), 3)[: 1000 * hop]
    whole = pitch.track(wav, 16000, hop, 60, 600)
    monkeypatch.setattr(pitch, "PIECE_SAMPLES", 1)
    pieces = pitch.track(wav, 16000, hop, 60, 600)
    assert 0.1 < whole[:, 1].mean() < 0.9
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("hop", [3, 4000, 100_000])
def test_any_hop_will_do(hop: int) -> None:
    frames = pitch.track(harmonic(0.25, 8000, 220), 8000, hop, 110, 440)
    assert frames.shape == (1 + 2000 // hop, 2)
    assert abs(np.median(frames[:, 0]) - 57) < 0.3


@pytest.mark.parametrize(
    ("parameter", "hop", "low", "high"),
    [
        ("hop", 0, 60, 600),
        ("low_hz", 80, 0, 600),
        ("low_hz", 80, 400, 600),
        ("low_hz", 80, float("nan"), 600),
        ("high_hz", 80, 60, 4001),
    ],
)
def test_ranges_that_cannot_be_are_refused(
    parameter: str, hop: int, low: float, high: float
) -> None:
    with pytest.raises(UsageError) as caught:
        pitch.track(np.zeros(100, np.float32), 8000, hop, low, high)
    assert caught.value.parameter == parameter
    with pytest.raises(UsageError):
        pitch.tracks([], 8000, hop, low, high)


def test_nan_is_refused() -> None:
    with pytest.raises(UsageError, match="NaN"):
        pitch.track(np.full(100, np.nan, np.float32), 8000, *RANGE)


def recordings() -> list[tuple[str, Any]]:
    wavs = [harmonic(0.5, 8000, 150 + 40 * i) for i in range(3)]
    return [(str(i), to_pcm16(wav)) for i, wav in enumerate([*wavs, np.zeros(0)])]


@pytest.mark.parametrize("processes", [1, 2, None])
def test_many_are_as_each_alone(processes: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pitch, "PIECE_SAMPLES", 1)
    alone = [(name, pitch.track(from_pcm16(pcm), 8000, *RANGE)) for name, pcm in recordings()]
    found = list(pitch.tracks(iter(recordings()), 8000, *RANGE, processes))
    assert [name for name, _ in found] == [name for name, _ in alone]
    for (_, one), (_, other) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(pitch.tracks([], 8000, *RANGE, processes)) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_recordings_comes_after_those_before_it(processes: int) -> None:
    def damaged() -> Iterator[tuple[str, Any]]:
        yield from recordings()[:2]
        raise AudioError("2", "is damaged")

    found = pitch.tracks(damaged(), 8000, *RANGE, processes)
    assert [next(found)[0], next(found)[0]] == ["0", "1"]
    with pytest.raises(AudioError, match="2: is damaged"):
        next(found)


# Without a guard, in a process of its own, of which Ctrl-C reaches all.
SCRIPT = """
import os, signal, sys
import numpy as np
from wavenet.audio import pitch
from wavenet.errors import WavenetError
rng = np.random.default_rng(0)
noise = (3000 * rng.standard_normal(160_000)).astype(np.int16)
recordings = ((str(i), noise) for i in range(int(sys.argv[1])))
try:
    for name, frames in pitch.tracks(recordings, 8000, 80, 60, 1000, 2):
        print(name, len(frames), flush=True)
        if "stop" in sys.argv:
            break
        if "kill" in sys.argv:
            with open(f"/proc/self/task/{os.getpid()}/children") as f:
                children = f.read().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
except KeyboardInterrupt:
    sys.exit(130)
except WavenetError as e:
    print(e)
"""


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_script_needs_no_guard() -> None:
    script = start("2")
    assert script.communicate(timeout=120) == ("0 2001\n1 2001\n", "")


@pytest.mark.slow
def test_whoever_reads_no_further_is_not_warned() -> None:
    assert start("1000", "stop").communicate(timeout=120) == ("0 2001\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals a whole session")
def test_ctrl_c_ends_all_processes_and_prints_nothing() -> None:
    script = start("1000")
    assert script.stdout is not None
    assert script.stdout.readline() == "0 2001\n"
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=20)
    assert script.returncode == 130
    assert errors == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_process_that_is_killed_is_one_error() -> None:
    printed, _ = start("1000", "kill").communicate(timeout=60)
    last = printed.splitlines()[-1]
    assert "its pitch could not be computed" in last
