"""What the stack can hear, and what it costs: pure arithmetic on the config, no tensors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from math import prod
from typing import Any

from wavenet.config import ModelConfig
from wavenet.model import parameters
from wavenet.model.distributions.registry import distribution_for


def receptive_field(dilations: Sequence[int], kernel_size: int | Sequence[int] = 2) -> int:
    """Samples that one output hears: 1 + the sum over layers of (kernel - 1) * dilation."""
    kernels = [kernel_size] * len(dilations) if isinstance(kernel_size, int) else kernel_size
    return 1 + sum((k - 1) * d for k, d in zip(kernels, dilations, strict=True))


@dataclass(frozen=True)
class LayerCost:
    """One layer: `reach` is how many input samples its output hears, through it and all layers below."""

    dilation: int
    kernel_size: int
    reach: int


@dataclass(frozen=True)
class ModelCost:
    """What `wavenet receptive-field` prints. Multiply-adds are of one generated sample; state is the least a stream needs, in float32.

    `macs_per_sample` counts the layers as their pattern defines them, `computed_macs_per_sample` as they are computed here: folded.
    """

    receptive_field: int
    receptive_field_ms: float
    parameters: int
    macs_per_sample: int
    computed_macs_per_sample: int
    state_bytes: int
    layers: tuple[LayerCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """What is computed is told where it differs from what the pattern defines."""
        found = asdict(self)
        if self.computed_macs_per_sample == self.macs_per_sample:
            del found["computed_macs_per_sample"]
        return found


def model_cost(model: ModelConfig, sample_rate: int) -> ModelCost:
    reaches = accumulate((heard[-1] for heard in model.offsets), initial=1)
    layers = tuple(
        LayerCost(*layer)
        for layer in zip(model.schedule, model.kernel_sizes, islice(reaches, 1, None), strict=True)
    )
    field = model.receptive_field
    r, g, s, h = (
        model.residual_channels,
        model.gate_channels // 2,
        model.skip_channels,
        model.head_channels,
    )
    n, output, context = len(layers), distribution_for(model), parameters.pyramid(model).values()
    own, computed = parameters.multiply_adds(model)
    macs = own + n * g * s + (n - 1) * g * r + sum(map(prod, context)) + s * h + h * output.n_params
    biases = (
        n * (2 * g + s) + (n - 1) * r + sum(shape[0] for shape in context) + h + output.n_params
    )
    table = output.n_inputs * r
    condensing = (
        (2 * model.mel_context + 1) * model.mel_bands * model.mel_channels if model.mel_bands else 0
    )
    projecting = n * 2 * g * model.condition_channels
    conditioning = (
        condensing
        + projecting
        + (model.mel_channels if model.mel_bands else 0)
        + len(model.labels) * model.label_channels
    )
    per_frame = condensing + projecting if model.mel_bands else 0  # a label is projected once
    # a look-up has parameters, but no multiply-adds
    macs_per_sample = macs + (table if output.scalar_input else 0) + per_frame // model.mel_hop
    return ModelCost(
        receptive_field=field,
        receptive_field_ms=1000 * field / sample_rate,
        parameters=table + macs + biases + conditioning,
        macs_per_sample=macs_per_sample,
        computed_macs_per_sample=macs_per_sample + computed - own,
        state_bytes=4 * (r * (layers[-1].reach - 1) + s * model.context_lag),
        layers=layers,
    )
