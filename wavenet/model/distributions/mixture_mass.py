"""The logarithm of the mass that a component of a mixture has on a 16-bit code.

It exists twice: in torch for training, and in NumPy, in float64, for scoring. A code's bin extends
half a step to each side of its value; the first and the last bin take the tails, so all masses sum
to exactly one. Every function takes codes x that broadcast against means and scales, both in audio
of -1 ... 1, and is finite however far from the code those are.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from wavenet.audio.quantization import FULL_SCALE, LEVELS_16BIT
from wavenet.glossary import Array

if TYPE_CHECKING:
    from torch import Tensor

STEP = 1 / FULL_SCALE  # from one code's value to the next
# The least scale of a component. Nearly all of its mass then lies on one code.
LEAST_SCALE = STEP / 4
LARGEST_LOG_SCALE = 2.0
# The unit, as a fraction of full scale, in which means are predicted. Adam moves all predictions
# alike, and a mean has to be far more exact than a logit.
MEAN_UNIT = 1 / 32
_LAST = LEVELS_16BIT - 1
# Below this, log_ndtr is computed from erfcx: torch's own has no useful gradient further out.
_FAR = -5.0
_TINY = 1e-30


# --- in torch -------------------------------------------------------------------------------------


def scales(log_scales: "Tensor") -> "Tensor":
    """Scales from their predicted logarithms.

    The floor is added rather than clamped, so that the gradient towards it never vanishes. Above
    the largest scale it does.
    """
    return log_scales.clamp(max=LARGEST_LOG_SCALE).exp() + LEAST_SCALE


def logistic_log_mass(x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
    """log(sigmoid(a) - sigmoid(b)) over a bin from b to a (Salimans et al. 2017, eq. 2).

    It is computed in a form without cancellation.
    """
    import torch
    from torch.nn.functional import logsigmoid

    centre = (x - FULL_SCALE).to(means.dtype) * STEP - means
    above = logsigmoid((centre + STEP / 2) / scales).masked_fill(x == _LAST, 0)
    below = logsigmoid((STEP / 2 - centre) / scales).masked_fill(x == 0, 0)
    inside = torch.log(-torch.expm1(-STEP / scales)).masked_fill((x == 0) | (x == _LAST), 0)
    return above + below + inside


def gaussian_log_mass(x: "Tensor", means: "Tensor", scales: "Tensor") -> "Tensor":
    """log(Phi(a) - Phi(b)) over a bin from b to a.

    It needs float64: float32 leaves too little of the difference in the tails.
    """
    import torch

    centre = (x - FULL_SCALE).to(means.dtype) * STEP - means
    # A bin right of the centre has the same mass as its mirror image on the left, where logarithms
    # of Phi are exact.
    centre = torch.where(x == 0, centre, torch.where(x == _LAST, -centre, -centre.abs()))
    high, low = _log_ndtr((centre + STEP / 2) / scales), _log_ndtr((centre - STEP / 2) / scales)
    inside = torch.log(-torch.expm1((low - high).clamp(max=-_TINY)))
    return high + inside.masked_fill((x == 0) | (x == _LAST), 0)


def _log_ndtr(z: "Tensor") -> "Tensor":
    """log Phi(z), with a gradient everywhere."""
    import torch

    far = z.clamp(max=_FAR)
    tail = torch.log(torch.special.erfcx(far * -math.sqrt(0.5)) / 2) - far.square() / 2
    return torch.where(z < _FAR, tail, torch.special.log_ndtr(z.clamp(min=_FAR)))


# --- the same in NumPy, in float64 ----------------------------------------------------------------


def scales_array(log_scales: Array) -> Array:
    scales: Array = np.exp(np.minimum(log_scales, LARGEST_LOG_SCALE)) + LEAST_SCALE
    return scales


def logistic_log_mass_array(x: Array, means: Array, scales: Array) -> Array:
    centre = (x - FULL_SCALE) * STEP - means
    above = np.where(x == _LAST, 0, -np.logaddexp(0, -(centre + STEP / 2) / scales))
    below = np.where(x == 0, 0, -np.logaddexp(0, -(STEP / 2 - centre) / scales))
    inside = np.where((x == 0) | (x == _LAST), 0, np.log(-np.expm1(-STEP / scales)))
    log_mass: Array = above + below + inside
    return log_mass


def gaussian_log_mass_array(x: Array, means: Array, scales: Array) -> Array:
    from scipy.special import log_ndtr

    centre = (x - FULL_SCALE) * STEP - means
    centre = np.where(x == 0, centre, np.where(x == _LAST, -centre, -np.abs(centre)))
    high, low = log_ndtr((centre + STEP / 2) / scales), log_ndtr((centre - STEP / 2) / scales)
    inside = np.log(-np.expm1(np.minimum(low - high, -_TINY)))
    log_mass: Array = high + np.where((x == 0) | (x == _LAST), 0, inside)
    return log_mass
