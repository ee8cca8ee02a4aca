"""What the stack's form for GPUs asks of one: few kernels, and never to wait.

It is traced with meta tensors, which have a shape and a device and no numbers.
"""

from dataclasses import replace

import pytest
import torch

from benchmarks.kernel_counts import KernelCounter
from tests.helpers import VOCODER
from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.network import WaveNetStack

PLAIN = ModelConfig(layers=20, dilation_cycle=8, residual_channels=8, gate_channels=16)


def counted(config: ModelConfig, checkpoint_every: int = 0) -> KernelCounter:
    """The stack's forward and backward pass in bf16."""
    stack = WaveNetStack(config, checkpoint_every=checkpoint_every).to("meta")
    # Time first in memory, as `WaveNet` has it.
    shape = (stack.receptive_field + 40, 3, config.residual_channels)
    x = torch.empty(shape, dtype=torch.bfloat16, device="meta", requires_grad=True)
    conditioning = None
    if config.condition_channels:
        count = shape[0] // config.frame_spacing + 2
        frames = torch.empty(count, 3, config.condition_channels, device="meta")
        conditioning = Conditioning(frames.requires_grad_(), 0, config.frame_spacing)
    with KernelCounter() as counter:
        stack(x.permute(1, 2, 0), conditioning).sum().backward()
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.device.type == "meta"
    return counter


def test_a_layer_takes_six_kernels_forward_and_ten_backward() -> None:
    few, many = counted(PLAIN), counted(replace(PLAIN, layers=30))
    # A group's skip paths and biases are six more, for ten layers.
    assert many.total - few.total <= 10 * 16 + 6
    assert many.kernels["addmm_"] - few.kernels["addmm_"] <= 10 * 5 + 1


def test_preparing_weights_takes_as_many_kernels_for_any_number_of_layers() -> None:
    few, many = counted(PLAIN), counted(replace(PLAIN, layers=40))
    for name in ("_to_copy", "stack", "cat", "clone", "mul", "copy_", "fill_"):
        assert few.kernels[name] == many.kernels[name]
        assert few.kernels[name] <= 12


def test_conditioning_takes_one_product_more_for_each_layer() -> None:
    config = replace(VOCODER, layers=20)
    plain = replace(config, mel_bands=0, conditioning=())
    more = counted(config).total - counted(plain).total
    assert config.layers <= more <= config.layers + 30


@pytest.mark.parametrize("config", [PLAIN, VOCODER], ids=["plain", "mel"])
@pytest.mark.parametrize("checkpoint_every", [0, 5])
def test_the_host_never_waits_and_copies_nothing(
    config: ModelConfig, checkpoint_every: int
) -> None:
    assert not counted(config, checkpoint_every).host_waits
