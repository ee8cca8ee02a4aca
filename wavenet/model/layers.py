"""What a WaveNet is made of, as weights; `time_major` computes with them.

Weights are shaped (outputs, inputs, taps), as `torch.nn.Conv1d` has them. A layer's dilated convolution is one of `CONVOLUTIONS`, and
makes the dense kernel that it equals: `patterns` says which there are and why. Gradients flow through the making.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig, dilations
from wavenet.model import parameters
from wavenet.model.stack import LayerWeights

Weights = Mapping[str, Tensor]


class Taps(nn.Module):
    """Weight and bias of a causal convolution; with one tap, of a product per sample."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs, kernel_size) / math.sqrt(inputs * kernel_size)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), for one tap."""
        return torch.nn.functional.linear(rows, self.weight.squeeze(2), self.bias)

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Normal weights, zero bias."""
        nn.init.normal_(self.weight, std=std, generator=generator)
        nn.init.zeros_(self.bias)


# --- dilated convolutions: their weights by name -> the dense kernel that they equal, (K, 2G, R), oldest tap first -----------


def _dense(weights: Weights, groups: int) -> Tensor:
    if groups == 1:
        return weights["weight"].permute(2, 0, 1)
    own = torch.eye(groups).to(
        weights["weight"]
    )  # a group of outputs hears its own group of inputs
    outputs, inputs, taps = weights["weight"].shape
    divided = weights["weight"].view(2, groups, outputs // groups // 2, inputs, taps)
    return torch.einsum("hgork,gi->khgoir", divided, own).flatten(1, 3).flatten(2)


def _separable(weights: Weights, groups: int) -> Tensor:
    return weights["pointwise"][:, :, 0] * weights["depthwise"].permute(2, 1, 0)


def _bottleneck(weights: Weights, groups: int) -> Tensor:
    return torch.einsum(
        "ob,bck,cr->kor", weights["expand"][:, :, 0], weights["dilated"], weights["reduce"][:, :, 0]
    )


KERNELS: dict[str, Callable[[Weights, int], Tensor]] = {
    "dense": _dense, "separable": _separable, "bottleneck": _bottleneck, "hybrid": _dense
}  # fmt: skip


class Convolution(nn.Module):
    """A layer's dilated convolution as the config asks for it: the weights that `patterns` names, and a bias."""

    spread: (
        Tensor | None
    )  # (parts, T, K) where each tap of the kernel lies among the layer's offsets; None where they are the same

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        for name, shape in parameters.convolution(config, layer).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.bias = nn.Parameter(torch.empty(config.gate_channels))
        self.smooth, self._groups, self._kernel = (
            config.smooth,
            config.groups,
            KERNELS[config.layer],
        )
        self._widths = [len(half) for half in parameters.halves(config)]
        heard = config.offsets[layer]
        spreads = [
            dilations.tap_matrix(config.kernel_sizes[layer], d, config.smooth, heard)
            for d in config.parts[layer]
        ]
        one_to_one = not config.smooth and len(spreads) == 1
        self.register_buffer(
            "spread", None if one_to_one else torch.tensor(spreads), persistent=False
        )
        self.initialise(torch.Generator().manual_seed(0))

    def taps(self) -> Tensor:
        """The dense taps that this equals, one for each of the layer's offsets: (T, 2G, R), oldest first."""
        kernel = self._kernel(dict(self.named_parameters()), self._groups)
        if self.spread is None:
            return kernel
        parts = torch.split(
            kernel.reshape(len(kernel), 2, sum(self._widths), -1), self._widths, 2
        )  # (K, 2, some of G, R) each
        heard = [
            torch.einsum("tk,khgr->thgr", spread, part)
            for spread, part in zip(self.spread, parts, strict=True)
        ]
        return torch.cat(heard, 2).flatten(1, 2)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights, zero bias: inputs of unit variance, each independent of those before it, stay so."""
        weights = [p for name, p in self.named_parameters() if name != "bias"]
        for w in weights:
            nn.init.normal_(w, std=1 / math.sqrt(w[0].numel()), generator=generator)
        if self.smooth:  # the mean of two such has half the variance
            with torch.no_grad():
                weights[-1].mul_(math.sqrt(2))
        nn.init.zeros_(self.bias)


class GatedLayer(nn.Module):
    """tanh(filter) * sigmoid(gate) of a dilated convolution, then a residual and a skip path (van den Oord et al. 2016, eq. 2).

    The last layer of a stack feeds nothing but the skip path and has no `residual`.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        gate, condition = config.gate_channels, config.condition_channels
        self.dilated = Convolution(config, layer)
        self.condition = nn.Linear(condition, gate, bias=False) if condition else None
        self.residual = (
            None if layer == len(config.schedule) - 1 else Taps(gate // 2, config.residual_channels)
        )
        self.skip = Taps(gate // 2, config.skip_channels)

    def weights(self, dtype: torch.dtype, features: Tensor | None = None) -> LayerWeights:
        """As the stack computes with them, and what the layer makes of its conditions' features (F, batch, C).

        Gradients flow back to the parameters and to the features.
        """
        gate = self.dilated.bias.numel()
        doubled = torch.ones(gate, device=self.dilated.bias.device, dtype=self.dilated.bias.dtype)
        doubled[: gate // 2] = 2  # tanh(a) = 2 sigmoid(2a) - 1
        taps = (self.dilated.taps() * doubled[:, None]).contiguous()
        residual = self.residual
        return LayerWeights(
            taps.to(dtype),
            (self.dilated.bias * doubled).to(dtype),
            None if residual is None else residual.weight.squeeze(2).to(dtype),
            None if residual is None else residual.bias.to(dtype),
            self.skip.weight.squeeze(2).to(dtype),
            self.skip.bias.to(dtype),
            None
            if self.condition is None or features is None
            else (features @ (self.condition.weight * doubled[:, None]).t()).to(dtype),
        )

    def initialise(self, layers: int, generator: torch.Generator) -> None:
        """Unit variance through the gate; residual and skip sums of `layers` terms stay near unit variance too."""
        self.dilated.initialise(generator)
        if self.condition is not None:
            nn.init.normal_(
                self.condition.weight,
                std=1 / math.sqrt(self.condition.weight.shape[1]),
                generator=generator,
            )
        for path in (self.residual, self.skip):
            if path is not None:
                # a gate of unit inputs has variance near 0.2, so 2/sqrt(G) restores it; 1/sqrt(layers) keeps the sum of all layers there
                path.initialise(2 / math.sqrt(path.weight.shape[1] * layers), generator)
