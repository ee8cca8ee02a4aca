"""Cached generation in eager PyTorch: per layer a queue of past inputs and a few small operations.

It is the baseline that the engines' speed is measured against, and nothing else. It computes what
the network's own modules compute, one product for each tap, for the residual path and for the skip
path, with the weights prepared once and nothing recorded for gradients. For `plain` models only.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from wavenet.config import ModelConfig
from wavenet.engines.gpu.torch_sampling import Samplings, draw_for
from wavenet.glossary import Array, Noise
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.registry import distribution_for


class _Layer(NamedTuple):
    taps: list[Tensor]  # (2 G, R) each, oldest first
    bias: Tensor
    residual: tuple[Tensor, Tensor] | None  # (R, G) and bias
    skip: tuple[Tensor, Tensor]
    queue: Tensor  # (length, batch, R)
    dilation: int


class EagerStep:
    """`batch` streams in float32 that started in silence, one sample of each per step."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        batch: int,
        device: torch.device | None = None,
    ) -> None:
        def tensor(name: str) -> Tensor:
            return torch.tensor(weights[name], device=device)

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return tensor(f"{name}.weight")[..., 0].contiguous(), tensor(f"{name}.bias")

        self.distribution = distribution_for(config)
        self.draw = draw_for(self.distribution)
        self.embedding = tensor("embedding.weight")
        self.layers = []
        for i, (dilation, kernel_size) in enumerate(
            zip(config.schedule, config.kernel_sizes, strict=True)
        ):
            layer = f"stack.layers.{i}"
            taps = [tap.contiguous() for tap in tensor(f"{layer}.dilated.weight").unbind(2)]
            residual = pair(f"{layer}.residual") if f"{layer}.residual.weight" in weights else None
            queue = torch.zeros(
                (kernel_size - 1) * dilation + 1, batch, config.residual_channels, device=device
            )
            bias = tensor(f"{layer}.dilated.bias")
            self.layers.append(_Layer(taps, bias, residual, pair(f"{layer}.skip"), queue, dilation))
        self.hidden, self.output = pair("hidden"), pair("output")
        self.time = 0
        self.last = torch.full((batch,), self.distribution.silence, device=device)

    @torch.no_grad()
    def run(self, noise: Noise) -> Tensor:
        """A step for each column of noise (batch, time, n_noise).

        Returns the last codes (batch,), on the CPU.
        """
        samplings = Samplings.of(
            [Sampling()] * len(noise), self.distribution, self.embedding.dtype, self.last.device
        )
        uniforms = torch.from_numpy(noise_columns(noise, self.distribution.n_noise))
        for u in uniforms.transpose(0, 1).contiguous().to(self.last.device):
            x = self.distribution.embed(self.last, self.embedding)  # (batch, R)
            skips = torch.zeros((), device=self.last.device)
            for taps, bias, residual, skip, queue, dilation in self.layers:
                queue[self.time % len(queue)] = x
                h = linear(x, taps[-1], bias)
                for tap, weight in enumerate(reversed(taps[:-1]), start=1):
                    h += linear(queue[(self.time - tap * dilation) % len(queue)], weight)
                filtered, gate = h.chunk(2, 1)
                z = torch.tanh(filtered) * torch.sigmoid(gate)
                skips = skips + linear(z, *skip)
                if residual is not None:
                    x = x + linear(z, *residual)
            hidden = linear(skips.relu(), *self.hidden)
            self.last = self.draw(linear(hidden.relu(), *self.output), u, samplings)
            self.time += 1
        return self.last.cpu()
