"""The network as a reader would write it first, in ordinary dilated convolutions: what the time-major form is compared with."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, conv1d, relu

from wavenet.model.conditioning.conditioner import Conditions
from wavenet.model.layers import Convolution, GatedLayer, Taps
from wavenet.model.network import WaveNet, WaveNetStack
from wavenet.model.pyramid_pooling import CausalASPP


def conv(taps: Taps, x: Tensor, dilation: int = 1) -> Tensor:
    """(batch, channels, time) -> shorter by what the taps look back."""
    return conv1d(x, taps.weight, taps.bias, dilation=dilation)


def dense(c: Convolution, x: Tensor, dilation: int, groups: int) -> Tensor:
    if groups == 1:
        return conv1d(x, c.weight, c.bias, dilation=dilation)
    filtered, gate = (conv1d(x, w, dilation=dilation, groups=groups) for w in c.weight.chunk(2))
    return torch.cat([filtered, gate], 1) + c.bias[:, None]


def separable(c: Convolution, x: Tensor, dilation: int, groups: int) -> Tensor:
    each = conv1d(x, c.depthwise, dilation=dilation, groups=x.shape[1])
    return conv1d(each, c.pointwise, c.bias)


def bottleneck(c: Convolution, x: Tensor, dilation: int, groups: int) -> Tensor:
    return conv1d(conv1d(conv1d(x, c.reduce), c.dilated, dilation=dilation), c.expand, c.bias)


def hybrid(c: Convolution, x: Tensor, dilation: int, groups: int) -> Tensor:
    halves = []
    for w in c.weight.chunk(2):  # tanh's, then the sigmoid's
        local, far = conv1d(x, w[: len(w) // 2]), conv1d(x, w[len(w) // 2 :], dilation=dilation)
        halves += [local[:, :, -far.shape[2] :], far]
    return torch.cat(halves, 1) + c.bias[:, None]


FORMS = {"dense": dense, "separable": separable, "bottleneck": bottleneck, "hybrid": hybrid}


def stack(module: WaveNetStack, x: Tensor, told: Tensor | None = None) -> Tensor:
    """x (batch, R, time), told (batch, C, time) -> the skip paths' sum (batch, S, time - receptive_field + 1)."""
    keep = x.shape[2] - module.receptive_field + 1
    total = torch.zeros(())
    for layer, dilation in zip(module.layers, module.config.schedule, strict=True):
        assert isinstance(layer, GatedLayer)
        h = FORMS[module.config.layer](layer.dilated, x, dilation, module.config.groups)
        if module.config.smooth:
            h = (h[:, :, 1:] + h[:, :, :-1]) / 2
        if told is not None and layer.condition is not None:
            h = h + conv1d(told[:, :, -h.shape[2] :], layer.condition.weight[:, :, None])
        filtered, gate = h.chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)
        total = total + conv(layer.skip, z[:, :, -keep:])
        if layer.residual is not None:
            x = x[:, :, -z.shape[2] :] + conv(layer.residual, z)
    return total


def pyramid(module: CausalASPP, skips: Tensor) -> Tensor:
    """(batch, S, time) -> (batch, S, time - reach)."""
    u, keep = relu(skips), skips.shape[2] - module.reach
    branches = [
        conv(taps, u, dilation)
        for taps, dilation in zip(module.branches, module.dilations, strict=True)
    ]  # type: ignore[arg-type]
    branches.append(conv(module.mean, avg_pool1d(u, module.window, stride=1)))
    together = torch.cat([relu(b[:, :, -keep:]) for b in branches], 1)
    return skips[:, :, -keep:] + conv(module.project, together)


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
    skips = stack(
        model.stack, model.distribution.embed(x, model.embedding.weight).transpose(1, 2), told
    )
    if model.context is not None:
        skips = pyramid(model.context, skips)
    return conv(model.output, relu(conv(model.hidden, relu(skips)))).transpose(1, 2)
