"""What the network predicts about the next sample. Here alone is known how audio becomes codes, and predictions audio.

    Categorical                        one of 16 to 1024 mu-law levels
    LogisticMixture, GaussianMixture   one of 65,536 16-bit samples, in few numbers

Everything else asks `of` for a model's and never which one it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from wavenet import codec, mixtures
from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.shapes import Array, Noise, Params, Samples, Wav

if TYPE_CHECKING:
    from torch import Tensor

COARSE_LEVELS = 256  # mu-law levels on which frequencies are counted where there are too many codes to count
WIDEST, NARROWEST = 0.3, 0.003  # scales that a mixture's components start with: they differ, so that each finds something to do


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
    def scalar_input(self) -> bool: ...  # a sample is heard as its value times the input table's only row, not as a row of its own
    @property
    def n_inputs(self) -> int: ...  # rows of the input table
    @property
    def input_std(self) -> float: ...  # of the input table at the start: what is heard then has about unit size
    @property
    def loss_bytes(self) -> int: ...  # per sample, of what the loss and its gradient keep
    @property
    def silence(self) -> int: ...  # the code of a zero sample
    @property
    def coarse(self) -> "Categorical": ...  # the codes on which the yardsticks of `baselines` count frequencies

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

    def finer_bits(self, x: Array) -> Array:
        """log2 of how many 16-bit samples share each code. Added to bits per sample, it makes all kinds' figures comparable."""
        ...


@dataclass(frozen=True)
class Categorical:
    """One of `levels` mu-law codes (van den Oord et al. 2016, section 2.2); params are a logit a code."""

    levels: int

    kind: ClassVar[str] = "categorical"
    n_noise: ClassVar[int] = 1
    scalar_input: ClassVar[bool] = False
    input_std: ClassVar[float] = 1.0

    @property
    def n_params(self) -> int:
        return self.levels

    @property
    def n_inputs(self) -> int:
        return self.levels

    @property
    def loss_bytes(self) -> int:
        return 3 * 4 * self.levels  # log-probabilities, their gradient and that of the logits, in single precision

    @property
    def silence(self) -> int:
        return int(self.encode(np.zeros(1))[0])

    @property
    def coarse(self) -> "Categorical":
        return self

    def encode(self, wav: Array) -> Samples:
        return codec.encode(wav, self.levels)

    def decode(self, x: Array) -> Wav:
        return codec.decode(x, self.levels)

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        from torch.nn.functional import embedding

        return embedding(x, table)

    def embed_array(self, x: Array, table: Array) -> Array:
        found: Array = table[x]
        return found

    def initial_bias(self) -> Array:
        return np.zeros(self.levels, np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        """Softmax in float32."""
        from torch.nn.functional import cross_entropy

        # time before batch: so the network's rows lie in memory, and flattening them copies nothing
        nats = cross_entropy(params.transpose(0, 1).flatten(0, 1).float(), x.t().flatten(), reduction="none")
        return nats.mean() if weights is None else (nats * weights.t().flatten()).sum()

    def nats(self, params: Params, x: Samples) -> Array:
        logits = params.astype(np.float64)
        most = logits.max(axis=1)
        found: Array = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most - logits[np.arange(len(x)), x]
        return found

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """Noise may come without its last axis, of length 1.

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
        threshold = np.asarray(noise, np.float64).reshape(*params.shape[:-1], 1) * cumulative[..., -1:]
        drawn: Samples = np.argmax(cumulative > threshold, axis=-1)
        return drawn

    def check(self, sampling: Sampling) -> None:
        """Anything goes."""

    def edges(self) -> Array:
        return codec.edges(self.levels)

    def finer_bits(self, x: Array) -> Array:
        found: Array = codec.finer_bits(self.levels)[x]
        return found


@dataclass(frozen=True)
class _Mixture:
    """A weighted sum of K bell curves over audio, each 16-bit sample taking the mass of its bin.

    params: K weight logits, K means in MEAN_UNIT of full scale, K log-scales. Means may lie beyond -1 ... 1: the last codes take the tails.
    """

    components: int

    levels: ClassVar[int] = codec.LEVELS_16BIT
    scalar_input: ClassVar[bool] = True
    n_inputs: ClassVar[int] = 1
    input_std: ClassVar[float] = 10.0  # recordings have an rms near 0.1
    silence: ClassVar[int] = codec.FULL_SCALE
    coarse: ClassVar[Categorical] = Categorical(COARSE_LEVELS)

    @property
    def n_params(self) -> int:
        return 3 * self.components

    def encode(self, wav: Array) -> Samples:
        return codec.encode_16bit(wav)

    def decode(self, x: Array) -> Wav:
        return codec.decode_16bit(x)

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        return ((x - codec.FULL_SCALE).to(table.dtype) / codec.FULL_SCALE)[..., None] * table[0]

    def embed_array(self, x: Array, table: Array) -> Array:
        found: Array = self.decode(x)[..., None] * table[0]
        return found

    def initial_bias(self) -> Array:
        log_scales = np.log(np.geomspace(WIDEST, NARROWEST, self.components))
        return np.concatenate([np.zeros(2 * self.components), log_scales]).astype(np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        rows = self._precise(params.transpose(0, 1).flatten(0, 1))  # time before batch: see Categorical
        logits, means, log_scales = rows.chunk(3, -1)  # (samples, K) each
        codes = x.t().flatten()[:, None].to(rows.device)
        masses = self._log_mass(codes, means * mixtures.MEAN_UNIT, mixtures.scales(log_scales))
        nats = -(logits.log_softmax(-1) + masses).logsumexp(-1)
        total = nats.mean() if weights is None else (nats * weights.t().flatten().to(nats)).sum()
        return total.float().to(params.device)

    def nats(self, params: Params, x: Samples) -> Array:
        logits, means, scales = _curves(params)
        joint = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) + self._log_mass_array(x[:, None], means, scales)
        found: Array = -np.logaddexp.reduce(joint, axis=1)
        return found

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """The first uniform walks the components in their natural order, the others make a draw from the chosen one, rounded to a code.

        Temperature divides the weights' logits and multiplies the scales; at 0 it is the centre of the highest peak.
        """
        logits, means, scales = _curves(params)
        noise = np.asarray(noise, np.float64)
        if sampling.temperature == 0:
            chosen = np.argmax(logits - np.log(scales), axis=-1)[..., None]
        else:
            cumulative = np.cumsum(np.exp(logits / sampling.temperature), axis=-1)
            chosen = np.argmax(cumulative > noise[..., :1] * cumulative[..., -1:], axis=-1)[..., None]
        mean, scale = (np.take_along_axis(a, chosen, -1)[..., 0] for a in (means, scales))
        return self.encode(mean + scale * sampling.temperature * self._standard(noise[..., 1:]))

    def check(self, sampling: Sampling) -> None:
        for option, value, off in (("--top-k", sampling.top_k, 0), ("--top-p", sampling.top_p, 1)):
            if value != off:
                raise EngineError(f"{option} {value}: chooses among mu-law levels, and this model has none; use --temperature")

    def edges(self) -> Array:
        return codec.edges_16bit()

    def finer_bits(self, x: Array) -> Array:
        return np.zeros(np.shape(x))

    def _precise(self, params: "Tensor") -> "Tensor":
        """As precise as `_log_mass` needs it."""
        raise NotImplementedError

    def _log_mass(self, x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
        """Logarithm of each component's mass on a code."""
        raise NotImplementedError

    def _log_mass_array(self, x: Array, means: Array, scales: Array) -> Array:
        raise NotImplementedError

    def _standard(self, noise: Array) -> Array:
        """A draw from the curve of mean 0 and scale 1: noise (..., n_noise - 1) -> (...)."""
        raise NotImplementedError


def _curves(params: Array) -> tuple[Array, Array, Array]:
    """params (..., 3 K) -> weight logits, the largest 0; means and scales of audio; (..., K) each in float64."""
    logits, means, log_scales = np.split(np.asarray(params, np.float64), 3, axis=-1)
    return logits - logits.max(axis=-1, keepdims=True), means * mixtures.MEAN_UNIT, mixtures.scales_array(log_scales)


class LogisticMixture(_Mixture):
    """Of logistic curves (Salimans et al. 2017; van den Oord et al. 2018 for 16-bit audio)."""

    kind: ClassVar[str] = "logistic"
    n_noise: ClassVar[int] = 2  # the component; a share of the mass below, which the curve's quantile turns into a value

    @property
    def loss_bytes(self) -> int:
        return 30 * 4 * self.components  # as measured: what each component's mass is made of, in single precision

    def _precise(self, params: "Tensor") -> "Tensor":
        return params.float()

    def _log_mass(self, x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
        return mixtures.logistic_log_mass(x, means, scales)

    def _log_mass_array(self, x: Array, means: Array, scales: Array) -> Array:
        return mixtures.logistic_log_mass_array(x, means, scales)

    def _standard(self, noise: Array) -> Array:
        drawn: Array = np.log(noise[..., 0] / (1 - noise[..., 0]))
        return drawn


class GaussianMixture(_Mixture):
    """Of normal curves."""

    kind: ClassVar[str] = "gaussian"
    n_noise: ClassVar[int] = 3  # the component; two that make a normal number (Box and Muller 1958)

    @property
    def loss_bytes(self) -> int:
        return 48 * 8 * self.components  # as measured, in double precision

    def _precise(self, params: "Tensor") -> "Tensor":
        return (params.cpu() if params.device.type == "mps" else params).double()  # Apple's GPUs have no float64

    def _log_mass(self, x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
        return mixtures.gaussian_log_mass(x, means, scales)

    def _log_mass_array(self, x: Array, means: Array, scales: Array) -> Array:
        return mixtures.gaussian_log_mass_array(x, means, scales)

    def _standard(self, noise: Array) -> Array:
        drawn: Array = np.sqrt(-2 * np.log(noise[..., 0])) * np.cos(2 * np.pi * noise[..., 1])
        return drawn


DISTRIBUTIONS: dict[str, Callable[[ModelConfig], Distribution]] = {
    "mulaw": lambda model: Categorical(model.levels),
    "logistic": lambda model: LogisticMixture(model.mixtures),
    "gaussian": lambda model: GaussianMixture(model.mixtures),
}


def of(model: ModelConfig) -> Distribution:
    """The distribution that a model predicts."""
    return DISTRIBUTIONS[model.output](model)


def noise_columns(noise: Noise, n_noise: int) -> Noise:
    """Noise as (batch, time, n_noise); where each draw takes one number, the last axis may be missing. Raises EngineError."""
    wide = noise[..., None] if noise.ndim == 2 and n_noise == 1 else noise
    if wide.ndim != 3 or wide.shape[2] != n_noise:
        raise EngineError(f"noise of shape {noise.shape}: must be (batch, time, {n_noise})")
    return wide
