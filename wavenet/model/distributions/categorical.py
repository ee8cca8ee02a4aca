"""One of 16 to 1024 mu-law levels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavenet.audio import quantization
from wavenet.glossary import Array, Noise, Params, Samples, Wav
from wavenet.model import machine_code
from wavenet.model.arguments import (
    audio_array,
    code_array,
    codes_tensor,
    require_integer,
    require_type,
)
from wavenet.model.distributions.base import (
    Distribution,
    Sampling,
    params_and_codes,
    params_and_noise,
    require_alike,
)

if TYPE_CHECKING:
    from torch import Tensor

# Mu-law levels whose frequencies are counted where a distribution has too many codes to count.
BASELINE_LEVELS = 256


@dataclass(frozen=True)
class Categorical(Distribution):
    """One of `levels` mu-law codes (van den Oord et al. 2016, section 2.2).

    params are one logit per code. A draw takes one uniform number.

    >>> distribution = wavenet.Categorical(256)
    >>> x = distribution.encode(np.array([-1, 0, 0.5]))
    >>> x.tolist()
    [0, 128, 239]
    >>> wav = distribution.decode(x)  # float32, near -1, 0 and 0.5
    >>> distribution.encode(wav).tolist()
    [0, 128, 239]
    """

    # Were there no default, the property of the base class would be taken for one.
    levels: int = 256
    """Number of codes, 2 or more, and a power of two in every model: 256 are 8 bits."""

    kind: ClassVar[str] = "categorical"
    n_noise: ClassVar[int] = 1
    scalar_input: ClassVar[bool] = False
    input_std: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        require_integer("levels", self.levels, 2, 2**16, "must be 2 to 2^16")

    @property
    def n_params(self) -> int:
        return self.levels

    @property
    def n_inputs(self) -> int:
        return self.levels

    @property
    def silence(self) -> int:
        return int(self.encode(np.zeros(1))[0])

    @property
    def baseline_codes(self) -> "Categorical":
        return self

    def encode(self, wav: Array) -> Samples:
        return quantization.encode(audio_array(wav), self.levels)

    def decode(self, x: Array) -> Wav:
        return quantization.decode(code_array(x, self.levels), self.levels)

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        from torch.nn.functional import embedding

        return embedding(codes_tensor(x, self.levels), table)

    def embed_array(self, x: Array, table: Array) -> Array:
        return np.take(table, code_array(x, self.levels), axis=0)

    def initial_bias(self) -> Array:
        return np.zeros(self.levels, np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        x = codes_tensor(x, self.levels)
        require_alike(params, x, weights, self.n_params)
        # In memory the rows lie time before batch, so flattening in this order copies nothing.
        logits = params.transpose(0, 1).flatten(0, 1).float()  # (time * batch, levels)
        nats = _cross_entropy(logits, x.t().flatten())
        return nats.mean() if weights is None else (nats * weights.t().flatten()).sum()

    def nats(self, params: Params, x: Samples) -> Array:
        params, x = params_and_codes(params, x, self.n_params, self.levels)
        logits = params.astype(np.float64)
        largest = logits.max(axis=1)
        log_sum = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
        nats: Array = log_sum - logits[np.arange(len(x)), x]
        return nats

    def concentrated(self, noise: Noise, factors: Array) -> Noise:
        """The noise as it was: levels have no components."""
        return noise

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """Sample codes: params (..., levels), noise (..., 1) -> (...).

        Of the top_k likeliest codes the fewest that together hold top_p are kept, and walked in
        their natural order until their summed probability passes `noise`. Ties go to the lower
        code. Noise may come without its last axis.
        """
        require_type("sampling", sampling, Sampling)
        params, uniform = params_and_noise(params, noise, self.n_params, self.n_noise)
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
        drawn: Samples = np.argmax(cumulative > uniform * cumulative[..., -1:], axis=-1)
        return drawn

    def check(self, sampling: Sampling) -> None:
        """Raise nothing: every option is supported."""

    def edges(self) -> Array:
        return quantization.edges(self.levels)

    def bits_to_16bit(self, x: Array) -> Array:
        return np.take(quantization.bits_to_16bit(self.levels), code_array(x, self.levels))


def _cross_entropy(logits: "Tensor", codes: "Tensor") -> "Tensor":
    """-log softmax(logits)[code] of each row, in nats: logits (N, levels), codes (N,) -> (N,)."""
    from torch import Tensor
    from torch.nn import functional

    # Tensors of other types, such as those that are only traced, have no numbers in memory.
    if logits.device.type == "cpu" and type(logits) is Tensor and machine_code.available():
        from wavenet.model.distributions import cross_entropy

        if logits.shape[1] % cross_entropy.MULTIPLE == 0:
            return cross_entropy.cross_entropy(logits, codes)
    return functional.cross_entropy(logits, codes, reduction="none")
