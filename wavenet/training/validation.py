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
    total: Callable[..., tuple[float, ...]] = lambda *values: values,
) -> float | None:
    """Mean negative log2-likelihood over all samples that count; None when there are none.

    The unit is bits per sample: log2(levels) means nothing is known, 0 that everything is. `total` adds up what several processes
    found, each in batches of its own.
    """
    nats, samples = 0.0, 0.0
    for x, counts, given, _ in batches:
        nats += float(
            model.distribution.loss(model(x[:, :-1], given), x[:, model.receptive_field :], counts)
        )
        samples += float(counts.sum())
    nats, samples = total(nats, samples)
    return nats / samples / math.log(2) if samples else None
