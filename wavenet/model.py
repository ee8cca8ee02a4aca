"""WaveNet on a page: an embedding of the past samples, a stack of gated dilated layers, a head that predicts the next one."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from wavenet.config import ModelConfig
from wavenet.distributions import Categorical
from wavenet.layers import CausalConv1d, GatedLayer, initialise
from wavenet.receptive import receptive_field


class WaveNetStack(nn.Module):
    """Gated layers with the config's dilations; returns the sum of their skip paths."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dilations = config.schedule
        self.receptive_field = receptive_field(dilations, config.kernel_size)
        self.layers = nn.ModuleList(
            GatedLayer(
                config.residual_channels, config.gate_channels, config.skip_channels, config.kernel_size, d, last=i == len(dilations) - 1
            )
            for i, d in enumerate(dilations)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, R, time) -> (batch, S, time - receptive_field + 1)."""
        keep = x.shape[2] - self.receptive_field + 1
        total: Tensor | None = None
        for layer in self.layers:
            x, skip = layer(x, keep)
            total = skip if total is None else total + skip
        assert total is not None
        return total


class WaveNet(nn.Module):
    """Predicts each sample from the `receptive_field` samples before it."""

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.distribution = Categorical(config.levels)
        self.embedding = nn.Embedding(config.levels, config.residual_channels)
        self.stack = WaveNetStack(config)
        self.hidden = CausalConv1d(config.skip_channels, config.head_channels)
        self.output = CausalConv1d(config.head_channels, self.distribution.n_params)
        self._initialise(torch.Generator().manual_seed(seed))

    @property
    def receptive_field(self) -> int:
        """Samples that one prediction hears."""
        return self.stack.receptive_field

    def forward(self, x: Tensor) -> Tensor:
        """Codes (batch, time) -> params (batch, time - receptive_field + 1, levels).

        params[:, i] predicts the sample that follows x[:, i + receptive_field - 1]. Nothing is padded: put
        `distribution.silence` in front for what lies before a recording's start.
        """
        if x.shape[1] < self.receptive_field:
            raise ValueError(f"{x.shape[1]} samples are fewer than the receptive field of {self.receptive_field}: prepend silence")
        skips = self.stack(self.embedding(x).transpose(1, 2))  # (batch, S, time - receptive_field + 1)
        params: Tensor = self.output(relu(self.hidden(relu(skips))))
        return params.transpose(1, 2)

    def _initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.embedding.weight, generator=generator)
        for layer in self.stack.layers:
            assert isinstance(layer, GatedLayer)
            initialise(layer, len(self.stack.layers), generator)
        nn.init.normal_(self.hidden.weight, std=math.sqrt(2 / self.hidden.in_channels), generator=generator)
        nn.init.normal_(self.output.weight, std=0.01, generator=generator)  # logits near 0: the first loss is ln(levels)
        for conv in (self.hidden, self.output):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, config: ModelConfig, arrays: Mapping[str, object]) -> "WaveNet":
        """Rebuild a network from a checkpoint's NumPy weights, ready to evaluate."""
        model = cls(config)
        model.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})
        return model.eval()
