"""What the network predicts about the next sample. This class alone knows how audio becomes codes and logits become audio."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wavenet import codec
from wavenet.errors import EngineError
from wavenet.shapes import Array, Samples, Wav

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How to draw from a prediction. `top_k = 0` and `top_p = 1` leave it whole; `temperature = 0` takes the likeliest code."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise EngineError(f"temperature {self.temperature}: must be 0 (always the likeliest) to 100; 1 samples the model as it is")
        if self.top_k < 0:
            raise EngineError(f"top-k {self.top_k}: must be 0 (off) or a number of codes to keep")
        if not 0 < self.top_p <= 1:
            raise EngineError(f"top-p {self.top_p}: must be above 0 and at most 1 (off)")


@dataclass(frozen=True)
class Categorical:
    """One of `levels` mu-law codes (van den Oord et al. 2016, section 2.2)."""

    levels: int

    @property
    def n_params(self) -> int:
        """Numbers predicted per sample: one logit a code."""
        return self.levels

    @property
    def silence(self) -> int:
        """The code of a zero sample."""
        return int(self.encode(np.zeros(1))[0])

    def encode(self, wav: Array) -> Samples:
        return codec.encode(wav, self.levels)

    def decode(self, x: Array) -> Wav:
        return codec.decode(x, self.levels)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        """Negative log-likelihood in nats, summed with `weights` (batch, time), or its mean over all samples; softmax in float32.

        params (batch, time, levels), x (batch, time).
        """
        from torch.nn.functional import cross_entropy

        # time before batch: so the network's rows lie in memory, and flattening them copies nothing
        nats = cross_entropy(params.transpose(0, 1).flatten(0, 1).float(), x.t().flatten(), reduction="none")
        return nats.mean() if weights is None else (nats * weights.t().flatten()).sum()

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """The oracle every engine's own draw is tested against: params (..., levels), noise (...) -> codes (...).

        Keep the top_k likeliest codes, of those the fewest that together hold top_p, then walk the codes in their natural
        order until their summed probability passes `noise`. Ties go to the lower code.
        """
        if sampling.temperature == 0:
            likeliest: Samples = np.argmax(params, axis=-1)
            return likeliest
        logits = np.asarray(params, np.float64) / sampling.temperature
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        order = np.argsort(-p, axis=-1, kind="stable")
        ranked = np.take_along_axis(p, order, -1)
        if 0 < sampling.top_k < self.levels:
            ranked[..., sampling.top_k :] = 0
        before = np.cumsum(ranked, axis=-1) - ranked
        ranked[before >= sampling.top_p * ranked.sum(axis=-1, keepdims=True)] = 0
        kept = np.zeros_like(p)
        np.put_along_axis(kept, order, ranked, -1)
        cumulative = np.cumsum(kept, axis=-1)
        threshold = np.asarray(noise, np.float64)[..., None] * cumulative[..., -1:]
        drawn: Samples = np.argmax(cumulative > threshold, axis=-1)
        return drawn
