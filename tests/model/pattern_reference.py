"""`model.reference` for the kinds of layers that it leaves out, again in ordinary convolutions."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import avg_pool1d, conv1d, relu

from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.network import WaveNet
from wavenet.model.patterns import shapes
from wavenet.model.reference import ReferenceWaveNet


class PatternConvolution(nn.Module):
    """A layer's dilated convolution, (batch, R, time) -> (batch, 2G, time - largest offset)."""

    def __init__(self, config: ModelConfig, i: int) -> None:
        super().__init__()
        for name, shape in shapes.convolution(config, i).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.bias = nn.Parameter(torch.empty(config.gate_channels))
        self.kind, self.groups, self.smooth = config.layer, config.groups, config.smooth
        self.dilation = config.schedule[i]

    def forward(self, x: Tensor) -> Tensor:
        h = getattr(self, f"_{self.kind}")(x)
        return (h[:, :, 1:] + h[:, :, :-1]) / 2 if self.smooth else h

    def _dense(self, x: Tensor) -> Tensor:
        halves = [
            conv1d(x, w, dilation=self.dilation, groups=self.groups) for w in self.weight.chunk(2)
        ]
        return torch.cat(halves, 1) + self.bias[:, None]

    def _separable(self, x: Tensor) -> Tensor:
        each = conv1d(x, self.depthwise, dilation=self.dilation, groups=x.shape[1])
        return conv1d(each, self.pointwise, self.bias)

    def _bottleneck(self, x: Tensor) -> Tensor:
        narrow = conv1d(conv1d(x, self.reduce), self.dilated, dilation=self.dilation)
        return conv1d(narrow, self.expand, self.bias)

    def _hybrid(self, x: Tensor) -> Tensor:
        halves = []
        # Each half of the gate has near and far channels: the tanh's half, then the sigmoid's.
        for w in self.weight.chunk(2):
            near = conv1d(x, w[: len(w) // 2])
            far = conv1d(x, w[len(w) // 2 :], dilation=self.dilation)
            halves += [near[:, :, -far.shape[2] :], far]
        return torch.cat(halves, 1) + self.bias[:, None]


class Pyramid(nn.Module):
    """The context module: (batch, S, time) -> (batch, S, time - lag)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        convolutions = {
            name: nn.Conv1d(inputs, outputs, taps)
            for name, (outputs, inputs, taps) in shapes.pyramid(config).items()
        }
        for convolution, dilation in zip(
            convolutions.values(), config.pyramid_dilations, strict=False
        ):
            convolution.dilation = (dilation,)
        self.branches = nn.ModuleList(list(convolutions.values())[:-2])
        self.mean, self.project = convolutions["mean"], convolutions["project"]
        self.window, self.lag = config.pyramid_window, config.context_lag

    def forward(self, skips: Tensor) -> Tensor:
        u, keep = relu(skips), skips.shape[2] - self.lag
        branches = [branch(u) for branch in self.branches]
        branches.append(self.mean(avg_pool1d(u, self.window, stride=1)))
        concatenated = torch.cat([relu(b[:, :, -keep:]) for b in branches], 1)
        return skips[:, :, -keep:] + self.project(concatenated)


class PatternReference(ReferenceWaveNet):
    """The readable network with layers of every kind, and with the pyramid."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.stack.receptive_field = config.receptive_field - config.context_lag
        for i, layer in enumerate(self.stack.layers):
            layer.dilated = PatternConvolution(config, i)
        self.context = Pyramid(config) if config.context == "pyramid" else nn.Identity()

    def head(self, skips: Tensor) -> Tensor:
        return super().head(self.context(skips))


def forward(
    model: WaveNet, x: Tensor, conditioning_input: ConditioningInput | None = None
) -> Tensor:
    """The reference's prediction with a network's weights, to which gradients flow back."""
    kind = ReferenceWaveNet if model.config.plain else PatternReference
    weights = dict(model.named_parameters())
    params: Tensor = functional_call(kind(model.config), weights, (x, conditioning_input))
    return params
