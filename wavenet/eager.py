"""The usual way to generate with a cache: per layer a queue of past inputs, per sample a few small PyTorch operations a layer.

What the engines' speed is measured against, and nothing else. It does what the network's own modules do, one product for each tap,
for the residual path and for the skip path, with the weights prepared once and nothing recorded for gradients.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from wavenet.config import ModelConfig
from wavenet.distributions import Categorical
from wavenet.shapes import Array, Noise


class _Layer(NamedTuple):
    taps: list[Tensor]  # (2 G, R) each, oldest first
    bias: Tensor
    residual: tuple[Tensor, Tensor] | None  # (R, G) and bias
    skip: tuple[Tensor, Tensor]
    queue: Tensor  # (length, batch, R)
    dilation: int


class EagerStep:
    """`batch` streams in float32 that started in silence, one sample of each per step."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array], batch: int) -> None:
        def pair(name: str) -> tuple[Tensor, Tensor]:
            return torch.tensor(weights[f"{name}.weight"])[..., 0].contiguous(), torch.tensor(weights[f"{name}.bias"])

        self.embedding = torch.tensor(weights["embedding.weight"])
        self.layers = []
        for i, dilation in enumerate(config.schedule):
            layer = f"stack.layers.{i}"
            taps = [tap.contiguous() for tap in torch.tensor(weights[f"{layer}.dilated.weight"]).unbind(2)]
            residual = pair(f"{layer}.residual") if f"{layer}.residual.weight" in weights else None
            queue = torch.zeros((config.kernel_size - 1) * dilation + 1, batch, config.residual_channels)
            bias = torch.tensor(weights[f"{layer}.dilated.bias"])
            self.layers.append(_Layer(taps, bias, residual, pair(f"{layer}.skip"), queue, dilation))
        self.hidden, self.output = pair("hidden"), pair("output")
        self.time = 0
        self.last = torch.full((batch,), Categorical(config.levels).silence)

    @torch.no_grad()
    def run(self, noise: Noise) -> Tensor:
        """As many steps as there is noise (batch, time); returns the last codes (batch,)."""
        for u in torch.from_numpy(noise).t().contiguous():
            x, total = self.embedding[self.last], torch.zeros(())
            for taps, bias, residual, skip, queue, dilation in self.layers:
                queue[self.time % len(queue)] = x
                h = linear(x, taps[-1], bias)
                for back, tap in enumerate(reversed(taps[:-1]), 1):
                    h += linear(queue[(self.time - back * dilation) % len(queue)], tap)
                filtered, gate = h.chunk(2, 1)
                z = torch.tanh(filtered) * torch.sigmoid(gate)
                total = total + linear(z, *skip)
                if residual is not None:
                    x = x + linear(z, *residual)
            p = linear(linear(total.relu(), *self.hidden).relu(), *self.output).softmax(1).cumsum(1)
            self.last = torch.searchsorted(p, u[:, None]).clamp_(max=p.shape[1] - 1)[:, 0]
            self.time += 1
        return self.last
