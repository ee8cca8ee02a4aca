"""The front ends' torch modules: what each makes of its values in training."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, relu

from wavenet.glossary import Array


class FrontEndModule(nn.Module):
    """What a front end does in training."""

    def forward(self, value: Tensor, places: Tensor | None) -> Tensor:
        """A value (batch, ...) -> features (F, batch, channels); F is 1 without frames.

        `places` (batch, F + 2 * context) says which of the value's frames stands in each place: for
        those outside the recording its first or last.
        """
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        """Weights that make features of about unit size."""
        raise NotImplementedError


class FrameEncoder(FrontEndModule):
    """Each frame condensed with its neighbours: relu of a convolution over frames.

    The first channels begin as what `known`, (count, inputs), tells of a frame.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        context: int,
        scaled: Callable[[Tensor], Tensor],
        known: Array | None = None,
    ) -> None:
        super().__init__()
        self.context, self.scaled, self.known = context, scaled, known
        self.weight = nn.Parameter(torch.empty(channels, inputs, 2 * context + 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, value: Tensor, places: Tensor | None) -> Tensor:
        """Frames (batch, F + 2 * context, columns) -> (F, batch, channels)."""
        assert places is not None
        frames = torch.gather(value, 1, places[:, :, None].expand_as(value))
        ready = self.scaled(self.normalised(frames))
        condensed = relu(conv1d(ready.transpose(1, 2), self.weight, self.bias))
        # What stands in the place of an outer frame is condensed with its own neighbours.
        inner = places[:, self.context : places.shape[1] - self.context] - self.context
        return torch.gather(condensed, 2, inner[:, None].expand_as(condensed)).permute(2, 0, 1)

    def normalised(self, frames: Tensor) -> Tensor:
        return frames

    def initialise(self, generator: torch.Generator) -> None:
        inputs = self.weight[0].numel()
        nn.init.normal_(self.weight, std=math.sqrt(2 / inputs), generator=generator)
        nn.init.zeros_(self.bias)
        if self.known is not None:
            with torch.no_grad():
                first = self.weight[: len(self.known)]
                first.zero_()
                first[:, :, self.context] = torch.from_numpy(self.known)


class NormalisingEncoder(FrameEncoder):
    """One that first brings each column to a mean of 0 and a deviation of 1."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, inputs: int, channels: int, context: int, scaled: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(inputs, channels, context, scaled)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))

    def normalised(self, frames: Tensor) -> Tensor:
        return (frames - self.mean) / self.deviation

    def normalise(self, mean: Array, deviation: Array) -> None:
        """Take the statistics of what is trained on, each (inputs,)."""
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(deviation))


class LabelEmbedding(FrontEndModule):
    """A vector for each label, the same at every frame."""

    def __init__(self, labels: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(labels, channels))

    def forward(self, value: Tensor, places: Tensor | None) -> Tensor:
        """Numbers (batch,) -> (1, batch, channels)."""
        return nn.functional.embedding(value, self.weight)[None]

    def initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.weight, generator=generator)
