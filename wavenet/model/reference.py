"""WaveNet in ordinary PyTorch: the page to read first. `network` computes the same, faster.

An embedding of the past samples goes through a stack of dilated causal convolutions with gates.
Each layer passes on a residual and contributes to a sum of skips, and a small head turns that sum
into a prediction of the next sample (van den Oord et al. 2016). Nothing is padded: every layer's
output is shorter than its input by the samples that its kernel looks back, so that nothing can see
the future.

Layouts are (batch, channels, time) throughout. The weights are those of `network.WaveNet`, under
the same names, so a trained model can be loaded here: `ReferenceWaveNet.from_arrays(config,
weights)`. Layers of the kinds in `patterns` are not shown.

docs/dilated-convolutions.md leads here in small steps.
"""

import math
from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, one_hot, relu

from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.distributions.registry import distribution_for


class GatedLayer(nn.Module):
    """tanh(filter) * sigmoid(gate) of a dilated convolution (eq. 2), a residual and a skip path."""

    def __init__(self, config: ModelConfig, i: int) -> None:
        super().__init__()
        residual, skip = config.residual_channels, config.skip_channels
        gate = config.gate_channels // 2
        kernel_size, dilation = config.kernel_sizes[i], config.schedule[i]
        self.dilated = nn.Conv1d(residual, 2 * gate, kernel_size, dilation=dilation)
        channels = config.condition_channels
        self.condition = nn.Linear(channels, 2 * gate, bias=False) if channels else None
        # Nothing reads the last layer's residual.
        last = i == len(config.schedule) - 1
        self.residual = None if last else nn.Conv1d(gate, residual, 1)
        self.skip = nn.Conv1d(gate, skip, 1)

    def forward(self, x: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (batch, R, time), features (batch, C, time) -> the next layer's x, and z (eq. 2)."""
        h = self.dilated(x)  # (batch, 2G, time - (K - 1) * dilation)
        time = h.shape[2]
        if self.condition is not None and features is not None:
            h = h + conv1d(features[:, :, -time:], self.condition.weight[:, :, None])
        filtered, gate = h.chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)  # (batch, G, time)
        if self.residual is not None:
            x = x[:, :, -time:] + self.residual(z)
        return x, z


class Stack(nn.Module):
    """The gated layers; returns the sum of their skip paths."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # All samples that one output sees: 1 + the sum over layers of (K - 1) * dilation.
        kernels = zip(config.kernel_sizes, config.schedule, strict=True)
        self.receptive_field = 1 + sum((k - 1) * dilation for k, dilation in kernels)
        self.layers = nn.ModuleList(GatedLayer(config, i) for i in range(len(config.schedule)))

    def forward(self, x: Tensor, features: Tensor | None = None) -> Tensor:
        """x (batch, R, time) -> (batch, S, time - receptive_field + 1)."""
        predicted = x.shape[2] - self.receptive_field + 1
        total = torch.zeros(())
        for layer in cast(Iterable[GatedLayer], self.layers):
            x, z = layer(x, features)
            # Outputs of lower layers reach further back; only what is predicted from is summed.
            total = total + layer.skip(z[:, :, -predicted:])
        return total


class Conditioner(nn.Module):
    """Frames of each kind and a label become features of every sample; each layer projects them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.context, self.hop = config, config.frame_context, config.frame_hop
        for kind in config.conditioning:
            self.add_module(kind, Label(config) if kind == "label" else Frames(config, kind))

    def forward(self, inputs: ConditioningInput, time: int) -> Tensor:
        """-> (batch, C, time)."""
        features = []
        for kind, module in self.named_children():
            value = inputs.values[kind]
            if kind == "label":
                vector = module(value)  # (batch, label channels)
                features.append(vector[:, :, None].expand(-1, -1, time))
            else:
                features.append(self._along(module, value, inputs, time))
        return torch.cat(features, 1)

    def _along(
        self, module: nn.Module, frames: Tensor, inputs: ConditioningInput, time: int
    ) -> Tensor:
        """Frames (batch, F + 2 * context, columns) joined by straight lines: (batch, M, time)."""
        # Before a recording's first frame the first one holds, after its last the last.
        low, last = inputs.frame_range[:, :1] - self.context, inputs.frame_range[:, 1:]
        number = low + torch.arange(frames.shape[1], device=frames.device)
        place = torch.clamp(number, torch.zeros_like(last), last) - low
        frames = torch.gather(frames, 1, place[:, :, None].expand_as(frames))
        condensed = module(frames)  # (batch, M, F)
        inner = place[:, self.context : place.shape[1] - self.context] - self.context
        condensed = torch.gather(condensed, 2, inner[:, None].expand_as(condensed))
        return at_every_sample(condensed, self.hop, inputs.frame_offset, time)


class Label(nn.Embedding):
    """A vector for each label."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(len(config.labels), config.label_channels)


class Frames(nn.Conv1d):
    """Frames of one kind, of which each is condensed with its neighbours."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ModelConfig, kind: str) -> None:
        inputs = frame_inputs(config, kind)
        super().__init__(inputs, config.frame_channels, 2 * config.frame_context + 1)
        self.config, self.kind = config, kind
        if kind == "features":
            # Of what was trained on.
            self.register_buffer("mean", torch.zeros(inputs))
            self.register_buffer("deviation", torch.ones(inputs))

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, F + 2 * context, columns) -> (batch, M, F)."""
        if self.kind == "features":
            ready = (frames - self.mean) / self.deviation
        else:
            ready = of_unit_size(frames, self.config, self.kind)
        return relu(super().forward(ready.transpose(1, 2)))


def frame_inputs(config: ModelConfig, kind: str) -> int:
    """Numbers in a frame that is ready to be condensed."""
    if kind == "features":
        return config.features_width
    columns = torch.zeros(1, {"mel": config.mel_bands, "loudness": 1, "pitch": 2}.get(kind, 3))
    return of_unit_size(columns, config, kind).shape[-1]


def of_unit_size(frames: Tensor, config: ModelConfig, kind: str) -> Tensor:
    """Frames (..., columns) of a kind as numbers of about unit size (..., inputs)."""
    if kind == "mel":
        return (frames + 5) / 3  # from natural logarithms
    if kind == "loudness":
        return (frames + 45) / 20  # from dB
    if kind == "pitch":
        note, voiced = frames[..., :1], frames[..., 1:]
        low, high = (
            69 + 12 * math.log2(f / 440) for f in (config.pitch_low_hz, config.pitch_high_hz)
        )
        # 1 on a place of the scale of semitones, and 0 at its neighbours.
        places = torch.linspace(low, high, 1 + max(1, round(high - low)), dtype=frames.dtype).to(
            frames
        )
        near = relu(1 - abs(note.clamp(low, high) - places) / (places[1] - places[0]))
        return 2 * torch.cat([voiced * near, voiced], -1)
    # Segments: near which of six places of which label, and the root of its length in seconds.
    label, place, seconds = frames[..., 0], frames[..., 1:2], frames[..., 2:]
    which = one_hot(label.long(), 1 + len(config.segment_labels)).to(frames)
    near = relu(1 - abs(5 * place - torch.arange(6).to(frames)))
    both = which[..., :, None] * near[..., None, :]
    return torch.cat([2 * both.flatten(-2), seconds.clamp(0, 10).sqrt()], -1)


def at_every_sample(frames: Tensor, hop: int, offset: int, time: int) -> Tensor:
    """Frames (batch, C, F) -> (batch, C, time), on straight lines between them.

    The first sample lies `offset` samples behind the first frame.
    """
    at = torch.arange(offset, offset + time, device=frames.device)
    before = frames[:, :, at // hop]
    after = frames[:, :, (at // hop + 1).clamp(max=frames.shape[2] - 1)]
    return before + (at % hop).to(frames) / hop * (after - before)


class ReferenceWaveNet(nn.Module):
    """Predicts each sample from the `receptive_field` samples before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.distribution = distribution_for(config)
        self.embedding = nn.Embedding(self.distribution.n_inputs, config.residual_channels)
        self.conditioner = Conditioner(config) if config.condition_channels else None
        self.stack = Stack(config)
        self.hidden = nn.Conv1d(config.skip_channels, config.head_channels, 1)
        self.output = nn.Conv1d(config.head_channels, self.distribution.n_params, 1)

    def forward(self, x: Tensor, conditioning_input: ConditioningInput | None = None) -> Tensor:
        """Codes (batch, time) -> params (batch, time - receptive_field + 1, n_params).

        params[:, i] predicts the sample that follows x[:, i + receptive_field - 1].
        """
        features = None
        if self.conditioner is not None:
            if conditioning_input is None:
                raise ValueError("this network is conditioned: give it conditions")
            features = self.conditioner(conditioning_input, x.shape[1])
        embedded = self.distribution.embed(x, self.embedding.weight)  # (batch, time, R)
        skips = self.stack(embedded.transpose(1, 2), features)
        return self.head(skips).transpose(1, 2)

    def head(self, skips: Tensor) -> Tensor:
        """(batch, S, time) -> (batch, n_params, time)."""
        params: Tensor = self.output(relu(self.hidden(relu(skips))))
        return params

    @classmethod
    def from_arrays(cls, config: ModelConfig, arrays: Mapping[str, object]) -> "ReferenceWaveNet":
        """The network with a checkpoint's weights.

        Raises ValueError for kinds of layers not shown here.
        """
        if not config.plain:
            raise ValueError("this network has layers of `model.patterns`: use network.WaveNet")
        model = cls(config)
        model.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})
        return model.eval()
