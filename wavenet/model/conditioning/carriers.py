"""The two things that carry conditioning: what front ends read, and what they make of it.

A `ConditioningInput` begins on the host, as arrays cut from recordings, and ends on the device
where the network is trained. A `Conditioning` is what layers add to their gates, at frame rate: the
network's own `Conditioner` makes one for a batch, `engines.conditioning` one for its streams.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from wavenet.config import ModelConfig

# The hop, in samples, of what never changes along a recording.
FOREVER = 1 << 62


def conditioning_hop(config: ModelConfig) -> int:
    """Samples from one frame of a network's conditioning to the next."""
    return config.frame_spacing if config.follows_frames else FOREVER


class ConditioningInput(NamedTuple):
    """What a batch's front ends read, as NumPy arrays or, on the training device, as tensors.

    `values` has one array for each front end, under its name, with the batch first. What it holds
    before and after it reaches the device is the front end's own business.

    `frame_range` (batch, 2) places the frames of those that have some: the number, within its
    recording, of the first frame that conditions a window, and that of the recording's last one.
    Frame j lies at sample j * hop. `frame_offset` counts the samples from that first frame to the
    sample that the window's first row predicts.
    """

    values: dict[str, Any]
    frame_range: Any = None
    frame_offset: int = 0

    def map(self, change: Callable[[Any], Any]) -> "ConditioningInput":
        """The same with every array changed."""
        values = {name: change(value) for name, value in self.values.items()}
        frame_range = None if self.frame_range is None else change(self.frame_range)
        return ConditioningInput(values, frame_range, self.frame_offset)

    def part(self, windows: slice) -> "ConditioningInput":
        """That of some of the windows."""
        return self.map(lambda array: array[windows])


class Conditioning(NamedTuple):
    """Frames that are joined by straight lines to condition every sample.

        c(t) = low + (t - start - j * hop) / hop * (high - low)     low, high: frames j and j + 1

    For the network's stack `frames` is (F, batch, C): features, which each layer projects. For
    engines it is (batch, F, L, 2G) in float32: projected for every layer, filter's half first, F at
    least 2.

    `start` is the sample at which the first frame lies: counted from the one that the first row
    predicts, or for engines from a stream's first, where each stream may have its own: (batch,).
    `hop` is the samples from frame to frame.
    """

    frames: Any
    start: Any
    hop: int
