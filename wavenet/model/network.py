"""The network that is trained: an embedding, a stack of gated dilated layers, a head.

`reference` is the same network in ordinary convolutions, to read first; this one computes with the
fused, time-major stack of `fused_stack`, or on a CPU of `cpu_stack`.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from wavenet.config import Config, ModelConfig
from wavenet.config.loading import model_of
from wavenet.errors import UsageError
from wavenet.model.arguments import (
    require_floats,
    require_integer,
    require_tensor,
    require_type,
)
from wavenet.model.conditioning.carriers import FOREVER, Conditioning, ConditioningInput
from wavenet.model.conditioning.conditioner import Conditioner, interpolation_weights
from wavenet.model.convolution import Modules, Taps
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.fused_stack import gated_stack
from wavenet.model.layers import GatedLayer, stack_parameters
from wavenet.model.parameters import require_weights
from wavenet.model.patterns.pyramid_pooling import CausalASPP
from wavenet.model.stack_shape import ON_CPU, Form, StackShape, form_for
from wavenet.model.stack_weights import StackParameters

Computation: TypeAlias = Callable[[Tensor, StackParameters, StackShape], Tensor]


class WaveNetStack(nn.Module):
    """Gated layers with the config's dilations; returns the sum of their skip paths.

    A module like torch's convolutions (van den Oord et al. 2016, section 2): it takes (batch, R,
    time) and returns (batch, S, time - receptive_field + 1), with R = `config.residual_channels`
    and S = `config.skip_channels`. `config` is a `ModelConfig`, a whole `Config`, or the name of a
    preset. `seed` is that of the weights.

    Nothing is padded: the output is shorter than the input by the stack's receptive field less one,
    so no output can see the future and none is computed from made-up zeros.

    `checkpoint_every` trades time for memory: with N > 0 only the input of every Nth layer is kept
    for the backward pass, and the rest is computed again. `compiled` lets torch.compile fuse the
    passes over the gates. torch.export takes a stack for inference: one without gradients.

    >>> stack = wavenet.WaveNetStack("tiny")
    >>> x = torch.randn(1, stack.config.residual_channels, stack.receptive_field + 99)
    >>> stack(x).shape
    torch.Size([1, 64, 100])
    """

    def __init__(
        self,
        config: ModelConfig | Config | str,
        *,
        seed: int = 0,
        checkpoint_every: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config = model_of(config)
        _require_seed(seed)
        rule = "must be 0 (keeps all) or a number of layers"
        require_integer("checkpoint_every", checkpoint_every, 0, 2**31 - 1, rule)
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
        """x (batch, R, time) -> (batch, S, time - receptive_field + 1); both may lack the batch.

        Output i has heard x[..., i : i + receptive_field], so it stands beside the last of these. x
        may have any floating type, which is computed in, and has to have at least `receptive_field`
        samples. `conditioning` holds features (F, batch, C), and says where they lie beside the
        first sample. Raises UsageError, a ValueError, for what does not fit.

        Gradients can be taken once, not of gradients: differentiating twice is a RuntimeError of
        torch's. Computed time first; x is not copied if it lies so in memory.
        """
        if isinstance(x, Tensor) and x.dim() == 2:
            return self.forward(x[None], conditioning)[0]
        self._require_fit(x, conditioning)
        batch, channels, time = x.shape
        device = x.device.type
        available = torch.amp.is_autocast_available(device)
        autocast = available and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
        # A graph that is exported holds torch's operations alone.
        exporting = torch.compiler.is_exporting()
        form = ON_CPU if exporting else self.form or form_for(x.device, dtype)
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
            rows = x.permute(2, 0, 1).reshape(time * batch, channels).to(dtype)
            parameters = stack_parameters(self.layers, features)
            skips = _computation(form)(rows, parameters, shape)
        return skips.view(predicted, batch, self.config.skip_channels).permute(1, 2, 0)

    def _require_fit(self, x: Tensor, conditioning: Conditioning | None) -> None:
        """Raise UsageError unless that is what `forward` takes."""
        require_floats("x", x, "batch", self.config.residual_channels, "time")
        if x.shape[2] < self.receptive_field:
            short = f"has fewer samples than the receptive field, {self.receptive_field}"
            raise UsageError("x", tuple(x.shape), short)
        if conditioning is not None:
            require_type("conditioning", conditioning, Conditioning)
            batch, channels = x.shape[0], self.config.condition_channels
            alike = conditioning.frames.shape[1:2] == (1,)
            axes = ("frames", 1 if alike else batch, channels)
            require_floats("conditioning.frames", conditioning.frames, *axes)


class WaveNet(nn.Module):
    """Predicts each sample from the `receptive_field` samples before it (van den Oord et al. 2016).

    `config` is a `ModelConfig`, a whole `Config`, or the name of a preset. `distribution` is what
    the network predicts: it turns audio into codes and back, and has the loss. `seed` decides the
    initial weights. `checkpoint_every` and `compiled` are of `WaveNetStack`: how it computes, not
    what.

    >>> network = wavenet.WaveNet("tiny")
    >>> x = torch.full((1, network.receptive_field + 100), network.distribution.silence)
    >>> params = network(x[:, :-1])
    >>> params.shape
    torch.Size([1, 100, 256])
    >>> loss = network.distribution.loss(params, x[:, -100:])
    >>> print(f"{loss.item() / np.log(2):.0f} bits per sample")
    8 bits per sample
    """

    def __init__(
        self,
        config: ModelConfig | Config | str,
        seed: int = 0,
        *,
        checkpoint_every: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config = model_of(config)
        _require_seed(seed)
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
        """Codes (batch, time), integers -> params (batch, time - receptive_field + 1, n_params).

        params[:, i] predicts the sample that follows x[:, i + receptive_field - 1]. Nothing is
        padded: put `distribution.silence` in front for what lies before a recording's start. A
        network with front ends needs their input. Raises UsageError, a ValueError, when that is
        missing, x is too short, or holds other than codes, whose range is checked on a CPU only.
        """
        require_tensor("x", x, "batch", "time")
        if x.shape[1] < self.receptive_field:
            short = f"has fewer samples than the receptive field, {self.receptive_field}"
            raise UsageError("x", tuple(x.shape), short, "prepend silence")
        conditioning = None
        if self.conditioner is not None:
            advice = "this network is conditioned: give it conditions"
            require_type("conditioning_input", conditioning_input, ConditioningInput, advice)
            assert conditioning_input is not None
            # At frame rate, float32 costs nothing.
            with _without_autocast(x.device.type):
                conditioning = self.conditioner(conditioning_input)
        # Time first, as the stack computes: then nothing is copied on the way.
        embedded = self.distribution.embed(x.t(), self.embedding.weight)  # (time, batch, R)
        skips = self.stack(embedded.permute(1, 2, 0), conditioning)  # (batch, S, predicted)
        return self._head(skips)

    def _head(self, skips: Tensor) -> Tensor:
        """(batch, S, time) -> (batch, time - the context module's lag, n_params)."""
        skips = skips.permute(2, 0, 1)
        # What places 16-bit samples is computed in float32: of a mean, bf16 keeps 8 bits.
        precise, device = self.distribution.scalar_input, skips.device.type
        autocast = torch.is_autocast_enabled(device) and not precise
        with torch.autocast(device, torch.get_autocast_dtype(device), enabled=autocast):
            if precise:
                skips = skips.to(self.hidden.weight.dtype)
            if self.context is not None:
                skips = self.context(skips)
            params: Tensor = self.output(relu(self.hidden(relu(skips))))
        return params.transpose(0, 1)

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
    def from_arrays(
        cls, config: ModelConfig | Config | str, arrays: Mapping[str, object]
    ) -> "WaveNet":
        """Rebuild a network from a checkpoint's NumPy weights, on the CPU and in eval mode.

        `arrays` are all of its weights by name, such as `Model.weights`, or a `state_dict`.
        Raises UsageError, a ValueError, when they are not those of `config`.
        """
        model = cls(config)
        require_weights("arrays", model.config, arrays)
        model.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})
        return model.eval()


def _require_seed(seed: int) -> None:
    require_integer("seed", seed, 0, 2**64 - 1, "must be 0 to 2^64 - 1")


def _computation(form: Form) -> Computation:
    """What computes a stack in this form."""
    if not form.machine_code:
        return gated_stack
    # numba is imported where it is used alone.
    from wavenet.model.cpu_stack import passes

    if torch.compiler.is_compiling():
        # Else torch.compile would trace numba's compiler.
        untraced: Computation = torch.compiler.disable(passes.gated_stack)  # type: ignore[no-untyped-call]
        return untraced
    return passes.gated_stack


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Not every kind of device has autocast."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
