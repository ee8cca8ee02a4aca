"""Bits per sample, each sample predicted from its exact context."""

import math
from collections.abc import Iterable

import torch

from wavenet.model import WaveNet
from wavenet.prefetch import Prepared


@torch.no_grad()
def bits_per_sample(model: WaveNet, batches: Iterable[Prepared]) -> float | None:
    """Mean negative log2-likelihood over all samples that count; None when there are none.

    The unit is bits per sample: log2(levels) means nothing is known, 0 that everything is.
    """
    nats, samples = 0.0, 0.0
    for x, counts, given in batches:
        nats += float(model.distribution.loss(model(x[:, :-1], given), x[:, model.receptive_field :], counts))
        samples += float(counts.sum())
    return nats / samples / math.log(2) if samples else None
