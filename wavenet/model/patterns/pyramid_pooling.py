"""A context module: the head sees the skip sum at several lags, and its mean over a window.

Atrous spatial pyramid pooling (Chen et al. 2017) carried to causal audio: parallel branches that
look back, never ahead, and a mean over a fixed window in place of one over the whole image. With u
= relu(skips), and P channels in every branch,

    branch i = relu(newest tap @ u(t) + older tap @ u(t - dilation i) + bias)
    last     = relu(mean of u over the last `window` samples @ mean + bias)
    skips(t) + all branches side by side @ project + bias                        to the head

All of it counts in the receptive field.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from wavenet.config import ModelConfig
from wavenet.model.convolution import Modules, Taps
from wavenet.model.patterns import shapes


class CausalASPP(nn.Module):
    """Time-major like the stack: a lag is some rows further up."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dilations, self.window = config.pyramid_dilations, config.pyramid_window
        # Samples before the present that it reads.
        self.lag = config.context_lag
        taps = [Taps(inputs, outputs, k) for outputs, inputs, k in shapes.pyramid(config).values()]
        self.branches: Modules[Taps] = Modules(taps[:-2])
        self.mean, self.project = taps[-2:]

    def forward(self, skips: Tensor) -> Tensor:
        """(time, batch, S) -> (time - lag, batch, S)."""
        u = relu(skips)
        newest, rows = u[self.lag :], len(u) - self.lag
        outputs = []
        for branch, dilation in zip(self.branches, self.dilations, strict=True):
            older = u[self.lag - dilation :][:rows]
            now = linear(newest, branch.weight[:, :, 1], branch.bias)
            outputs.append(relu(now + linear(older, branch.weight[:, :, 0])))
        outputs.append(relu(self.mean(window_mean(u, self.window)[-rows:])))
        mixed: Tensor = self.project(torch.cat(outputs, 2))
        return skips[self.lag :] + mixed

    def initialise(self, generator: torch.Generator) -> None:
        """What is added to the skips has half their variance."""
        for taps in (*self.branches, self.mean):
            taps.initialise(generator, math.sqrt(2 / taps.weight[0].numel()))
        self.project.initialise(generator)


def window_mean(u: Tensor, window: int) -> Tensor:
    """The mean of every `window` rows on end: (time, ...) -> (time - window + 1, ...).

    At least in float32. By doubling, in log2(window) additions of everything: a running sum would
    be inexact, and each window on its own slow.
    """
    sums = total = u.to(torch.promote_types(u.dtype, torch.float32))
    length = 0
    for power in range(window.bit_length()):
        # Rows that each of `sums` adds up.
        size = 1 << power
        if window & size:
            following = sums[length:]
            total = total[: len(following)] + following if length else following
            length += size
        if length < window:
            sums = sums[:-size] + sums[size:]
    return total / window
