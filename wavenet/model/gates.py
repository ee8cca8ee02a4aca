"""z = tanh(filter) * sigmoid(gate) and its gradient, in few passes over memory, in two forms.

`h` (rows, 2G) holds both halves, the filter's first. `open_gates` changes it in place to what the
backward pass needs, from which z is one pass away.

    TANH       z = tanh(filter) * sigmoid(gate), as it is written: torch has the product with a
               sigmoid as one pass, and so its gradient. It moves the least memory.
    SIGMOIDS   -z = s - 2 t s, with t and s the sigmoids of h's halves. The filter's half was
               doubled before, since tanh(a) = 2 sigmoid(2 a) - 1, and the paths that read z were
               negated. On a CPU torch's sigmoid takes a sixth of its tanh's time, to the same 1e-7.

What scales the halves beforehand scales weights, which are small beside the rows.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_glu, _glu_backward = torch.ops.aten.glu.out, torch.ops.aten.glu_backward.grad_input


class Gates(NamedTuple):
    """One form, and what it wants weights to be multiplied by beforehand."""

    filter_scale: float
    """Of the filter's half of taps, bias and conditioning."""

    z_scale: float
    """Of the residual and skip paths' weights, and so of z and dz in the passes below."""

    dh_scale: float
    """What the filter's half of `dh` still has to be multiplied by."""

    open_gates: Callable[[Tensor, Tensor], None]
    """h (rows, 2G) becomes what is kept of it, in place; fill z (rows, G)."""

    compute_z: Callable[[Tensor, Tensor], None]
    """From the kept h, fill z again."""

    close_gates: Callable[[Tensor, Tensor, Tensor], None]
    """From the kept h and dz (rows, G), fill dh (rows, 2G)."""


def _filter(h: Tensor) -> Tensor:
    return h.narrow(1, 0, h.shape[1] // 2)


def _gate(h: Tensor) -> Tensor:
    half = h.shape[1] // 2
    return h.narrow(1, half, half)


def _open_tanh(h: Tensor, z: Tensor) -> None:
    _filter(h).tanh_()
    _z_of_tanh(h, z)


def _z_of_tanh(h: Tensor, z: Tensor) -> None:
    if torch.compiler.is_compiling():
        # It takes no output whose rows lie apart, and fuses the copy.
        z.copy_(torch.nn.functional.glu(h, 1))
    else:
        _glu(h, 1, out=z)


def _close_tanh(h: Tensor, dz: Tensor, dh: Tensor) -> None:
    if torch.compiler.is_compiling():
        dtanh, dgate = torch.ops.aten.glu_backward(dz, h, 1).chunk(2, 1)
        _filter(dh).copy_(torch.ops.aten.tanh_backward(dtanh, _filter(h)))
        _gate(dh).copy_(dgate)
        return
    _glu_backward(dz, h, 1, grad_input=dh)
    dtanh = _filter(dh)
    _tanh_backward(dtanh, _filter(h), grad_input=dtanh)


def _open_sigmoids(h: Tensor, z: Tensor) -> None:
    h.sigmoid_()
    _z_of_sigmoids(h, z)


def _z_of_sigmoids(h: Tensor, z: Tensor) -> None:
    s = _gate(h)
    torch.addcmul(s, _filter(h), s, value=-2, out=z)


def _close_sigmoids(h: Tensor, dz: Tensor, dh: Tensor) -> None:
    # The filter's half without its factor of -2, so that two passes make both.
    torch.mul(dz, _gate(h), out=_filter(dh))
    torch.addcmul(dz, dz, _filter(h), value=-2, out=_gate(dh))
    _sigmoid_backward(dh, h, grad_input=dh)


TANH = Gates(1, 1, 1, _open_tanh, _z_of_tanh, _close_tanh)
SIGMOIDS = Gates(2, -1, -2, _open_sigmoids, _z_of_sigmoids, _close_sigmoids)


@cache
def compile_gates(gates: Gates) -> Gates:
    """The same, the passes of each step fused by torch.compile."""
    open_gates = torch.compile(gates.open_gates, dynamic=True)
    close_gates = torch.compile(gates.close_gates, dynamic=True)
    return gates._replace(open_gates=open_gates, close_gates=close_gates)
