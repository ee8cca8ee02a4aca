"""Which front ends there are, in the order in which layers read their channels.

The package's own text says what it takes to add one.
"""

from typing import cast

from wavenet.config import ModelConfig
from wavenet.model.conditioning.features import FeaturesFrontEnd
from wavenet.model.conditioning.frames import FramesFrontEnd
from wavenet.model.conditioning.front_end import FrontEnd
from wavenet.model.conditioning.label import LabelFrontEnd
from wavenet.model.conditioning.loudness import LoudnessFrontEnd
from wavenet.model.conditioning.mel import MelFrontEnd
from wavenet.model.conditioning.pitch import PitchFrontEnd
from wavenet.model.conditioning.segments import SegmentsFrontEnd

# The order is part of the checkpoint format: a new one goes to the end.
FRONT_ENDS: tuple[type[FrontEnd], ...] = (
    MelFrontEnd,
    LabelFrontEnd,
    PitchFrontEnd,
    LoudnessFrontEnd,
    FeaturesFrontEnd,
    SegmentsFrontEnd,
)


def frame_front_ends(config: ModelConfig) -> tuple[FramesFrontEnd, ...]:
    """Those of a network that have frames along a recording."""
    return tuple(cast(FramesFrontEnd, f) for f in front_ends(config) if f.per_frame)


def followed(config: ModelConfig) -> str:
    """What a network follows along a recording, in words: "pitch and loudness"; "" for nothing."""
    *others, last = [f.noun for f in frame_front_ends(config)] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def front_ends(config: ModelConfig) -> tuple[FrontEnd, ...]:
    """Those of a network."""
    return tuple(f for f in (kind(config) for kind in FRONT_ENDS) if f.channels)
