"""A stand-in for sounddevice and the loudspeaker behind it."""

from collections.abc import Collection
from types import ModuleType

import numpy as np

from wavenet.glossary import Wav


class Loudspeaker(ModuleType):
    """sounddevice, as far as it is used; `gaps` are the numbers of blocks that came too late."""

    class PortAudioError(Exception):
        pass

    def __init__(self, gaps: Collection[int] = (), problem: str = "") -> None:
        super().__init__("sounddevice")
        self.gaps, self.problem = gaps, problem
        self.settings: dict[str, object] = {}
        self.played: list[Wav] = []
        self.is_open = False

    def check_output_settings(self, **_settings: object) -> None:
        if self.problem:
            raise self.PortAudioError(self.problem)

    def OutputStream(self, samplerate: int, **settings: object) -> "Loudspeaker":  # noqa: N802
        self.check_output_settings()
        self.settings = {"samplerate": samplerate, **settings}
        return self

    def __enter__(self) -> "Loudspeaker":
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def write(self, wav: Wav) -> bool:
        assert wav.dtype == np.float32
        assert wav.flags.c_contiguous
        self.played.append(wav.copy())
        return len(self.played) - 1 in self.gaps
