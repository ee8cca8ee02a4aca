"""What the network predicts about the next sample, as a protocol that every kind of output fulfils.

    Categorical                        one of 16 to 1024 mu-law levels
    LogisticMixture, GaussianMixture   one of 65,536 16-bit samples, in few parameters

Only the distributions know how audio becomes codes, and how predictions become audio. Everything
else asks `distribution_for` for a model's distribution and never which kind it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from wavenet.errors import UsageError
from wavenet.glossary import Array, Noise, Params, Samples, Wav
from wavenet.model.arguments import (
    code_array,
    number_array,
    require_floats,
    require_integer,
    require_number,
    require_shape,
    require_tensor,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How to sample from a prediction. Raises UsageError, a ValueError, for values out of range.

    >>> wavenet.Sampling(temperature=0.95, top_p=0.9)
    Sampling(temperature=0.95, top_k=0, top_p=0.9)
    """

    temperature: float = 1.0
    """0 to 100: below 1 likely codes become likelier, and 0 always takes the likeliest."""

    top_k: int = 0
    """Draw from this many of the likeliest codes; 0 keeps all."""

    top_p: float = 1.0
    """Draw from the fewest codes that together have this probability; 1 keeps all."""

    def __post_init__(self) -> None:
        require_number("temperature", self.temperature)
        require_number("top_p", self.top_p)
        rule = "must be 0 (off) or a number of codes to keep"
        require_integer("top_k", self.top_k, 0, 2**63 - 1, rule)
        if not 0 <= self.temperature <= 100:
            must = "must be 0 (always the likeliest) to 100"
            advice = "1 samples the model as it is"
            raise UsageError("temperature", self.temperature, must, advice)
        if not 0 < self.top_p <= 1:
            raise UsageError("top_p", self.top_p, "must be above 0 and at most 1 (off)")


class Distribution(Protocol):
    """What every kind of output does; each is a subclass.

    Codes x are integers 0 ... levels - 1; params are the n_params numbers predicted for each.
    Arrays are NumPy's and tensors torch's. UsageError, a ValueError, names what does not fit: a
    shape, a kind of number, or codes out of range (of tensors on a CPU only).
    """

    kind: ClassVar[str]
    """The name by which an engine chooses its own sampling code."""

    n_noise: ClassVar[int]
    """Uniform random numbers that one draw takes."""

    scalar_input: ClassVar[bool]
    """Whether a sample enters as its value times the only row of the input table; otherwise every
    code has a row of its own.
    """

    input_std: ClassVar[float]
    """Initial standard deviation of the input table, which embeds audio at about unit size."""

    @property
    def levels(self) -> int:
        """Number of codes."""

    @property
    def n_params(self) -> int:
        """Numbers predicted per sample."""

    @property
    def n_inputs(self) -> int:
        """Rows of the input table."""

    @property
    def silence(self) -> int:
        """The code of a zero sample."""

    @property
    def baseline_codes(self) -> "Distribution":
        """The codes whose frequencies `wavenet.data.baselines` counts."""

    def encode(self, wav: Array) -> Samples:
        """Audio in -1 ... 1, of any shape, to the nearest codes, int64.

        What lies outside is clipped. Raises UsageError for NaN.
        """

    def decode(self, x: Array) -> Wav:
        """Codes of any shape to audio, float32 in -1 ... 1; `encode(decode(x)) == x`."""

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        """The network's input: codes (...), table (n_inputs, R) -> (..., R)."""

    def embed_array(self, x: Array, table: Array) -> Array:
        """As `embed`, in NumPy."""

    def initial_bias(self) -> Array:
        """Initial bias of the output layer (n_params,)."""

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        """Negative log-likelihood in nats, (), to be differentiated: the mean over all samples.

        With `weights` (batch, time) it is their weighted sum instead. params (batch, time,
        n_params) and the codes that they predict, x (batch, time). Bits are nats / log(2).
        """

    def nats(self, params: Params, x: Samples) -> Array:
        """Negative log-likelihood of each code in nats, computed in float64.

        params (time, n_params), x (time,) -> (time,).
        """

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """Sample codes. Every engine's own sampling code is tested against this one.

        params (..., n_params), noise (..., n_noise) -> codes (...). The last axis of the noise may
        be missing where a draw takes one number.
        """

    def concentrated(self, noise: Noise, factors: Array) -> Noise:
        """Noise of draws so many times as far from the middle of their component: a temperature.

        noise (..., n_noise), factors (...) -> (..., n_noise), still above 0 and below 1. Without
        components it is the noise as it was.
        """

    def check(self, sampling: Sampling) -> None:
        """Raise UsageError when this kind does not support the options."""

    def edges(self) -> Array:
        """Where one code ends and the next begins: levels - 1 values of audio, ascending."""

    def bits_to_16bit(self, x: Array) -> Array:
        """log2 of the number of 16-bit samples that share each code, in the shape of x.

        Added to bits per sample, it gives bits per 16-bit sample, in which all kinds compare.
        """


def require_alike(params: "Tensor", x: "Tensor", weights: "Tensor | None", n_params: int) -> None:
    """Raise UsageError unless params and weights are those of the codes x, for a loss."""
    require_floats("params", params, "batch", "time", n_params)
    batch, time = params.shape[:2]
    require_tensor("x", x, batch, time)
    if weights is not None:
        require_tensor("weights", weights, batch, time)


def params_and_noise(
    params: Array, noise: Array, n_params: int, n_noise: int
) -> tuple[Array, Array]:
    """What `draw` is given, the noise with its last axis and in float64. Raises UsageError."""
    params, noise = number_array("params", params), number_array("noise", noise)
    if params.shape[-1:] != (n_params,):
        raise UsageError("params", params.shape, f"must be of shape (..., {n_params})")
    if n_noise == 1 and noise.shape == params.shape[:-1]:
        noise = noise[..., None]
    require_shape("noise", noise, *params.shape[:-1], n_noise)
    return params, noise.astype(np.float64)


def params_and_codes(params: Array, x: Array, n_params: int, levels: int) -> tuple[Array, Array]:
    """What `nats` is given. Raises UsageError."""
    params, x = number_array("params", params), code_array(x, levels)
    require_shape("params", params, "time", n_params)
    require_shape("x", x, len(params))
    return params, x


def noise_columns(noise: Noise, n_noise: int) -> Noise:
    """Noise as an array (batch, time, n_noise). Raises UsageError for another shape or kind.

    The last axis may be missing where each sample takes one number.
    """
    noise = number_array("noise", noise)
    wide = noise[..., None] if noise.ndim == 2 and n_noise == 1 else noise
    if wide.ndim != 3 or wide.shape[2] != n_noise:
        raise UsageError("noise", noise.shape, f"must be of shape (batch, time, {n_noise})")
    return wide
