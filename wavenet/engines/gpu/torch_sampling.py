"""How samples are drawn in PyTorch: params (batch, n_params), noise (batch, n_noise) -> codes.

What each kind of output computes, its `Distribution.draw` specifies.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from wavenet.audio.quantization import FULL_SCALE
from wavenet.model.distributions import mixture_mass
from wavenet.model.distributions.base import Distribution, Sampling

Draw = Callable[[Tensor, Tensor, Sampling], Tensor]


def draw_for(distribution: Distribution) -> Draw:
    """The draw of a distribution, which is of one of `KINDS`."""
    return _DRAWS[distribution.kind]


def _categorical(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    if sampling.temperature == 0:
        return params.argmax(1)
    logits = params / sampling.temperature
    p = (logits - logits.amax(1, keepdim=True)).exp()
    if sampling.top_p < 1 or 0 < sampling.top_k < p.shape[1]:
        ranked, order = p.sort(dim=1, descending=True, stable=True)
        if sampling.top_k > 0:
            ranked[:, sampling.top_k :] = 0
        before = ranked.cumsum(1) - ranked
        ranked = ranked.masked_fill(before >= sampling.top_p * ranked.sum(1, keepdim=True), 0)
        p = torch.zeros_like(p).scatter(1, order, ranked)
    return _first_above(p, noise)


def _first_above(p: Tensor, noise: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds the noise's first column times the sum."""
    cumulative = p.cumsum(1)
    return (cumulative > noise[:, :1] * cumulative[:, -1:]).int().argmax(1)


def _logistic(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    u = noise[:, 1]
    return _mixture(params, noise, sampling, torch.log(u / (1 - u)))


def _gaussian(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    # Box and Muller's transform of two uniforms.
    radius = (-2 * noise[:, 1].log()).sqrt()
    return _mixture(params, noise, sampling, radius * (2 * math.pi * noise[:, 2]).cos())


def _mixture(params: Tensor, noise: Tensor, sampling: Sampling, standard: Tensor) -> Tensor:
    logits, means, log_scales = params.chunk(3, 1)
    scales = mixture_mass.scales(log_scales)
    if sampling.temperature == 0:
        chosen = (logits - scales.log()).argmax(1, keepdim=True)
    else:
        p = ((logits - logits.amax(1, keepdim=True)) / sampling.temperature).exp()
        chosen = _first_above(p, noise)[:, None]
    mean = means.gather(1, chosen)[:, 0] * mixture_mass.MEAN_UNIT
    scale = scales.gather(1, chosen)[:, 0]
    wav = mean + scale * sampling.temperature * standard
    return (wav * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).long() + FULL_SCALE


_DRAWS = {"categorical": _categorical, "logistic": _logistic, "gaussian": _gaussian}
