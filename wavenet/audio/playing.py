"""Audio out of the machine's loudspeakers, by PortAudio through sounddevice.

Both are optional, as is a machine that has loudspeakers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from wavenet.audio.writing import Sink
from wavenet.errors import UsageError
from wavenet.glossary import Wav

PIP = "pip install 'wavenet-audio[listen]'"


def require_device(sample_rate: int) -> None:
    """Raise UsageError unless mono audio of this rate in Hz can be played."""
    sounddevice = _sounddevice()
    try:
        sounddevice.check_output_settings(samplerate=sample_rate, channels=1, dtype="float32")
    except (sounddevice.PortAudioError, ValueError) as e:
        reason = f"no device here plays {sample_rate} Hz ({e})"
        raise UsageError("listen", None, reason, "leave it out") from None


@contextmanager
def player(sample_rate: int, block: int, on_gap: Callable[[], object]) -> Iterator[Sink]:
    """Plays blocks of up to `block` samples (time,) as they are written to it.

    Writing waits until the device takes a block; the device holds two, so that it plays one while
    the next is computed. `on_gap` is called at the first gap in the sound, which comes where the
    next block came too late. Raises UsageError where nothing can be played.
    """
    sounddevice = _sounddevice()
    try:
        # It ends with waiting for what it has not played yet.
        with sounddevice.OutputStream(
            sample_rate, channels=1, dtype="float32", latency=2 * block / sample_rate
        ) as stream:
            yield _Player(stream, on_gap)
    except sounddevice.PortAudioError as e:
        raise UsageError("listen", None, f"cannot be played ({e})", "leave it out") from None


class _Player:
    def __init__(self, stream: Any, on_gap: Callable[[], object]) -> None:
        self._stream, self._on_gap = stream, on_gap
        # There is always one before the first block.
        self._blocks, self._gap_told = 0, False

    def write(self, wav: Wav) -> None:
        is_gap = self._stream.write(np.ascontiguousarray(wav, np.float32))
        if is_gap and self._blocks and not self._gap_told:
            self._gap_told = True
            self._on_gap()
        self._blocks += 1


def _sounddevice() -> Any:
    """The module. Raises UsageError where it, or the library that it calls, is missing."""
    try:
        import sounddevice
    except ImportError:
        raise UsageError("listen", None, "sounddevice is not installed", PIP) from None
    except OSError:
        reason, advice = "PortAudio is not installed", "apt install libportaudio2, or the like"
        raise UsageError("listen", None, reason, advice) from None
    return sounddevice
