"""What the network predicts about the next sample. Here alone is known how audio becomes codes, and predictions audio.

    Categorical                        one of 16 to 1024 mu-law levels
    LogisticMixture, GaussianMixture   one of 65,536 16-bit samples, in few numbers

Everything else asks `of` for a model's and never which one it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wavenet.arrays import Array, Noise, Params, Samples, Wav
from wavenet.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.model.distributions.categorical import Categorical


@dataclass(frozen=True)
class Sampling:
    """How to draw from a prediction. `top_k = 0` and `top_p = 1` leave it whole; `temperature = 0` takes the likeliest code."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise EngineError(
                f"temperature {self.temperature}: must be 0 (always the likeliest) to 100; 1 samples the model as it is"
            )
        if self.top_k < 0:
            raise EngineError(f"top-k {self.top_k}: must be 0 (off) or a number of codes to keep")
        if not 0 < self.top_p <= 1:
            raise EngineError(f"top-p {self.top_p}: must be above 0 and at most 1 (off)")


class Distribution(Protocol):
    """What every kind of output does. Codes x are integers 0 ... levels - 1; params are the n_params numbers predicted for each."""

    @property
    def kind(self) -> str: ...  # what an engine chooses its own draw by
    @property
    def levels(self) -> int: ...  # number of codes
    @property
    def n_params(self) -> int: ...  # numbers predicted per sample
    @property
    def n_noise(self) -> int: ...  # uniforms that one draw takes
    @property
    def scalar_input(
        self,
    ) -> bool: ...  # a sample is heard as its value times the input table's only row, not as a row of its own
    @property
    def n_inputs(self) -> int: ...  # rows of the input table
    @property
    def input_std(
        self,
    ) -> float: ...  # of the input table at the start: what is heard then has about unit size
    @property
    def loss_bytes(self) -> int: ...  # per sample, of what the loss and its gradient keep
    @property
    def silence(self) -> int: ...  # the code of a zero sample
    @property
    def baseline_codes(
        self,
    ) -> "Categorical": ...  # the codes on which the yardsticks of `baselines` count frequencies

    def encode(self, wav: Array) -> Samples: ...
    def decode(self, x: Array) -> Wav: ...

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        """What the network hears: codes (...), table (n_inputs, R) -> (..., R)."""
        ...

    def embed_array(self, x: Array, table: Array) -> Array:
        """The same in NumPy."""
        ...

    def initial_bias(self) -> Array:
        """Of the output layer (n_params,)."""
        ...

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        """Negative log-likelihood in nats, summed with `weights` (batch, time), or its mean over all samples.

        params (batch, time, n_params), x (batch, time).
        """
        ...

    def nats(self, params: Params, x: Samples) -> Array:
        """Negative log-likelihood of each code, in float64: params (time, n_params), x (time,) -> (time,)."""
        ...

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """The oracle every engine's own draw is tested against: params (..., n_params), noise (..., n_noise) -> codes (...)."""
        ...

    def check(self, sampling: Sampling) -> None:
        """Raise EngineError for what this kind cannot be asked."""
        ...

    def edges(self) -> Array:
        """Where one code ends and the next begins: levels - 1 values of audio, ascending."""
        ...

    def bits_to_16bit(self, x: Array) -> Array:
        """log2 of how many 16-bit samples share each code. Added to bits per sample, it makes all kinds' figures comparable."""
        ...


def noise_columns(noise: Noise, n_noise: int) -> Noise:
    """Noise as (batch, time, n_noise); where each draw takes one number, the last axis may be missing. Raises EngineError."""
    wide = noise[..., None] if noise.ndim == 2 and n_noise == 1 else noise
    if wide.ndim != 3 or wide.shape[2] != n_noise:
        raise EngineError(f"noise of shape {noise.shape}: must be (batch, time, {n_noise})")
    return wide
