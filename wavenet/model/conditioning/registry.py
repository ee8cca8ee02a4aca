"""Which front ends there are, in the order in which layers read their channels.

The package's own text says what it takes to add one.
"""

from wavenet.config import ModelConfig
from wavenet.model.conditioning.front_end import FrontEnd
from wavenet.model.conditioning.label import LabelFrontEnd
from wavenet.model.conditioning.mel import MelFrontEnd

# The order is part of the checkpoint format: a new one goes to the end.
FRONT_ENDS: tuple[type[FrontEnd], ...] = (MelFrontEnd, LabelFrontEnd)


def front_ends(config: ModelConfig) -> tuple[FrontEnd, ...]:
    """Those of a network."""
    return tuple(f for f in (kind(config) for kind in FRONT_ENDS) if f.channels)
