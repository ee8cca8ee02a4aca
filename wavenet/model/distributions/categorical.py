"""One of 16 to 1024 mu-law levels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavenet.audio import quantization
from wavenet.glossary import Array, Params, Samples, Wav
from wavenet.model import machine_code
from wavenet.model.distributions.base import Sampling

if TYPE_CHECKING:
    from torch import Tensor

# Mu-law levels whose frequencies are counted where a distribution has too many codes to count.
BASELINE_LEVELS = 256


@dataclass(frozen=True)
class Categorical:
    """One of `levels` mu-law codes (van den Oord et al. 2016, section 2.2).

    params are one logit per code. A draw takes one uniform number.
    """

    levels: int
    """Number of codes, a power of two in every model: 256 are 8 bits."""

    kind: ClassVar[str] = "categorical"
    n_noise: ClassVar[int] = 1
    scalar_input: ClassVar[bool] = False
    input_std: ClassVar[float] = 1.0

    @property
    def n_params(self) -> int:
        """Logits predicted per sample: `levels`."""
        return self.levels

    @property
    def n_inputs(self) -> int:
        """Rows of the input table: `levels`."""
        return self.levels

    @property
    def silence(self) -> int:
        """The code of a zero sample: `levels // 2`."""
        return int(self.encode(np.zeros(1))[0])

    @property
    def baseline_codes(self) -> "Categorical":
        """The codes whose frequencies `wavenet.data.baselines` counts: these."""
        return self

    def encode(self, wav: Array) -> Samples:
        """Audio in -1 ... 1, of any shape, to the nearest mu-law codes, int64 in 0 ... levels - 1.

        What lies outside -1 ... 1 is clipped.
        """
        return quantization.encode(wav, self.levels)

    def decode(self, x: Array) -> Wav:
        """Codes of any shape to audio, float32 in exactly -1 ... 1; `encode(decode(x)) == x`."""
        return quantization.decode(x, self.levels)

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        """Each code's row of the table: codes (...), table (levels, R) -> (..., R)."""
        from torch.nn.functional import embedding

        return embedding(x, table)

    def embed_array(self, x: Array, table: Array) -> Array:
        """As `embed`, in NumPy."""
        return np.take(table, x, axis=0)

    def initial_bias(self) -> Array:
        """Initial bias of the output layer, (levels,): zeros, so that all codes are as likely."""
        return np.zeros(self.levels, np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        """Softmax cross-entropy in float32, in nats, (): the mean over all samples.

        With `weights` (batch, time) it is their weighted sum instead. params (batch, time, levels)
        and the codes that they predict, x (batch, time). Bits are nats / log(2).
        """
        # In memory the rows lie time before batch, so flattening in this order copies nothing.
        logits = params.transpose(0, 1).flatten(0, 1).float()  # (time * batch, levels)
        nats = _cross_entropy(logits, x.t().flatten())
        return nats.mean() if weights is None else (nats * weights.t().flatten()).sum()

    def nats(self, params: Params, x: Samples) -> Array:
        """Negative log-likelihood of each code in nats, computed in float64.

        params (time, levels), x (time,) -> (time,).
        """
        logits = params.astype(np.float64)
        largest = logits.max(axis=1)
        log_sum = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
        nats: Array = log_sum - logits[np.arange(len(x)), x]
        return nats

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """Sample codes: params (..., levels), noise (..., 1) -> (...).

        Of the top_k likeliest codes the fewest that together hold top_p are kept, and walked in
        their natural order until their summed probability passes `noise`. Ties go to the lower
        code. Noise may come without its last axis.
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
        uniform = np.asarray(noise, np.float64).reshape(*params.shape[:-1], 1)
        drawn: Samples = np.argmax(cumulative > uniform * cumulative[..., -1:], axis=-1)
        return drawn

    def check(self, sampling: Sampling) -> None:
        """Every option is supported."""

    def edges(self) -> Array:
        """Where one code ends and the next begins: levels - 1 values of audio, ascending."""
        return quantization.edges(self.levels)

    def bits_to_16bit(self, x: Array) -> Array:
        """log2 of the number of 16-bit samples that share each code of x, in the shape of x.

        Added to bits per sample, it gives bits per 16-bit sample, in which all kinds compare.
        """
        return np.take(quantization.bits_to_16bit(self.levels), x)


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
