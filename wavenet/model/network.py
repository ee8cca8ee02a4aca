"""WaveNet on a page: an embedding of the past samples, a stack of gated dilated layers, a head that predicts the next one."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import FOREVER
from wavenet.model.conditioning.conditioner import Conditioner, Conditions, interpolation_weights
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.layers import GatedLayer, Taps
from wavenet.model.pyramid_pooling import CausalASPP
from wavenet.model.stack import StackShape, gated_stack


class WaveNetStack(nn.Module):
    """Gated layers with the config's dilations; returns the sum of their skip paths.

    Nothing is padded: what comes out is shorter than what goes in by what the stack looks back, so no output can see the future and
    none is computed from made-up zeros. `group` trades time for memory: with N > 0 only every Nth layer's input is kept for the
    backward pass and the rest is computed again. `compiled` lets torch.compile fuse the passes over the gates.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.receptive_field = config.receptive_field - config.context_lag
        self.checkpoint_every = 0
        self.compiled = False
        self.hop = config.mel_hop if config.mel_bands else FOREVER
        self.layers = nn.ModuleList(GatedLayer(config, i) for i in range(len(config.schedule)))

    def forward(self, x: Tensor, features: Tensor | None = None, phase: int = 0) -> Tensor:
        """x (time, batch, R) -> (time - receptive_field + 1, batch, S).

        `features` (F, batch, C) of the conditions, at frame rate; the first row lies `phase` samples behind the first of them.
        """
        time, batch, channels = x.shape
        dtype = (
            torch.get_autocast_dtype(x.device.type)
            if torch.is_autocast_enabled(x.device.type)
            else x.dtype
        )
        layers = [layer for layer in self.layers if isinstance(layer, GatedLayer)]
        predicted = time - self.receptive_field + 1
        shape = StackShape(
            self.config.offsets,
            batch,
            predicted * batch,
            self.checkpoint_every,
            self.compiled,
            self.hop,
            phase,
            time,
        )
        with torch.autocast(x.device.type, enabled=False):
            rows = x.reshape(time * batch, channels).to(dtype)
            shares = (
                None
                if features is None
                else interpolation_weights(self.hop, rows.dtype, rows.device)
            )
            skips = gated_stack(
                rows, [layer.weights(dtype, features) for layer in layers], shape, shares
            )
        return skips.view(predicted, batch, -1)


class WaveNet(nn.Module):
    """Predicts each sample from the `receptive_field` samples before it."""

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.distribution = distribution_for(config)
        self.embedding = nn.Embedding(self.distribution.n_inputs, config.residual_channels)
        self.conditioner = Conditioner(config) if config.condition_channels else None
        self.stack = WaveNetStack(config)
        self.context = None if config.context == "none" else CausalASPP(config)
        self.hidden = Taps(config.skip_channels, config.head_channels)
        self.output = Taps(config.head_channels, self.distribution.n_params)
        self._initialise(torch.Generator().manual_seed(seed))

    @property
    def receptive_field(self) -> int:
        """Samples that one prediction hears."""
        return self.config.receptive_field

    def forward(self, x: Tensor, given: Conditions | None = None) -> Tensor:
        """Codes (batch, time) -> params (batch, time - receptive_field + 1, n_params).

        params[:, i] predicts the sample that follows x[:, i + receptive_field - 1]. Nothing is padded: put
        `distribution.silence` in front for what lies before a recording's start. `given` are conditions, of a network that takes some.
        """
        if x.shape[1] < self.receptive_field:
            raise ValueError(
                f"{x.shape[1]} samples are fewer than the receptive field of {self.receptive_field}: prepend silence"
            )
        features = None
        if self.conditioner is not None:
            if given is None:
                raise ValueError("this network is conditioned: give it conditions")
            features = self.conditioner(given)
        heard = self.distribution.embed(x.t(), self.embedding.weight)
        skips = self.stack(
            heard, features, given.phase if given else 0
        )  # (time - stack's receptive_field + 1, batch, S)
        return self._head(skips).transpose(0, 1)

    def _head(self, skips: Tensor) -> Tensor:
        """(time, batch, S) -> (time - context's reach, batch, n_params).

        What places 16-bit samples is float32: of a mean, bf16 keeps 8 bits.
        """
        fine, device = self.distribution.scalar_input, skips.device.type
        with torch.autocast(
            device,
            torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device) and not fine,
        ):
            skips = skips.to(self.hidden.weight.dtype) if fine else skips
            params: Tensor = self.output(
                relu(self.hidden(relu(skips if self.context is None else self.context(skips))))
            )
        return params

    def _initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.embedding.weight, std=self.distribution.input_std, generator=generator)
        for layer in self.stack.layers:
            assert isinstance(layer, GatedLayer)
            layer.initialise(len(self.stack.layers), generator)
        if self.conditioner is not None:
            self.conditioner.initialise(generator)
        if self.context is not None:
            self.context.initialise(generator)
        self.hidden.initialise(math.sqrt(2 / self.hidden.weight.shape[1]), generator)
        self.output.initialise(
            0.01, generator
        )  # predictions near the bias: of mu-law, the first loss is ln(levels)
        with torch.no_grad():
            self.output.bias.copy_(torch.from_numpy(self.distribution.initial_bias()))

    @classmethod
    def from_arrays(cls, config: ModelConfig, arrays: Mapping[str, object]) -> "WaveNet":
        """Rebuild a network from a checkpoint's NumPy weights, ready to evaluate."""
        model = cls(config)
        model.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})
        return model.eval()
