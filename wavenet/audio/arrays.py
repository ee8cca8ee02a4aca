"""Audio in memory, as callers hand it over: arrays, tensors and lists, and rates in Hz."""

import math
from numbers import Real
from typing import Any

import numpy as np

from wavenet.glossary import Array

# libsndfile and soxr take more; no recording has it.
MOST_HZ = 10_000_000


def as_array(given: Any) -> Array:
    """As a NumPy array, which is one of objects where it cannot be one of numbers.

    A tensor is taken without its gradient, from the device that it lies on.
    """
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError):
        # Rows of different lengths, and tensors of numbers that NumPy does not have.
        return np.array(None)


def as_rate(given: Any) -> int | None:
    """A sample rate in whole Hz; None where that is none."""
    is_number = isinstance(given, Real) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or not 1 <= given <= MOST_HZ:
        return None
    return round(float(given))
