"""What a WaveNet is made of, as weights; `time_major` computes with them.

Weights are shaped (outputs, inputs, taps), as `torch.nn.Conv1d` has them.
"""

import math

import torch
from torch import Tensor, nn

from wavenet.time_major import LayerWeights


class Taps(nn.Module):
    """Weight and bias of a causal convolution; with one tap, of a product per sample."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size) / math.sqrt(inputs * kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), for one tap."""
        return torch.nn.functional.linear(rows, self.weight.squeeze(2), self.bias)

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Normal weights, zero bias."""
        nn.init.normal_(self.weight, std=std, generator=generator)
        nn.init.zeros_(self.bias)


class GatedLayer(nn.Module):
    """tanh(filter) * sigmoid(gate) of a dilated convolution, then a residual and a skip path (van den Oord et al. 2016, eq. 2).

    The last layer of a stack feeds nothing but the skip path and has no `residual`.
    """

    def __init__(self, residual: int, gate: int, skip: int, kernel_size: int, condition: int = 0, *, last: bool = False) -> None:
        super().__init__()
        self.dilated = Taps(residual, gate, kernel_size)
        self.condition = nn.Linear(condition, gate, bias=False) if condition else None
        self.residual = None if last else Taps(gate // 2, residual)
        self.skip = Taps(gate // 2, skip)

    def weights(self, dtype: torch.dtype, features: Tensor | None = None) -> LayerWeights:
        """As the stack computes with them, and what the layer makes of its conditions' features (F, batch, C).

        Gradients flow back to the parameters and to the features.
        """
        gate = self.dilated.bias.numel()
        doubled = torch.ones(gate, device=self.dilated.bias.device, dtype=self.dilated.bias.dtype)
        doubled[: gate // 2] = 2  # tanh(a) = 2 sigmoid(2a) - 1
        taps = (self.dilated.weight * doubled[:, None, None]).permute(2, 0, 1).contiguous()
        residual = self.residual
        return LayerWeights(
            taps.to(dtype),
            (self.dilated.bias * doubled).to(dtype),
            None if residual is None else residual.weight.squeeze(2).to(dtype),
            None if residual is None else residual.bias.to(dtype),
            self.skip.weight.squeeze(2).to(dtype),
            self.skip.bias.to(dtype),
            None if self.condition is None or features is None else (features @ (self.condition.weight * doubled[:, None]).t()).to(dtype),
        )

    def initialise(self, layers: int, generator: torch.Generator) -> None:
        """Unit variance through the gate; residual and skip sums of `layers` terms stay near unit variance too."""
        self.dilated.initialise(1 / math.sqrt(self.dilated.weight[0].numel()), generator)
        if self.condition is not None:
            nn.init.normal_(self.condition.weight, std=1 / math.sqrt(self.condition.weight.shape[1]), generator=generator)
        for path in (self.residual, self.skip):
            if path is not None:
                # a gate of unit inputs has variance near 0.2, so 2/sqrt(G) restores it; 1/sqrt(layers) keeps the sum of all layers there
                path.initialise(2 / math.sqrt(path.weight.shape[1] * layers), generator)
