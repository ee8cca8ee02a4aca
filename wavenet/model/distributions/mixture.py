"""Mixtures over 65,536 16-bit samples, in few parameters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavenet.audio import quantization
from wavenet.errors import UsageError
from wavenet.glossary import Array, Noise, Params, Samples, Wav
from wavenet.model.arguments import (
    audio_array,
    code_array,
    codes_tensor,
    require_integer,
    require_type,
)
from wavenet.model.distributions import mixture_mass
from wavenet.model.distributions.base import (
    Distribution,
    Sampling,
    params_and_codes,
    params_and_noise,
    require_alike,
)
from wavenet.model.distributions.categorical import BASELINE_LEVELS, Categorical

if TYPE_CHECKING:
    from torch import Tensor

# The initial scales of a mixture's components lie between these two. They differ, so that the
# components do not all learn the same.
WIDEST, NARROWEST = 0.3, 0.003
# What is above 0, and as far below 1, in float32.
LEAST_NOISE = 2**-24


@dataclass(frozen=True)
class _Mixture(Distribution):
    """A weighted sum of J densities over audio; each 16-bit sample has the mass of its bin.

    params: J weight logits, J means in MEAN_UNIT of full scale, J log-scales. Means may lie beyond
    -1 ... 1: the first and the last code take the tails.
    """

    components: int
    """J, the densities that are summed: 1 or more."""

    # Logarithm of each component's mass on a code; the same in NumPy.
    _log_mass: ClassVar["staticmethod[[Tensor, Tensor, Tensor], Tensor]"]
    _log_mass_array: ClassVar["staticmethod[[Array, Array, Array], Array]"]

    levels: ClassVar[int] = quantization.LEVELS_16BIT
    scalar_input: ClassVar[bool] = True
    n_inputs: ClassVar[int] = 1
    # Recordings have an rms near 0.1.
    input_std: ClassVar[float] = 10.0
    silence: ClassVar[int] = quantization.FULL_SCALE
    baseline_codes: ClassVar[Categorical] = Categorical(BASELINE_LEVELS)

    def __post_init__(self) -> None:
        require_integer("components", self.components, 1, 2**16, "must be 1 to 2^16")

    @property
    def n_params(self) -> int:
        """Numbers predicted per sample: 3 J."""
        return 3 * self.components

    def encode(self, wav: Array) -> Samples:
        """Audio in -1 ... 1, of any shape, to 16-bit samples counted from the lowest, 0 ... 65535.

        int64, the nearest each; what lies outside is clipped. Raises UsageError for NaN.
        """
        return quantization.encode_16bit(audio_array(wav))

    def decode(self, x: Array) -> Wav:
        return quantization.decode_16bit(code_array(x, self.levels))

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        """Each sample's value times the table's only row: codes (...), table (1, R) -> (..., R)."""
        x = codes_tensor(x, self.levels)
        wav = (x - quantization.FULL_SCALE).to(table.dtype) / quantization.FULL_SCALE
        return wav[..., None] * table[0]

    def embed_array(self, x: Array, table: Array) -> Array:
        embedded: Array = self.decode(x)[..., None] * table[0]
        return embedded

    def initial_bias(self) -> Array:
        """Initial bias of the output layer, (3 J,): equal weights, means at 0, different scales."""
        log_scales = np.log(np.geomspace(WIDEST, NARROWEST, self.components))
        return np.concatenate([np.zeros(2 * self.components), log_scales]).astype(np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        x = codes_tensor(x, self.levels)
        require_alike(params, x, weights, self.n_params)
        # Time before batch, for the same reason as in `Categorical.loss`.
        rows = self._in_loss_precision(params.transpose(0, 1).flatten(0, 1))
        logits, means, log_scales = rows.chunk(3, -1)  # (time * batch, J) each
        codes = x.t().flatten()[:, None].to(rows.device)
        scales = mixture_mass.scales(log_scales)
        masses = self._log_mass(codes, means * mixture_mass.MEAN_UNIT, scales)
        nats = -(logits.log_softmax(-1) + masses).logsumexp(-1)
        total = nats.mean() if weights is None else (nats * weights.t().flatten().to(nats)).sum()
        return total.float().to(params.device)

    def nats(self, params: Params, x: Samples) -> Array:
        params, x = params_and_codes(params, x, self.n_params, self.levels)
        logits, means, scales = _split(params)
        log_weights = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        joint = log_weights + self._log_mass_array(x[:, None], means, scales)
        nats: Array = -np.logaddexp.reduce(joint, axis=1)
        return nats

    def draw(self, params: Array, noise: Array, sampling: Sampling) -> Samples:
        """Sample codes: params (..., 3 J), noise (..., n_noise) -> (...).

        The first uniform selects a component, the others sample from it, and the sample is rounded
        to a code. The components are walked in their natural order. Temperature divides the
        weights' logits and multiplies the scales; at 0 the sample is the centre of the highest
        peak.
        """
        require_type("sampling", sampling, Sampling)
        params, noise = params_and_noise(params, noise, self.n_params, self.n_noise)
        logits, means, scales = _split(params)
        if sampling.temperature == 0:
            chosen = np.argmax(logits - np.log(scales), axis=-1)
        else:
            cumulative = np.cumsum(np.exp(logits / sampling.temperature), axis=-1)
            chosen = np.argmax(cumulative > noise[..., :1] * cumulative[..., -1:], axis=-1)
        mean, scale = (
            np.take_along_axis(a, chosen[..., None], -1)[..., 0] for a in (means, scales)
        )
        standard = self._standard_sample(noise[..., 1:])
        return quantization.encode_16bit(mean + scale * sampling.temperature * standard)

    def concentrated(self, noise: Noise, factors: Array) -> Noise:
        """Noise of draws so many times as far from their component's mean: a temperature.

        noise (..., n_noise), factors (...) -> (..., n_noise), still above 0 and below 1.
        """
        first = self._nearer(noise[..., 1].astype(np.float64), factors)
        nearer = noise.copy()
        nearer[..., 1] = first.clip(LEAST_NOISE, 1 - LEAST_NOISE)
        return nearer

    def check(self, sampling: Sampling) -> None:
        """Raise UsageError for top_k and top_p: a mixture is sampled with a temperature only."""
        reason = "chooses among mu-law levels, and this model has none"
        for name, value, off in (("top_k", sampling.top_k, 0), ("top_p", sampling.top_p, 1)):
            if value != off:
                raise UsageError(name, value, reason, "use `temperature`")

    def edges(self) -> Array:
        return quantization.edges_16bit()

    def bits_to_16bit(self, x: Array) -> Array:
        """Zeros in the shape of x: every code is a 16-bit sample of its own."""
        return np.zeros(np.shape(x))

    def _in_loss_precision(self, params: "Tensor") -> "Tensor":
        """params in the precision, and on the device, that `_log_mass` needs."""
        return params.float()

    def _standard_sample(self, noise: Array) -> Array:
        """Samples of the density with mean 0 and scale 1: noise (..., n_noise - 1) -> (...)."""
        raise NotImplementedError

    def _nearer(self, uniform: Array, factors: Array) -> Array:
        """The uniform after the one that selects, of a sample `factors` times as far from 0."""
        raise NotImplementedError


def _split(params: Array) -> tuple[Array, Array, Array]:
    """params (..., 3 J) -> weight logits, means and scales, (..., J) each, in float64.

    The largest logit is 0; means and scales are in units of audio.
    """
    logits, means, log_scales = np.split(np.asarray(params, np.float64), 3, axis=-1)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits, means * mixture_mass.MEAN_UNIT, mixture_mass.scales_array(log_scales)


class LogisticMixture(_Mixture):
    """A mixture of logistic densities over 16-bit samples (Salimans et al. 2017).

    After van den Oord et al. 2018, who predict 16-bit audio with one. params are J weight logits, J
    means in steps of 1 / 32 of full scale and J logarithms of scales. A draw takes two uniform
    numbers.

    >>> distribution = wavenet.LogisticMixture(10)
    >>> distribution.levels, distribution.n_params, distribution.n_noise
    (65536, 30, 2)
    >>> params, noise = np.zeros((4, 30)), np.full((4, 2), 0.5)
    >>> x = distribution.draw(params, noise, wavenet.Sampling())
    >>> distribution.decode(x).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    kind: ClassVar[str] = "logistic"
    # One uniform selects the component, one goes through the logistic quantile function.
    n_noise: ClassVar[int] = 2
    _log_mass = staticmethod(mixture_mass.logistic_log_mass)
    _log_mass_array = staticmethod(mixture_mass.logistic_log_mass_array)

    def _standard_sample(self, noise: Array) -> Array:
        drawn: Array = np.log(noise[..., 0] / (1 - noise[..., 0]))
        return drawn

    def _nearer(self, uniform: Array, factors: Array) -> Array:
        return 1 / (1 + ((1 - uniform) / uniform) ** factors)


class GaussianMixture(_Mixture):
    """A mixture of normal densities over 16-bit samples.

    params are those of `LogisticMixture`, with standard deviations for scales. A draw takes three
    uniform numbers, of which two make a normal one (Box and Muller 1958).

    >>> distribution = wavenet.GaussianMixture(1)
    >>> x = distribution.encode(np.array([0.25]))
    >>> params = np.array([[0, 8, -3]])  # weight, mean 8 / 32, log of the deviation
    >>> distribution.nats(params, x).round(2).tolist()
    [8.32]
    """

    kind: ClassVar[str] = "gaussian"
    # One uniform selects the component, two make a normal number (Box and Muller 1958).
    n_noise: ClassVar[int] = 3
    _log_mass = staticmethod(mixture_mass.gaussian_log_mass)
    _log_mass_array = staticmethod(mixture_mass.gaussian_log_mass_array)

    def _in_loss_precision(self, params: "Tensor") -> "Tensor":
        # Apple's GPUs have no float64.
        on_device = params.cpu() if params.device.type == "mps" else params
        return on_device.double()

    def _standard_sample(self, noise: Array) -> Array:
        drawn: Array = np.sqrt(-2 * np.log(noise[..., 0])) * np.cos(2 * np.pi * noise[..., 1])
        return drawn

    def _nearer(self, uniform: Array, factors: Array) -> Array:
        nearer: Array = uniform ** (factors**2)
        return nearer
