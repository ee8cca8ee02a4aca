"""What callers hand over, refused by name where it does not fit: UsageError says what was expected.

Needs no torch, but for tensors.
"""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.audio.arrays import as_array
from wavenet.errors import UsageError
from wavenet.glossary import Array

if TYPE_CHECKING:
    from torch import Tensor


def require_shape(name: str, given: Any, *axes: int | str) -> None:
    """Raise UsageError unless an array or tensor has these axes: sizes, or names for any size."""
    shape = tuple(given.shape)
    fits = len(shape) == len(axes) and all(
        isinstance(axis, str) or size == axis for size, axis in zip(shape, axes, strict=True)
    )
    if not fits:
        raise UsageError(name, shape, f"must be of shape {_written(axes)}")


def require_tensor(name: str, given: Any, *axes: int | str) -> None:
    """Raise UsageError unless `given` is a tensor with these axes."""
    from torch import Tensor

    if not isinstance(given, Tensor):
        raise UsageError(name, _type(given), f"must be a tensor of shape {_written(axes)}")
    require_shape(name, given, *axes)


def require_floats(name: str, given: Any, *axes: int | str) -> None:
    """Raise UsageError unless `given` is a tensor of floating-point numbers with these axes."""
    require_tensor(name, given, *axes)
    if not given.is_floating_point():
        raise UsageError(name, _type(given), "must hold floating-point numbers")


def codes_tensor(x: Any, levels: int) -> "Tensor":
    """`x`, a tensor of codes 0 ... levels - 1 of any shape, as int64; UsageError for another.

    On a GPU nothing waits for the codes' values, which are not checked there.
    """
    import torch

    if not isinstance(x, torch.Tensor) or x.is_floating_point() or x.is_complex():
        raise UsageError("x", _type(x), f"must be a tensor of codes, integers 0 to {levels - 1}")
    # Tensors of other types, such as those that are only traced, have no numbers in memory.
    readable = x.device.type == "cpu" and type(x) is torch.Tensor
    if readable and x.numel() and not torch.compiler.is_compiling():
        low, high = x.aminmax()
        _require_levels(int(low), int(high), levels)
    return x.long()


def code_array(x: Any, levels: int) -> Array:
    """`x`, codes 0 ... levels - 1 of any shape, as a NumPy array; UsageError for another."""
    array = as_array(x)
    if array.dtype.kind not in "iu":
        raise UsageError("x", _type(x), f"must be an array of codes, integers 0 to {levels - 1}")
    if array.size:
        _require_levels(int(array.min()), int(array.max()), levels)
    return array


def number_array(name: str, given: Any) -> Array:
    """`given`, real numbers of any shape, as a NumPy array; UsageError for another."""
    array = as_array(given)
    if array.dtype.kind not in "fiu":
        raise UsageError(name, _type(given), "must be an array of numbers")
    return array


def audio_array(wav: Any) -> Array:
    """`wav`, floats of any shape, as a NumPy array; UsageError for another, or for NaN."""
    array = number_array("wav", wav)
    if array.size and array.dtype.kind != "f":
        # Of integers nobody knows the scale.
        raise UsageError("wav", _type(wav), "must hold floats in -1 ... 1")
    if np.isnan(array).any():
        raise UsageError("wav", None, "holds NaN", "repair it first")
    return array


def require_integer(name: str, value: Any, low: int, high: int, rule: str) -> None:
    """Raise UsageError unless `value` is an integer from `low` to `high`, as `rule` says."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(name, _shown(value), "must be an integer")
    if not low <= int(value) <= high:
        raise UsageError(name, value, rule)


def integer_list(name: str, given: Any, low: int) -> list[int]:
    """`given`, integers of `low` and more, as a list; UsageError for anything else."""
    rule = f"must be a list of integers, {low} or more"
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UsageError(name, _type(given), rule)
    numbers = list(given)
    for number in numbers:
        if not isinstance(number, Integral) or number < low:
            raise UsageError(name, number, rule)
    return numbers


def require_number(name: str, value: Any) -> None:
    """Raise UsageError unless `value` is a real number."""
    if not isinstance(value, Real):
        raise UsageError(name, _shown(value), "must be a number")


def require_type(name: str, value: Any, kind: type, advice: str = "") -> None:
    """Raise UsageError unless `value` is of a class."""
    if not isinstance(value, kind):
        raise UsageError(name, _type(value), f"must be of type {kind.__name__}", advice)


def _require_levels(low: int, high: int, levels: int) -> None:
    if not 0 <= low <= high < levels:
        raise UsageError("x", f"{low} to {high}", f"must be codes from 0 to {levels - 1}")


def _shown(value: Any) -> Any:
    # In a UsageError, None is no value.
    return "None" if value is None else value


def _type(given: Any) -> str:
    numbers = f" of {given.dtype}" if hasattr(given, "dtype") else ""
    return f"of type {type(given).__name__}{numbers}"


def _written(axes: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
