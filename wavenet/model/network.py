"""The network that is trained: an embedding, a stack of gated dilated layers, a head.

`reference` is the same network in ordinary convolutions, to read first; this one computes with the
fused, time-major stack of `fused_stack`, or on a CPU of `cpu_stack`.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import FOREVER, Conditioning, ConditioningInput
from wavenet.model.conditioning.conditioner import Conditioner, interpolation_weights
from wavenet.model.convolution import Modules, Taps
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.fused_stack import gated_stack
from wavenet.model.layers import GatedLayer, stack_parameters
from wavenet.model.patterns.pyramid_pooling import CausalASPP
from wavenet.model.stack_shape import Form, StackShape, form_for


class WaveNetStack(nn.Module):
    """Gated layers with the config's dilations; returns the sum of their skip paths.

    Unlike torch's convolutions it has time first and channels last: (time, batch, channels). It
    takes R = `config.residual_channels` and returns S = `config.skip_channels`. `seed` is that of
    the weights.

    Nothing is padded: the output is shorter than the input by the stack's receptive field less one,
    so no output can see the future and none is computed from made-up zeros.

    `checkpoint_every` trades time for memory: with N > 0 only the input of every Nth layer is kept
    for the backward pass, and the rest is computed again. `compiled` lets torch.compile fuse the
    passes over the gates.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        seed: int = 0,
        checkpoint_every: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.receptive_field = config.receptive_field - config.context_lag
        self.checkpoint_every = checkpoint_every
        self.compiled = compiled
        # How the work is cut: None leaves it to the device.
        self.form: Form | None = None
        layers = (GatedLayer(config, i) for i in range(len(config.schedule)))
        self.layers: Modules[GatedLayer] = Modules(layers)
        self.initialise(torch.Generator().manual_seed(seed))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew."""
        for layer in self.layers:
            layer.initialise(len(self.layers), generator)

    def forward(self, x: Tensor, conditioning: Conditioning | None = None) -> Tensor:
        """x (time, batch, R) -> (time - receptive_field + 1, batch, S).

        Output i has heard x[i : i + receptive_field], so it stands beside the last of these. x has
        to have at least `receptive_field` samples. `conditioning` holds features (F, batch, C), and
        says where they lie beside the first row. Gradients can be taken once, not of gradients.
        """
        time, batch, channels = x.shape
        device = x.device.type
        available = torch.amp.is_autocast_available(device)
        autocast = available and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
        form = self.form or form_for(x.device, dtype)
        predicted = time - self.receptive_field + 1
        how = self.checkpoint_every, form, self.compiled
        shape = StackShape(self.config.offsets, batch, predicted * batch, *how, time=time)
        features = None
        if conditioning is not None:
            features, start, hop = conditioning
            features = features.expand(-1, batch, -1)
            shape = shape._replace(hop=hop, frame_offset=-start)
            if hop != FOREVER:
                interpolation = hop, form.interpolation_rows, form.multiple
                interp_weights = interpolation_weights(*interpolation, dtype, x.device)
                shape = shape._replace(interp_weights=interp_weights)
        with _without_autocast(device):
            rows = x.reshape(time * batch, channels).to(dtype)
            parameters = stack_parameters(self.layers, features)
            if form.machine_code:
                # numba is imported where it is used alone.
                from wavenet.model.cpu_stack import passes

                skips = passes.gated_stack(rows, parameters, shape)
            else:
                skips = gated_stack(rows, parameters, shape)
        return skips.view(predicted, batch, -1)


class WaveNet(nn.Module):
    """Predicts each sample from the `receptive_field` samples before it.

    `distribution` is what it predicts: it turns audio into codes and back, and has the loss. `seed`
    decides the initial weights. `checkpoint_every` and `compiled` are of `WaveNetStack`: how it
    computes, not what.
    """

    def __init__(
        self,
        config: ModelConfig,
        seed: int = 0,
        *,
        checkpoint_every: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        # Samples that one prediction can depend on.
        self.receptive_field = config.receptive_field
        self.distribution = distribution_for(config)
        self.embedding = nn.Embedding(self.distribution.n_inputs, config.residual_channels)
        self.conditioner = Conditioner(config) if config.condition_channels else None
        self.stack = WaveNetStack(config, checkpoint_every=checkpoint_every, compiled=compiled)
        self.context = CausalASPP(config) if config.context != "none" else None
        self.hidden = Taps(config.skip_channels, config.head_channels)
        self.output = Taps(config.head_channels, self.distribution.n_params)
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor, conditioning_input: ConditioningInput | None = None) -> Tensor:
        """Codes (batch, time), int64 -> params (batch, time - receptive_field + 1, n_params).

        params[:, i] predicts the sample that follows x[:, i + receptive_field - 1]. Nothing is
        padded: put `distribution.silence` in front for what lies before a recording's start. A
        network with front ends needs their input. Raises ValueError when that is missing or x is
        too short.
        """
        if x.shape[1] < self.receptive_field:
            short = f"{x.shape[1]} samples are fewer than the receptive field of"
            raise ValueError(f"{short} {self.receptive_field}: prepend silence")
        conditioning = None
        if self.conditioner is not None:
            if conditioning_input is None:
                raise ValueError("this network is conditioned: give it conditions")
            # At frame rate, float32 costs nothing.
            with _without_autocast(x.device.type):
                conditioning = self.conditioner(conditioning_input)
        embedded = self.distribution.embed(x.t(), self.embedding.weight)
        # (time - stack's receptive_field + 1, batch, S)
        skips = self.stack(embedded, conditioning)
        return self._head(skips).transpose(0, 1)

    def _head(self, skips: Tensor) -> Tensor:
        """(time, batch, S) -> (time - the context module's lag, batch, n_params)."""
        # What places 16-bit samples is computed in float32: of a mean, bf16 keeps 8 bits.
        precise, device = self.distribution.scalar_input, skips.device.type
        autocast = torch.is_autocast_enabled(device) and not precise
        with torch.autocast(device, torch.get_autocast_dtype(device), enabled=autocast):
            if precise:
                skips = skips.to(self.hidden.weight.dtype)
            if self.context is not None:
                skips = self.context(skips)
            params: Tensor = self.output(relu(self.hidden(relu(skips))))
        return params

    def _initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.embedding.weight, std=self.distribution.input_std, generator=generator)
        self.stack.initialise(generator)
        if self.conditioner is not None:
            self.conditioner.initialise(generator)
        if self.context is not None:
            self.context.initialise(generator)
        self.hidden.initialise(generator, math.sqrt(2 / self.hidden.weight.shape[1]))
        # Predictions begin near the bias: of mu-law, the first loss is ln(levels).
        self.output.initialise(generator, 0.01)
        with torch.no_grad():
            self.output.bias.copy_(torch.from_numpy(self.distribution.initial_bias()))

    @classmethod
    def from_arrays(cls, config: ModelConfig, arrays: Mapping[str, object]) -> "WaveNet":
        """Rebuild a network from a checkpoint's NumPy weights, on the CPU and in eval mode.

        `arrays` are all of its weights by name, such as `Checkpoint.weights`. Raises RuntimeError
        when they are not those of `config`.
        """
        model = cls(config)
        model.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})
        return model.eval()


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Not every kind of device has autocast."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
