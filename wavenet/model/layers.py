"""What a WaveNet is made of, as weights; `fused_stack` computes with all of them, stacked.

Weights are shaped (outputs, inputs, taps), as `torch.nn.Conv1d` has them, so `reference` reads the
same ones. Kinds of dilated convolution other than the ordinary one are in `patterns`.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from wavenet.config import ModelConfig
from wavenet.model.convolution import Taps
from wavenet.model.patterns.convolution import PatternConvolution
from wavenet.model.stack_weights import StackParameters


class GatedLayer(nn.Module):
    """tanh(filter) * sigmoid(gate) of a dilated convolution, then a residual and a skip path.

    van den Oord et al. 2016, eq. 2. The last layer of a stack feeds nothing but the skip path and
    has no `residual`.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        gate, channels = config.gate_channels, config.condition_channels
        last = layer == len(config.schedule) - 1
        self.dilated: Taps | PatternConvolution = (
            Taps(config.residual_channels, gate, config.kernel_sizes[layer])
            if config.ordinary_layers
            else PatternConvolution(config, layer)
        )
        self.condition = nn.Linear(channels, gate, bias=False) if channels else None
        self.residual = None if last else Taps(gate // 2, config.residual_channels)
        self.skip = Taps(gate // 2, config.skip_channels)

    def initialise(self, layers: int, generator: torch.Generator) -> None:
        """Weights that keep unit variance through gates, and near it in sums of `layers` terms."""
        self.dilated.initialise(generator)
        if self.condition is not None:
            std = 1 / math.sqrt(self.condition.weight.shape[1])
            nn.init.normal_(self.condition.weight, std=std, generator=generator)
        for path in (self.residual, self.skip):
            if path is not None:
                # A gate of unit inputs has variance near 0.2, so 2/sqrt(G) restores it, and
                # 1/sqrt(layers) keeps the sum of all layers there.
                path.initialise(generator, 2 / math.sqrt(path.weight.shape[1] * layers))


def stack_parameters(layers: Iterable[GatedLayer], features: Tensor | None) -> StackParameters:
    """The weights of all layers of a stack, and what they make of features (F, batch, C).

    Gradients flow back to the parameters and to the features.
    """
    layers = list(layers)
    kernels = [layer.dilated.kernel() for layer in layers]
    taps = max(kernel.shape[2] for kernel in kernels)
    kernels = [k if k.shape[2] == taps else pad(k, (0, taps - k.shape[2])) for k in kernels]
    skip = torch.stack([layer.skip.weight for layer in layers]).squeeze(3)
    # A stack of one layer has no residual path.
    residual = skip.new_empty(0, kernels[0].shape[1], skip.shape[2])
    residual_bias = skip.new_empty(0, kernels[0].shape[1])
    residuals = [layer.residual for layer in layers if layer.residual is not None]
    if residuals:
        residual = torch.stack([path.weight for path in residuals]).squeeze(3)
        residual_bias = torch.stack([path.bias for path in residuals])
    conditioning = None
    if features is not None:
        conditions = [layer.condition.weight for layer in layers if layer.condition is not None]
        weight = torch.stack(conditions).flatten(0, 1)
        conditioning = linear(features, weight)
    return StackParameters(
        taps=torch.stack(kernels),
        bias=torch.stack([layer.dilated.bias for layer in layers]),
        residual=residual,
        residual_bias=residual_bias,
        skip=skip,
        skip_bias=torch.stack([layer.skip.bias for layer in layers]),
        conditioning=conditioning,
    )
