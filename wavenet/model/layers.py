"""What a WaveNet is made of, as weights; `fused_stack` computes with them.

Weights are shaped (outputs, inputs, taps), as `torch.nn.Conv1d` has them, so `reference` reads the
same ones. Kinds of dilated convolution other than the ordinary one are in `patterns`.
"""

import math

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig
from wavenet.model.convolution import Taps
from wavenet.model.fused_stack import LayerWeights
from wavenet.model.patterns.convolution import PatternConvolution


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

    def weights(self, dtype: torch.dtype, features: Tensor | None = None) -> LayerWeights:
        """The weights as the stack takes them, and what the layer makes of features (F, batch, C).

        Gradients flow back to the parameters and to the features.
        """
        bias, residual = self.dilated.bias, self.residual
        # tanh(a) = 2 sigmoid(2a) - 1
        doubled = torch.ones_like(bias)
        doubled[: len(bias) // 2] = 2
        conditioning = None
        if self.condition is not None and features is not None:
            conditioning = (features @ (self.condition.weight * doubled[:, None]).t()).to(dtype)
        return LayerWeights(
            (self.dilated.taps() * doubled[:, None]).contiguous().to(dtype),
            (bias * doubled).to(dtype),
            None if residual is None else residual.weight.squeeze(2).to(dtype),
            None if residual is None else residual.bias.to(dtype),
            self.skip.weight.squeeze(2).to(dtype),
            self.skip.bias.to(dtype),
            conditioning,
        )

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
