"""The network as a reader would write it first, in ordinary dilated convolutions: what the time-major form is compared with."""

import torch
from torch import Tensor
from torch.nn.functional import conv1d, relu

from wavenet.conditioning import Conditions
from wavenet.layers import GatedLayer, Taps
from wavenet.model import WaveNet, WaveNetStack


def conv(taps: Taps, x: Tensor, dilation: int = 1) -> Tensor:
    """(batch, channels, time) -> shorter by what the taps look back."""
    return conv1d(x, taps.weight, taps.bias, dilation=dilation)


def stack(module: WaveNetStack, x: Tensor, told: Tensor | None = None) -> Tensor:
    """x (batch, R, time), told (batch, C, time) -> the skip paths' sum (batch, S, time - receptive_field + 1)."""
    keep = x.shape[2] - module.receptive_field + 1
    total = torch.zeros(())
    for layer, dilation in zip(module.layers, module.dilations, strict=True):
        assert isinstance(layer, GatedLayer)
        h = conv(layer.dilated, x, dilation)
        if told is not None and layer.condition is not None:
            h = h + conv1d(told[:, :, -h.shape[2] :], layer.condition.weight[:, :, None])
        filtered, gate = h.chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)
        total = total + conv(layer.skip, z[:, :, -keep:])
        if layer.residual is not None:
            x = x[:, :, -z.shape[2] :] + conv(layer.residual, z)
    return total


def at_every_sample(features: Tensor, hop: int, phase: int, time: int) -> Tensor:
    """Features (F, batch, C) at frame rate -> (batch, C, time), on straight lines between frames."""
    place = torch.arange(phase, phase + time)
    low = features[place // hop]
    high = features[(place // hop + 1).clamp(max=len(features) - 1)]
    share = (place % hop).to(features) / hop
    return (low + share[:, None, None] * (high - low)).permute(1, 2, 0)


def forward(model: WaveNet, x: Tensor, given: Conditions | None = None) -> Tensor:
    """Codes (batch, time) -> params (batch, time - receptive_field + 1, n_params)."""
    told = None
    if model.conditioner is not None and given is not None:
        told = at_every_sample(model.conditioner(given), model.stack.hop, given.phase, x.shape[1])
    skips = stack(model.stack, model.distribution.embed(x, model.embedding.weight).transpose(1, 2), told)
    return conv(model.output, relu(conv(model.hidden, relu(skips)))).transpose(1, 2)
