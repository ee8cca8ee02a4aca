"""Tells the user that a network's kernels are compiled, which happens once on a machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from wavenet.model.network import WaveNet
from wavenet.model.stack_shape import form_for


def reporting(
    report: Callable[[str], object], device: torch.device, dtype: torch.dtype = torch.float32
) -> AbstractContextManager[object]:
    """Call `report` when kernels of the gated stack are compiled inside, and when they are ready.

    `dtype` is what the stack computes in. Only a CPU has such kernels.
    """
    if not form_for(device, dtype).machine_code:
        return nullcontext()
    from wavenet.simd import compiled

    return compiled.reporting(report)


def compile_forward(network: WaveNet, report: Callable[[str], object]) -> None:
    """Compile what the network takes to predict, if anything, before it is timed or shown."""
    weight, stack = network.embedding.weight, network.stack
    if form_for(weight.device, weight.dtype).machine_code:
        shortest = weight.new_zeros(1, weight.shape[1], stack.receptive_field)
        with reporting(report, weight.device), torch.no_grad():
            stack(shortest)
            code = torch.zeros(1, 1, dtype=torch.int64)
            network.distribution.loss(weight.new_zeros(1, 1, network.distribution.n_params), code)
