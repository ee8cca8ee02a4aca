"""The network as a reader would write it first, in ordinary dilated convolutions: what the time-major form is compared with."""

import torch
from torch import Tensor
from torch.nn.functional import conv1d, relu

from wavenet.layers import GatedLayer, Taps
from wavenet.model import WaveNet, WaveNetStack


def conv(taps: Taps, x: Tensor, dilation: int = 1) -> Tensor:
    """(batch, channels, time) -> shorter by what the taps look back."""
    return conv1d(x, taps.weight, taps.bias, dilation=dilation)


def stack(module: WaveNetStack, x: Tensor) -> Tensor:
    """x (batch, R, time) -> the skip paths' sum (batch, S, time - receptive_field + 1)."""
    keep = x.shape[2] - module.receptive_field + 1
    total = torch.zeros(())
    for layer, dilation in zip(module.layers, module.dilations, strict=True):
        assert isinstance(layer, GatedLayer)
        filtered, gate = conv(layer.dilated, x, dilation).chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)
        total = total + conv(layer.skip, z[:, :, -keep:])
        if layer.residual is not None:
            x = x[:, :, -z.shape[2] :] + conv(layer.residual, z)
    return total


def forward(model: WaveNet, x: Tensor) -> Tensor:
    """Codes (batch, time) -> params (batch, time - receptive_field + 1, levels)."""
    skips = stack(model.stack, model.embedding(x).transpose(1, 2))
    return conv(model.output, relu(conv(model.hidden, relu(skips)))).transpose(1, 2)
