"""The receptive field of a stack and what a network costs: arithmetic on the config, no tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import prod
from numbers import Integral
from typing import Any

from wavenet.config import ModelConfig
from wavenet.errors import UsageError
from wavenet.model import parameters
from wavenet.model.arguments import integer_list
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.distributions.registry import distribution_for

FLOAT_BYTES = 4


def receptive_field(dilations: Sequence[int], kernel_size: int | Sequence[int] = 2) -> int:
    """Samples that one output covers: 1 + the sum over layers of (kernel - 1) * dilation.

    `kernel_size` is one number of taps, or a list with one for each dilation. Raises UsageError, a
    ValueError, when the lists differ in length, or hold other than integers from 1. Of a whole
    config, `ModelConfig.receptive_field` knows every kind of layer.

    >>> wavenet.receptive_field([1, 2, 4, 8])
    16
    >>> wavenet.receptive_field([1, 2, 4, 8], kernel_size=[3, 3, 2, 2])
    19
    """
    dilations = integer_list("dilations", dilations, 1)
    each = [kernel_size] * len(dilations) if isinstance(kernel_size, Integral) else kernel_size
    kernels = integer_list("kernel_size", each, 1)
    if len(kernels) != len(dilations):
        reason = f"lists {len(kernels)} kernels for {len(dilations)} dilations"
        raise UsageError("kernel_size", None, reason)
    return 1 + sum((k - 1) * d for k, d in zip(kernels, dilations, strict=True))


@dataclass(frozen=True)
class LayerCost:
    """One layer, and the receptive field in samples of its output through all layers below."""

    dilation: int
    kernel_size: int
    receptive_field: int


@dataclass(frozen=True)
class ModelCost:
    """What `wavenet receptive-field` prints.

    Multiply-adds (macs) are those of one generated sample: `macs_per_sample` counts the layers as
    their kind defines them, `computed_macs_per_sample` as they are computed here, as dense ones.
    `state_bytes` is the least that a stream needs, in float32.
    """

    receptive_field: int
    receptive_field_ms: float
    parameters: int
    macs_per_sample: int
    computed_macs_per_sample: int
    state_bytes: int
    layers: tuple[LayerCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the computed multiply-adds only where they differ from the defined ones."""
        fields = asdict(self)
        if self.computed_macs_per_sample == self.macs_per_sample:
            del fields["computed_macs_per_sample"]
        for layer in fields["layers"]:
            layer["reach"] = layer.pop("receptive_field")
        return fields


def model_cost(model: ModelConfig, sample_rate: int) -> ModelCost:
    """Receptive field, parameters, multiply-adds and state of a network; `sample_rate` in Hz."""
    lags = list(accumulate(offsets[-1] for offsets in model.offsets))
    rows = zip(model.schedule, model.kernel_sizes, lags, strict=True)
    kept = model.residual_channels * lags[-1] + model.skip_channels * model.context_lag
    macs = _macs_per_sample(model)
    defined, computed = parameters.multiply_adds(model)
    return ModelCost(
        receptive_field=model.receptive_field,
        receptive_field_ms=1000 * model.receptive_field / sample_rate,
        parameters=sum(map(prod, parameters.expected_shapes(model).values())),
        macs_per_sample=macs,
        computed_macs_per_sample=macs + computed - defined,
        state_bytes=FLOAT_BYTES * kept,
        layers=tuple(LayerCost(dilation, size, 1 + lag) for dilation, size, lag in rows),
    )


def _macs_per_sample(model: ModelConfig) -> int:
    """Multiply-adds of one sample, with every dilated convolution as its kind defines it."""
    shapes = parameters.stack(model) | parameters.context(model) | parameters.head(model)
    # A scalar input is multiplied by its row; a code looks its row up.
    if distribution_for(model).scalar_input:
        shapes |= parameters.embedding(model)
    if not model.follows_frames:
        return _products(shapes)
    # What holds for a whole recording is projected only once.
    per_frame = parameters.conditioning(model)
    for front_end in front_ends(model):
        if not front_end.per_frame:
            per_frame = {k: s for k, s in per_frame.items() if k not in front_end.shapes()}
    return _products(shapes) + _products(per_frame) // model.frame_spacing


def _products(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """One multiply-add for each number of a weight; a bias (outputs,) is only added."""
    return sum(prod(shape) for shape in shapes.values() if len(shape) > 1)
