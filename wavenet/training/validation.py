"""Bits per sample, each sample predicted from its exact context."""

import math
from collections.abc import Callable, Iterable

import torch

from wavenet.data.loader import DeviceBatch
from wavenet.model.network import WaveNet


@torch.no_grad()
def bits_per_sample(
    model: WaveNet,
    batches: Iterable[DeviceBatch],
    all_reduce_sum: Callable[..., tuple[float, ...]] = lambda *values: values,
) -> float | None:
    """Mean negative log2-likelihood over all samples in the loss masks; None when there are none.

    The unit is bits per sample: log2(levels) means that nothing is known, 0 that everything is.
    `all_reduce_sum` adds up the sums of several ranks, each of which has batches of its own.
    """
    nats, samples = 0.0, 0.0
    for batch in batches:
        params = model(batch.x[:, :-1], batch.conditioning_input)
        predicted = batch.x[:, model.receptive_field :]
        nats += float(model.distribution.loss(params, predicted, batch.loss_mask))
        samples += float(batch.loss_mask.sum())
    nats, samples = all_reduce_sum(nats, samples)
    return nats / samples / math.log(2) if samples else None
