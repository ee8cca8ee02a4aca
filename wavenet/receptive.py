"""What the stack can hear, and what it costs: pure arithmetic on the config, no tensors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wavenet import distributions
from wavenet.config import ModelConfig


def receptive_field(dilations: Sequence[int], kernel_size: int | Sequence[int] = 2) -> int:
    """Samples that one output hears: 1 + the sum over layers of (kernel - 1) * dilation."""
    kernels = [kernel_size] * len(dilations) if isinstance(kernel_size, int) else kernel_size
    return 1 + sum((k - 1) * d for k, d in zip(kernels, dilations, strict=True))


@dataclass(frozen=True)
class LayerReach:
    """One layer: `reach` is how many input samples its output hears, through it and all layers below."""

    dilation: int
    kernel_size: int
    reach: int


@dataclass(frozen=True)
class Report:
    """What `wavenet receptive-field` prints. Multiply-adds are of one generated sample; state is the least a stream needs, in float32."""

    receptive_field: int
    receptive_field_ms: float
    parameters: int
    macs_per_sample: int
    state_bytes: int
    layers: tuple[LayerReach, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def report(model: ModelConfig, sample_rate: int) -> Report:
    dilations, k = model.schedule, model.kernel_size
    layers = tuple(LayerReach(d, k, receptive_field(dilations[: i + 1], k)) for i, d in enumerate(dilations))
    field = layers[-1].reach
    r, g, s, h = model.residual_channels, model.gate_channels // 2, model.skip_channels, model.head_channels
    n, output = len(dilations), distributions.of(model)
    macs = n * (k * r * 2 * g + g * s) + (n - 1) * g * r + s * h + h * output.n_params
    biases = n * (2 * g + s) + (n - 1) * r + h + output.n_params
    table = output.n_inputs * r
    condensing = (2 * model.mel_context + 1) * model.mel_bands * model.mel_channels if model.mel_bands else 0
    projecting = n * 2 * g * model.condition_channels
    conditioning = condensing + projecting + (model.mel_channels if model.mel_bands else 0) + len(model.labels) * model.label_channels
    per_frame = condensing + projecting if model.mel_bands else 0  # a label is projected once
    return Report(
        receptive_field=field,
        receptive_field_ms=1000 * field / sample_rate,
        parameters=table + macs + biases + conditioning,
        # a look-up has parameters, but no multiply-adds
        macs_per_sample=macs + (table if output.scalar_input else 0) + per_frame // model.mel_hop,
        state_bytes=4 * r * sum((k - 1) * d for d in dilations),
        layers=layers,
    )
