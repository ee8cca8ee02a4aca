"""Weights of causal convolutions, shaped (outputs, inputs, taps) as `torch.nn.Conv1d` has them."""

import math

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig


class Taps(nn.Module):
    """Weight and bias of a causal convolution; with one tap, of a product per sample."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1) -> None:
        super().__init__()
        std = 1 / math.sqrt(inputs * kernel_size)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size) * std)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), for one tap."""
        return torch.nn.functional.linear(rows, self.weight.squeeze(2), self.bias)

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Normal weights, zero bias."""
        nn.init.normal_(self.weight, std=std, generator=generator)
        nn.init.zeros_(self.bias)


class DilatedConvolution(nn.Module):
    """The weights of a layer's dilated convolution. `GatedLayer` says where its taps look."""

    bias: nn.Parameter  # (2G,)

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        shape = (config.gate_channels, config.residual_channels, config.kernel_sizes[layer])
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(config.gate_channels))
        self.initialise(torch.Generator().manual_seed(0))

    def taps(self) -> Tensor:
        """One matrix for each of the layer's offsets: (T, 2G, R), oldest first."""
        return self.weight.permute(2, 0, 1)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights, zero bias: independent inputs of unit variance keep it."""
        std = 1 / math.sqrt(self.weight[0].numel())
        nn.init.normal_(self.weight, std=std, generator=generator)
        nn.init.zeros_(self.bias)
