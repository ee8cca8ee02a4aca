"""Dilated convolutions of the other kinds, in torch: each makes the taps that it equals.

Gradients flow through the making.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig, dilations
from wavenet.model.convolution import DilatedConvolution
from wavenet.model.patterns import shapes

Weights = Mapping[str, Tensor]


class PatternConvolution(DilatedConvolution):
    """A layer's dilated convolution of any kind: the weights of `shapes`, and a bias."""

    # (parts, T, K): where each tap of the kernel lies among the layer's offsets; None for one to
    # one.
    tap_matrices: Tensor | None

    def __init__(self, config: ModelConfig, layer: int) -> None:
        nn.Module.__init__(self)
        for name, shape in shapes.convolution(config, layer).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.bias = nn.Parameter(torch.empty(config.gate_channels))
        self._smooth, self._groups = config.smooth, config.groups
        self._kernel = KERNELS[config.layer]
        self._widths = [len(half) for half in shapes.halves(config)]
        kernel_size, offsets = config.kernel_sizes[layer], config.offsets[layer]
        matrices = [
            dilations.tap_matrix(kernel_size, dilation, config.smooth, offsets)
            for dilation in config.parts[layer]
        ]
        one_to_one = not config.smooth and len(matrices) == 1
        self.register_buffer(
            "tap_matrices", None if one_to_one else torch.tensor(matrices), persistent=False
        )
        self.initialise(torch.Generator().manual_seed(0))

    def taps(self) -> Tensor:
        kernel = self._kernel(dict(self.named_parameters()), self._groups)
        if self.tap_matrices is None:
            return kernel
        # (K, 2, some of G, R) each
        parts = torch.split(kernel.reshape(len(kernel), 2, sum(self._widths), -1), self._widths, 2)
        spread = [
            torch.einsum("tk,khgr->thgr", matrix, part)
            for matrix, part in zip(self.tap_matrices, parts, strict=True)
        ]
        return torch.cat(spread, 2).flatten(1, 2)

    def initialise(self, generator: torch.Generator) -> None:
        weights = [p for name, p in self.named_parameters() if name != "bias"]
        for w in weights:
            nn.init.normal_(w, std=1 / math.sqrt(w[0].numel()), generator=generator)
        # The mean of two independent outputs has half the variance of one.
        if self._smooth:
            with torch.no_grad():
                weights[-1].mul_(math.sqrt(2))
        nn.init.zeros_(self.bias)


# --- weights by name -> the kernel that they equal, (K, 2G, R), oldest tap first ------------------


def _grouped(weights: Weights, groups: int) -> Tensor:
    weight = weights["weight"]
    if groups == 1:
        return weight.permute(2, 0, 1)
    # A group of outputs reads its own group of inputs.
    own = torch.eye(groups).to(weight)
    outputs, inputs, taps = weight.shape
    divided = weight.view(2, groups, outputs // groups // 2, inputs, taps)
    return torch.einsum("hgork,gi->khgoir", divided, own).flatten(1, 3).flatten(2)


def _separable(weights: Weights, groups: int) -> Tensor:
    return weights["pointwise"][:, :, 0] * weights["depthwise"].permute(2, 1, 0)


def _bottleneck(weights: Weights, groups: int) -> Tensor:
    expand, reduce = weights["expand"][:, :, 0], weights["reduce"][:, :, 0]
    return torch.einsum("ob,bck,cr->kor", expand, weights["dilated"], reduce)


KERNELS: dict[str, Callable[[Weights, int], Tensor]] = {
    "dense": _grouped,
    "separable": _separable,
    "bottleneck": _bottleneck,
    "hybrid": _grouped,
}
