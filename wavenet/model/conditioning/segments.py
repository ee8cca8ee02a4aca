"""What sounds when: segments with a label, such as words, notes or phones."""

from typing import Any

import numpy as np

from wavenet.model.conditioning.frames import TrackFrontEnd
from wavenet.system.text import counted

# Longer segments are as if they were of this length.
LONGEST_SECONDS = 10.0
# Places from the beginning of a segment to its end that the network reads each label at.
PLACES = 6


class SegmentsFrontEnd(TrackFrontEnd):
    """A value is (frames, 3): a label's number, how far into it the frame is, and its length.

    The first is among `ModelConfig.segment_labels`, counted from 1; 0 is for what lies between
    segments. The second is 0 to 1, the third in seconds.

    The network reads a label and how far into it the frame is together: as its distance from each
    of PLACES, which lie evenly in the label. So what a label sounds like at its beginning is learnt
    apart from its end, and from other labels.
    """

    name = "segments"
    noun = "segments"
    trait = "follows segments"
    columns = 3

    @property
    def inputs(self) -> int:
        return (1 + len(self.config.segment_labels)) * PLACES + 1

    @property
    def description(self) -> str:
        return f"segments of {counted(len(self.config.segment_labels), 'label')}"

    def missing(self) -> str:
        return "this model follows segments: `play` takes a file of them, or a line"

    def scaled(self, value: Any) -> Any:
        numbers: Any = np.arange(1 + len(self.config.segment_labels), dtype=np.float32)
        places: Any = np.arange(PLACES, dtype=np.float32)
        joined: Any = np.concatenate
        if not isinstance(value, np.ndarray):
            import torch

            numbers, places = value.new_tensor(numbers), value.new_tensor(places)
            joined = torch.cat
        label, place, seconds = value[..., :1], value[..., 1:2], value[..., 2:]
        is_label = (1 - abs(label - numbers)).clip(0, 1)
        at_place = (1 - abs((PLACES - 1) * place - places)).clip(0, 1)
        both = (is_label[..., :, None] * at_place[..., None, :]).reshape(*label.shape[:-1], -1)
        length = seconds.clip(0, LONGEST_SECONDS) ** 0.5
        return joined([2 * both, length], -1)

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        label = generator.integers(0, 1 + len(self.config.segment_labels), frames)
        place, seconds = generator.random(frames), generator.uniform(0.1, 1, frames)
        return np.stack([label, place, seconds], axis=1).astype(np.float32)
