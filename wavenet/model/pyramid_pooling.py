"""What the head hears besides the present skip sum: what the sum was at several distances, and its mean over a window.

Atrous spatial pyramid pooling (Chen et al. 2017) carried to causal audio: parallel branches that look back, never ahead, and a mean
over a fixed window in place of one over the whole image. With u = relu(skips):

    branch i = relu(newest tap @ u(t) + older tap @ u(t - dilation i) + bias)                     P channels each
    last     = relu(mean of u over the last `window` samples @ mean + bias)                       P channels
    skips(t) + all branches side by side @ project + bias                                         to the head

All of it counts in the receptive field.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from wavenet.config import ModelConfig
from wavenet.model import parameters
from wavenet.model.layers import Taps


class CausalASPP(nn.Module):
    """Time-major like the stack: a moment further back is some rows further up."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dilations, self.window, self.reach = (
            config.pyramid_dilations,
            config.pyramid_window,
            config.context_lag,
        )
        made = {
            name: Taps(inputs, outputs, taps)
            for name, (outputs, inputs, taps) in parameters.pyramid(config).items()
        }
        self.branches = nn.ModuleList(made[f"branches.{i}"] for i in range(len(self.dilations)))
        self.mean, self.project = made["mean"], made["project"]

    def forward(self, skips: Tensor) -> Tensor:
        """(time, batch, S) -> (time - reach, batch, S)."""
        u = relu(skips)
        newest, rows = u[self.reach :], len(u) - self.reach
        found = []
        for branch, dilation in zip(self.branches, self.dilations, strict=True):
            assert isinstance(branch, Taps)
            older = u[self.reach - dilation :][:rows]
            found.append(
                relu(
                    linear(newest, branch.weight[:, :, 1], branch.bias)
                    + linear(older, branch.weight[:, :, 0])
                )
            )
        found.append(relu(self.mean(window_mean(u, self.window)[-rows:])))
        mixed: Tensor = self.project(torch.cat(found, 2))
        return skips[self.reach :] + mixed

    def initialise(self, generator: torch.Generator) -> None:
        """What is added to the skips has half their variance."""
        for taps in (*self.branches, self.mean):
            assert isinstance(taps, Taps)
            taps.initialise(math.sqrt(2 / taps.weight[0].numel()), generator)
        self.project.initialise(1 / math.sqrt(self.project.weight.shape[1]), generator)


def window_mean(u: Tensor, window: int) -> Tensor:
    """The mean of every `window` rows on end: (time, ...) -> (time - window + 1, ...), at least in float32.

    By doubling, in log2(window) additions of everything: a running sum would be inexact, each window on its own slow.
    """
    sums = total = u.to(torch.promote_types(u.dtype, torch.float32))
    length = 0
    for power in range(window.bit_length()):
        size = 1 << power  # rows in each of `sums`
        if window & size:
            following = sums[length:]
            total = total[: len(following)] + following if length else following
            length += size
        if length < window:
            sums = sums[:-size] + sums[size:]
    return total / window
