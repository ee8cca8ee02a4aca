"""Dilated causal convolution, gated. Nothing is padded: a layer's output is shorter than its input by what it looks back.

So no output can see the future, and none is computed from made-up zeros: whoever calls supplies the past (recorded audio, or
the silence before it).
"""

import math

import torch
from torch import Tensor, nn


class CausalConv1d(nn.Conv1d):
    """Dilated convolution whose output i has heard inputs up to i + lookback and none after. (batch, channels, time)"""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size, dilation=dilation)
        self.lookback = (kernel_size - 1) * dilation  # samples by which the output is shorter


class GatedLayer(nn.Module):
    """tanh(filter) * sigmoid(gate) of a dilated convolution, then a residual and a skip path (van den Oord et al. 2016, eq. 2).

    The last layer of a stack feeds nothing but the skip path and has no `residual`.
    """

    def __init__(self, residual: int, gate: int, skip: int, kernel_size: int, dilation: int, *, last: bool = False) -> None:
        super().__init__()
        self.dilated = CausalConv1d(residual, gate, kernel_size, dilation)
        self.residual = None if last else CausalConv1d(gate // 2, residual)
        self.skip = CausalConv1d(gate // 2, skip)

    def forward(self, x: Tensor, keep: int) -> tuple[Tensor | None, Tensor]:
        """x (batch, R, time) -> the next layer's input (batch, R, time - lookback), and the skip path's last `keep` samples."""
        filtered, gate = self.dilated(x).chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)  # (batch, G, time - lookback)
        skip = self.skip(z[:, :, -keep:])
        return (None if self.residual is None else x[:, :, self.dilated.lookback :] + self.residual(z)), skip


def initialise(layer: GatedLayer, layers: int, generator: torch.Generator) -> None:
    """Unit variance through the gate; residual and skip sums of `layers` terms stay near unit variance too."""
    weight = layer.dilated.weight
    nn.init.normal_(weight, std=1 / math.sqrt(weight[0].numel()), generator=generator)
    for path in (layer.residual, layer.skip):
        if path is not None:
            # a gate of unit inputs has variance near 0.2, so 2/sqrt(G) restores it; 1/sqrt(layers) keeps the sum of all layers there
            nn.init.normal_(path.weight, std=2 / math.sqrt(path.in_channels * layers), generator=generator)
            nn.init.zeros_(path.bias)  # type: ignore[arg-type]
    nn.init.zeros_(layer.dilated.bias)  # type: ignore[arg-type]
