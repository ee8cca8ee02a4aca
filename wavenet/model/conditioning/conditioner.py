"""All front ends of a network side by side: a `ConditioningInput` becomes a `Conditioning`.

Each layer projects the features at frame rate, and between two frames the projections are joined by
straight lines. Projecting and joining commute, so a sample costs a few additions per channel
instead of a matrix product. Before a recording's first frame the first one holds, after its last
the last.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn

from wavenet.arithmetic import ceil_div
from wavenet.config import ModelConfig
from wavenet.errors import UsageError
from wavenet.model.conditioning.carriers import (
    Conditioning,
    ConditioningInput,
    conditioning_hop,
)
from wavenet.model.conditioning.registry import front_ends


class Conditioner(nn.Module):
    """All front ends of a network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hop = conditioning_hop(config)
        self.encoders = [(front_end, front_end.module()) for front_end in front_ends(config)]
        for front_end, module in self.encoders:
            self.add_module(front_end.name, module)

    def forward(self, inputs: ConditioningInput) -> Conditioning:
        """-> features (F, batch, C); F is 1 where nothing changes along a recording.

        Raises UsageError when the value of a front end is missing.
        """
        features = []
        for front_end, module in self.encoders:
            value, per_frame = inputs.values.get(front_end.name), front_end.per_frame
            if value is None or (per_frame and inputs.frame_range is None):
                reason = "give it conditions that hold some"
                trait = f"this network {front_end.trait}"
                raise UsageError("conditioning_input", None, trait, reason)
            places = _places(inputs, value.shape[1], front_end.context) if per_frame else None
            features.append(module(value, places))
        frames = max(len(f) for f in features)
        joined = torch.cat([f.expand(frames, -1, -1) for f in features], 2)
        return Conditioning(joined, -inputs.frame_offset, self.hop)

    def initialise(self, generator: torch.Generator) -> None:
        for _, module in self.encoders:
            module.initialise(generator)


def _places(inputs: ConditioningInput, frames: int, context: int) -> Tensor:
    """(batch, frames): which of a value's frames stands in each place, neighbours counted."""
    low, last = inputs.frame_range[:, :1] - context, inputs.frame_range[:, 1:]
    number = low + torch.arange(frames, device=low.device)
    places: Tensor = torch.clamp(number, torch.zeros_like(last), last) - low
    return places


@lru_cache(maxsize=4)
def interpolation_weights(
    hop: int, rows: int, multiple: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """How much each of N * hop rows, about `rows`, has of N + 1 frames: (N * hop, N + 1).

    A row has of the two frames around it, the more of each the nearer it is. Columns of zeros fill
    N + 1 up to a multiple: in half precision a GPU's tensor cores want eight.
    """
    count = max(1, rows // hop)
    columns = ceil_div(count + 1, multiple) * multiple
    # A tensor made inside inference mode could not be used outside it, and this one is kept.
    with torch.inference_mode(False):
        place = torch.arange(count * hop, dtype=torch.float64, device=device)[:, None] / hop
        distance = (place - torch.arange(columns, device=device)).abs()
        return torch.clamp(1 - distance, min=0).to(dtype)
