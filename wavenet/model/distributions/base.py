"""What the network predicts about the next sample, as a protocol that every kind of output fulfils.

    Categorical                        one of 16 to 1024 mu-law levels
    LogisticMixture, GaussianMixture   one of 65,536 16-bit samples, in few parameters

Only the distributions know how audio becomes codes, and how predictions become audio. Everything
else asks `distribution_for` for a model's distribution and never which kind it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from wavenet.errors import UsageError
from wavenet.glossary import Array, Noise, Params, Samples, Wav

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How to sample from a prediction. Raises UsageError for values out of range."""

    temperature: float = 1.0
    """0 to 100: below 1 likely codes become likelier, and 0 always takes the likeliest."""

    top_k: int = 0
    """Draw from this many of the likeliest codes; 0 keeps all."""

    top_p: float = 1.0
    """Draw from the fewest codes that together have this probability; 1 keeps all."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            must = "must be 0 (always the likeliest) to 100"
            advice = "1 samples the model as it is"
            raise UsageError("temperature", self.temperature, must, advice)
        if self.top_k < 0:
            raise UsageError("top_k", self.top_k, "must be 0 (off) or a number of codes to keep")
        if not 0 < self.top_p <= 1:
            raise UsageError("top_p", self.top_p, "must be above 0 and at most 1 (off)")


class Distribution(Protocol):
    """What every kind of output does.

    Codes x are integers 0 ... levels - 1; params are the n_params numbers predicted for each.
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
        """Audio in -1 ... 1, of any shape, to the nearest codes; what lies outside is clipped."""

    def decode(self, x: Array) -> Wav:
        """Codes of any shape to audio, float32 in -1 ... 1."""

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        """The network's input: codes (...), table (n_inputs, R) -> (..., R)."""

    def embed_array(self, x: Array, table: Array) -> Array:
        """The same in NumPy."""

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

        params (..., n_params), noise (..., n_noise) -> codes (...).
        """

    def check(self, sampling: Sampling) -> None:
        """Raise UsageError when this kind does not support the options."""

    def edges(self) -> Array:
        """Where one code ends and the next begins: levels - 1 values of audio, ascending."""

    def bits_to_16bit(self, x: Array) -> Array:
        """log2 of the number of 16-bit samples that share each code.

        Added to bits per sample, it makes the figures of all kinds comparable.
        """


def noise_columns(noise: Noise, n_noise: int) -> Noise:
    """Noise as (batch, time, n_noise). Raises UsageError for another shape.

    The last axis may be missing where each sample takes one number.
    """
    wide = noise[..., None] if noise.ndim == 2 and n_noise == 1 else noise
    if wide.ndim != 3 or wide.shape[2] != n_noise:
        raise UsageError("noise", noise.shape, f"must be of shape (batch, time, {n_noise})")
    return wide
