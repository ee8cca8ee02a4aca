"""Shapes of stacks, and the gradients of their networks, for tests of whatever computes them."""

from dataclasses import replace

import torch
from torch import Tensor

from tests.helpers import CONDITIONED, SMALL, VARIANTS, some_inputs
from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.network import WaveNet

SHAPES = [
    SMALL,
    replace(SMALL, dilations=(1,), residual_channels=3, gate_channels=4, skip_channels=5),
    replace(SMALL, dilations=(3, 1, 5), kernel_size=3, gate_channels=6, skip_channels=4),
    replace(SMALL, layers=7, kernel_size=4, residual_channels=5, gate_channels=14),
    *CONDITIONED.values(),
    *VARIANTS.values(),
]


def double_inputs(config: ModelConfig, x: Tensor) -> ConditioningInput | None:
    inputs = some_inputs(config, *x.shape)
    return inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)


def weights_like(params: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(params.shape, dtype=torch.float64, generator=generator).to(params.dtype)


def gradients(model: WaveNet, params: Tensor) -> dict[str, Tensor]:
    """The gradients of a loss in which every output has a weight of its own."""
    model.zero_grad()
    (params * weights_like(params)).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
