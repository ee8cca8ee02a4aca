"""Weights of causal convolutions, shaped (outputs, inputs, taps) as `torch.nn.Conv1d` has them."""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """A list of modules of one class."""

    def __iter__(self) -> Iterator[M]:
        return cast(Iterator[M], super().__iter__())


class Taps(nn.Module):
    """Weight and bias of a causal convolution; with one tap, of a product per sample.

    `GatedLayer` says where the taps of a dilated one look.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel_size))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.initialise(torch.Generator().manual_seed(0))

    def kernel(self) -> Tensor:
        """The weight (outputs, inputs, T), a tap for each offset, oldest first."""
        return self.weight

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), for one tap."""
        return torch.nn.functional.linear(rows, self.weight.squeeze(2), self.bias)

    def initialise(self, generator: torch.Generator, std: float | None = None) -> None:
        """Normal weights, zero bias; without `std`, independent inputs of unit variance keep it."""
        std = std or 1 / math.sqrt(self.weight[0].numel())
        nn.init.normal_(self.weight, std=std, generator=generator)
        nn.init.zeros_(self.bias)
