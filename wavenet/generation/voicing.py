"""Where a vocoder draws nearer to what it expects: in sounds whose frames show harmonics.

A network that has learnt little is unsure of everything, and what it draws is noisier than the
recording. In hiss nobody hears that; in a voice it is rough. So draws are held together where
harmonics stand out, as LPCNet does by its pitch (Valin and Skoglund 2019, section 3.3), and stay as
they are in noise, which would become too soft.
"""

import numpy as np

from wavenet.audio import harmonics
from wavenet.config import ModelConfig
from wavenet.glossary import Array

# How far harmonics stand out in noise, and where they are clear.
NOISE, CLEAR = 1.0, 4.0
# The temperature of what is clear.
LOWEST = 0.6


class Concentration:
    """How far from what is expected the samples of a stream are drawn, 1 as far as the model says.

    `frames` are its log-mel frames (frames, bands).
    """

    def __init__(self, frames: Array, model: ModelConfig) -> None:
        stands_out = harmonics.prominence(frames, model.mel_low_hz, model.mel_high_hz)
        clear = ((stands_out - NOISE) / (CLEAR - NOISE)).clip(0, 1)
        self._of_frames, self._hop = 1 - (1 - LOWEST) * clear, model.frame_hop

    def __call__(self, start: int, stop: int) -> Array:
        """Of samples `start` to `stop`, (time,), on straight lines between frames."""
        place = np.arange(start, stop) / self._hop
        factors: Array = np.interp(place, np.arange(len(self._of_frames)), self._of_frames)
        return factors
