"""Mixtures over 65,536 16-bit samples, in few numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wavenet.arrays import Array, Params, Samples, Wav
from wavenet.audio import quantization
from wavenet.errors import EngineError
from wavenet.model.distributions import mixture_mass

if TYPE_CHECKING:
    from torch import Tensor
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.categorical import COARSE_LEVELS, Categorical

WIDEST, NARROWEST = (
    0.3,
    0.003,
)  # scales that a mixture's components start with: they differ, so that each finds something to do


@dataclass(frozen=True)
class _Mixture:
    """A weighted sum of K bell curves over audio, each 16-bit sample taking the mass of its bin.

    params: K weight logits, K means in MEAN_UNIT of full scale, K log-scales. Means may lie beyond -1 ... 1: the last codes take the tails.
    """

    components: int

    levels: ClassVar[int] = quantization.LEVELS_16BIT
    scalar_input: ClassVar[bool] = True
    n_inputs: ClassVar[int] = 1
    input_std: ClassVar[float] = 10.0  # recordings have an rms near 0.1
    silence: ClassVar[int] = quantization.FULL_SCALE
    baseline_codes: ClassVar[Categorical] = Categorical(COARSE_LEVELS)

    @property
    def n_params(self) -> int:
        return 3 * self.components

    def encode(self, wav: Array) -> Samples:
        return quantization.encode_16bit(wav)

    def decode(self, x: Array) -> Wav:
        return quantization.decode_16bit(x)

    def embed(self, x: "Tensor", table: "Tensor") -> "Tensor":
        return ((x - quantization.FULL_SCALE).to(table.dtype) / quantization.FULL_SCALE)[
            ..., None
        ] * table[0]

    def embed_array(self, x: Array, table: Array) -> Array:
        found: Array = self.decode(x)[..., None] * table[0]
        return found

    def initial_bias(self) -> Array:
        log_scales = np.log(np.geomspace(WIDEST, NARROWEST, self.components))
        return np.concatenate([np.zeros(2 * self.components), log_scales]).astype(np.float32)

    def loss(self, params: "Tensor", x: "Tensor", weights: "Tensor | None" = None) -> "Tensor":
        rows = self._precise(
            params.transpose(0, 1).flatten(0, 1)
        )  # time before batch: see Categorical
        logits, means, log_scales = rows.chunk(3, -1)  # (samples, K) each
        codes = x.t().flatten()[:, None].to(rows.device)
        masses = self._log_mass(
            codes, means * mixture_mass.MEAN_UNIT, mixture_mass.scales(log_scales)
        )
        nats = -(logits.log_softmax(-1) + masses).logsumexp(-1)
        total = nats.mean() if weights is None else (nats * weights.t().flatten().to(nats)).sum()
        return total.float().to(params.device)

    def nats(self, params: Params, x: Samples) -> Array:
        logits, means, scales = _curves(params)
        joint = (
            logits
            - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            + self._log_mass_array(x[:, None], means, scales)
        )
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
            chosen = np.argmax(cumulative > noise[..., :1] * cumulative[..., -1:], axis=-1)[
                ..., None
            ]
        mean, scale = (np.take_along_axis(a, chosen, -1)[..., 0] for a in (means, scales))
        return self.encode(mean + scale * sampling.temperature * self._standard(noise[..., 1:]))

    def check(self, sampling: Sampling) -> None:
        for option, value, off in (("--top-k", sampling.top_k, 0), ("--top-p", sampling.top_p, 1)):
            if value != off:
                raise EngineError(
                    f"{option} {value}: chooses among mu-law levels, and this model has none; use --temperature"
                )

    def edges(self) -> Array:
        return quantization.edges_16bit()

    def bits_to_16bit(self, x: Array) -> Array:
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
    return (
        logits - logits.max(axis=-1, keepdims=True),
        means * mixture_mass.MEAN_UNIT,
        mixture_mass.scales_array(log_scales),
    )


class LogisticMixture(_Mixture):
    """Of logistic curves (Salimans et al. 2017; van den Oord et al. 2018 for 16-bit audio)."""

    kind: ClassVar[str] = "logistic"
    n_noise: ClassVar[int] = (
        2  # the component; a share of the mass below, which the curve's quantile turns into a value
    )

    @property
    def loss_bytes(self) -> int:
        return (
            30 * 4 * self.components
        )  # as measured: what each component's mass is made of, in single precision

    def _precise(self, params: "Tensor") -> "Tensor":
        return params.float()

    def _log_mass(self, x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
        return mixture_mass.logistic_log_mass(x, means, scales)

    def _log_mass_array(self, x: Array, means: Array, scales: Array) -> Array:
        return mixture_mass.logistic_log_mass_array(x, means, scales)

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
        return (
            params.cpu() if params.device.type == "mps" else params
        ).double()  # Apple's GPUs have no float64

    def _log_mass(self, x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
        return mixture_mass.gaussian_log_mass(x, means, scales)

    def _log_mass_array(self, x: Array, means: Array, scales: Array) -> Array:
        return mixture_mass.gaussian_log_mass_array(x, means, scales)

    def _standard(self, noise: Array) -> Array:
        drawn: Array = np.sqrt(-2 * np.log(noise[..., 0])) * np.cos(2 * np.pi * noise[..., 1])
        return drawn
