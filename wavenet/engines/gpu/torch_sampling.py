"""How samples are drawn in PyTorch: params (batch, n_params), noise (batch, n_noise) -> codes.

Every stream has its own sampling, in tensors.

What each kind of output computes, its `Distribution.draw` specifies.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wavenet.audio.quantization import FULL_SCALE
from wavenet.model.distributions import mixture_mass
from wavenet.model.distributions.base import Distribution, Sampling


class Samplings(NamedTuple):
    """A `Sampling` for each stream. `top_k` is never 0 for all, but as large as n_params.

    Codes are ranked only where one of them is `limited` to the likeliest.
    """

    temperature: Tensor  # (batch, 1)
    top_k: Tensor  # (batch, 1) int64
    top_p: Tensor  # (batch, 1)
    limited: bool

    @classmethod
    def of(
        cls,
        samplings: Sequence[Sampling],
        distribution: Distribution,
        dtype: torch.dtype,
        device: torch.device,
    ) -> "Samplings":
        n = distribution.n_params

        def column(values: list[float], kind: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=kind, device=device)[:, None]

        return cls(
            column([s.temperature for s in samplings], dtype),
            column([min(s.top_k or n, n) for s in samplings], torch.int64),
            column([s.top_p for s in samplings], dtype),
            any(map(is_limited, samplings)),
        )

    @property
    def divisor(self) -> Tensor:
        """The temperature, or 1 where the likeliest is taken without a draw."""
        return torch.where(self.temperature > 0, self.temperature, 1)


def is_limited(sampling: Sampling) -> bool:
    """Whether draws are from the likeliest codes only."""
    return sampling.top_k > 0 or sampling.top_p < 1


Draw = Callable[[Tensor, Tensor, Samplings], Tensor]


def draw_for(distribution: Distribution) -> Draw:
    """The draw of a distribution, which is of one of `KINDS`."""
    return _DRAWS[distribution.kind]


def _categorical(params: Tensor, noise: Tensor, s: Samplings) -> Tensor:
    logits = params / s.divisor
    p = (logits - logits.amax(1, keepdim=True)).exp()
    if s.limited:
        p = _likeliest(p, s)
    return torch.where(s.temperature[:, 0] > 0, _first_above(p, noise), params.argmax(1))


def _likeliest(p: Tensor, s: Samplings) -> Tensor:
    """Each row of p with what its top-k and then its top-p leave of it."""
    ranked, order = p.sort(dim=1, descending=True, stable=True)
    rank = torch.arange(p.shape[1], device=p.device)
    ranked = ranked.masked_fill(rank >= s.top_k, 0)
    before = ranked.cumsum(1) - ranked
    ranked = ranked.masked_fill(before >= s.top_p * ranked.sum(1, keepdim=True), 0)
    kept = torch.zeros_like(p).scatter(1, order, ranked)
    # All of it keeps the last digits that sums of it lose.
    return torch.where((s.top_k < p.shape[1]) | (s.top_p < 1), kept, p)


def _first_above(p: Tensor, noise: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds the noise's first column times the sum."""
    cumulative = p.cumsum(1)
    return (cumulative > noise[:, :1] * cumulative[:, -1:]).int().argmax(1)


def _logistic(params: Tensor, noise: Tensor, s: Samplings) -> Tensor:
    u = noise[:, 1]
    return _mixture(params, noise, s, torch.log(u / (1 - u)))


def _gaussian(params: Tensor, noise: Tensor, s: Samplings) -> Tensor:
    # Box and Muller's transform of two uniforms.
    radius = (-2 * noise[:, 1].log()).sqrt()
    return _mixture(params, noise, s, radius * (2 * math.pi * noise[:, 2]).cos())


def _mixture(params: Tensor, noise: Tensor, s: Samplings, standard: Tensor) -> Tensor:
    logits, means, log_scales = params.chunk(3, 1)
    scales = mixture_mass.scales(log_scales)
    p = ((logits - logits.amax(1, keepdim=True)) / s.divisor).exp()
    highest = (logits - scales.log()).argmax(1, keepdim=True)
    chosen = torch.where(s.temperature > 0, _first_above(p, noise)[:, None], highest)
    mean = means.gather(1, chosen)[:, 0] * mixture_mass.MEAN_UNIT
    scale = scales.gather(1, chosen)[:, 0]
    wav = mean + scale * s.temperature[:, 0] * standard
    return (wav * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).long() + FULL_SCALE


_DRAWS = {"categorical": _categorical, "logistic": _logistic, "gaussian": _gaussian}
