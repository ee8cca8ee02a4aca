"""Mel frames that another program made: opened, checked and brought into the form of ours."""

from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavenet.audio import mel_filters
from wavenet.audio.mel_scales import SCALES, MelStatistics, converted, recognise, shifted
from wavenet.config import ModelConfig
from wavenet.errors import AudioError, UsageError
from wavenet.glossary import Array

SUFFIX = ".npy"


class Problem(NamedTuple):
    """Why frames cannot be followed, and what to do about it."""

    reason: str
    advice: str


class MelFormat(NamedTuple):
    """How the program that made mel frames makes them; by default as this one does."""

    # One of SCALES.
    scale: str = "ln"
    # The sample that the first frame is centred on.
    offset: int = 0
    # Where the bands begin and end, in Hz; None where the model's do.
    range: tuple[float, float] | None = None

    def check(self, model: ModelConfig, sample_rate: int) -> None:
        """Raise UsageError for a scale, an offset or a range that there is not."""
        if self.scale not in SCALES:
            raise UsageError("mel_scale", str(self.scale), f"must be one of {', '.join(SCALES)}")
        window, nyquist = model.frame_window, sample_rate / 2
        if not isinstance(self.offset, Integral) or abs(self.offset) > window:
            rule = f"must be a sample from -{window} to {window}, the length of the window"
            raise UsageError("mel_offset", repr(self.offset), rule)
        if self.range is not None and not _is_range(self.range, nyquist):
            rule = f"must be two frequencies from 0 to {nyquist:g} Hz, the lower first"
            shown = "-".join(map(str, self.range)) if _is_pair(self.range) else repr(self.range)
            raise UsageError("mel_range", shown, rule)


OURS = MelFormat()


class FrameFormat(NamedTuple):
    """What a model takes frames to be."""

    model: ModelConfig
    sample_rate: int
    made: MelFormat = OURS
    # What the model was trained on, where that is known.
    trained: MelStatistics | None = None

    @property
    def like(self) -> str:
        """What the model follows, in words."""
        m = self.model
        every = f"every {m.frame_hop} samples at {self.sample_rate} Hz"
        return f"natural logarithms of {m.mel_bands} mel magnitudes {every}"

    def problem(self, frames: Array) -> Problem | None:
        """Why frames of any shape cannot be followed; None when they can."""
        by_time = arranged(frames, self.model.mel_bands)
        if by_time is None:
            advice = f"this model follows (frames, {self.model.mel_bands}) {self.like}"
            return Problem(f"is of shape {frames.shape}", advice)
        if frames.dtype.kind not in "fiu" or not np.isfinite(frames).all():
            reason = "holds something other than finite numbers"
            return Problem(reason, f"this model follows {self.like}")
        if self.made.scale == "ln":
            foreign = recognise(by_time, self.trained)
            if foreign is None:
                return None
            return Problem(f"looks like {foreign.noun}, not {self.like}", foreign.advice)
        scale, advice = SCALES[self.made.scale], "choose another `mel_scale`"
        if scale.positive and frames.min() < 0:
            return Problem(f"holds numbers below 0, which are no {scale.noun}", advice)
        if recognise(self._logs(by_time), self.trained) is None:
            return None
        if recognise(by_time, self.trained) is None:
            advice = "leave `mel_scale` out"
        return Problem(f"does not look like {scale.noun}", advice)

    def ours(self, frames: Array) -> Array:
        """Frames without a problem as (n, bands), float32, of our scale, bands and places."""
        by_time = arranged(frames, self.model.mel_bands)
        assert by_time is not None
        logs = self._logs(by_time)
        if self.made.range is not None:
            logs = mel_filters.moved(logs, *self.made.range, self.model)
        return shifted(logs, self.made.offset / self.model.frame_hop)

    def _logs(self, by_time: Array) -> Array:
        return converted(by_time, self.made.scale, self.model.frame_window / self.sample_rate)


def _is_range(edges: Any, nyquist: float) -> bool:
    return _is_pair(edges) and 0 <= edges[0] < edges[1] <= nyquist


def _is_pair(edges: Any) -> bool:
    """Whether these are two numbers."""
    if not isinstance(edges, tuple | list | np.ndarray) or len(edges) != 2:
        return False
    return all(isinstance(edge, Real) and not isinstance(edge, bool) for edge in edges)


def read(path: Path) -> Array:
    """The array in a .npy file, mapped into memory. Raises AudioError."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise AudioError(path, "no such file") from None
    except (OSError, ValueError, EOFError, MemoryError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise AudioError(path, f"not a .npy file of numbers ({reason})") from None


def arranged(frames: Array, bands: int) -> Array | None:
    """(n, bands) of that shape or (bands, n), or of one of them in a batch of 1; else None.

    A square is (n, bands).
    """
    if frames.ndim == 3 and len(frames) == 1:
        frames = frames[0]
    if frames.ndim != 2 or bands not in frames.shape or not frames.size:
        return None
    return frames if frames.shape[1] == bands else frames.T
