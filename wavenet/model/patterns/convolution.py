"""Dilated convolutions of the other kinds, as torch modules."""

import math

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig
from wavenet.model.patterns import kernels, shapes


class PatternConvolution(nn.Module):
    """A layer's dilated convolution of any kind: the weights of `shapes`, and a bias."""

    bias: nn.Parameter  # (2G,)
    tap_matrices: Tensor  # (parts, T, K)
    identity: Tensor  # (groups, groups)

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self._config = config
        for name, shape in shapes.convolution(config, layer).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.bias = nn.Parameter(torch.empty(config.gate_channels))
        matrices = torch.tensor(kernels.tap_matrices(config, layer))
        self.register_buffer("tap_matrices", matrices, persistent=False)
        self.register_buffer("identity", torch.eye(config.groups), persistent=False)
        self.initialise(torch.Generator().manual_seed(0))

    def kernel(self) -> Tensor:
        """That of the ordinary convolution that it equals: (2G, R, T), oldest tap first."""
        weights = dict(self.named_parameters())
        taps: Tensor = kernels.taps(torch, self._config, weights, self.tap_matrices, self.identity)
        return taps.permute(1, 2, 0)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights, zero bias: independent inputs of unit variance keep it."""
        weights = [p for name, p in self.named_parameters() if name != "bias"]
        for w in weights:
            nn.init.normal_(w, std=1 / math.sqrt(w[0].numel()), generator=generator)
        # The mean of two independent outputs has half the variance of one.
        if self._config.smooth:
            weights[-1].data.mul_(math.sqrt(2))
        nn.init.zeros_(self.bias)
