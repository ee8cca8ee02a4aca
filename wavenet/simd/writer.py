"""How vector instructions are written for LLVM, in primitives that numba calls.

numba decides by itself which loops become vector instructions, and mixes widths. Here nothing is
left to it. A primitive is a Python function that numba calls while it compiles
(`@intrinsic`); instead of computing, it emits the instructions. Reading one needs four words:

    pointer   where an array's numbers lie in memory. `at(a, i)` is to compiled code what `a[i:]` is
              to NumPy, without its bookkeeping, and `move(p, n)` is what `p[n:]` would be. Nothing
              checks bounds.
    vector    LANES float32 numbers that one instruction treats alike
    splat     a vector that holds one number LANES times
    cell      a variable of the compiled code, vector or counter; LLVM keeps it in a register

`vectors` has the primitives.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from wavenet.errors import EngineError
from wavenet.simd.cpu_features import host

if config.DISABLE_JIT:
    # The primitives exist only as machine code.
    raise EngineError("NUMBA_DISABLE_JIT", "is set, and numba compiles the CPU kernels", "unset it")
HOST = host()
LANES = HOST.lanes

# LLVM's types.
FLOAT, WORD, COUNT = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(WORD, LANES)

# numba's types.
FLOATS = types.CPointer(types.float32)
integer, number, nothing = types.int64, types.float32, types.void

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
subroutine = njit(**OPTIONS)
# For functions of many arguments, which a call would write to memory and read back.
inlined = njit(forceinline=True, **OPTIONS)


class Writer:
    """Emits vector instructions at the position of `builder`."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, value: float) -> Any:
        return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, value, WORD(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(WORDS, [0] * LANES))

    def load(self, pointer: Any, kind: Any = VECTOR) -> Any:
        loaded = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, vector: Any, pointer: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(pointer, VECTOR.as_pointer())).align = 4

    def move(self, pointer: Any, numbers: Any) -> Any:
        count = numbers if isinstance(numbers, ir.Value) else COUNT(numbers)
        return self.builder.gep(pointer, [count])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the machine can; see `cpu_features`."""
        if HOST.fused:
            kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
            fma = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.v{LANES}f32")
            return self.builder.call(fma, [a, b, c])
        rounded = self.builder.fmul(a, b, flags=("contract",))
        return self.builder.fadd(rounded, c, flags=("contract",))

    def at_least(self, bound: float, x: Any) -> Any:
        """The larger of both. NaN stays NaN, so that it reaches the logits, where it is noticed."""
        below = self.builder.fcmp_ordered(">", self.constant(bound), x)
        return self.builder.select(below, self.constant(bound), x)

    def at_most(self, bound: float, x: Any) -> Any:
        """The smaller of both. NaN stays NaN."""
        above = self.builder.fcmp_ordered("<", self.constant(bound), x)
        return self.builder.select(above, self.constant(bound), x)

    def round_to_integer(self, x: Any) -> Any:
        """x rounded, for |x| < 2^22. SSE2 has no instruction for it.

        The sum of x and 1.5 * 2^23 has no bits left for a fraction.
        """
        shifted = self.builder.fadd(x, self.constant(1.5 * 2**23))
        return self.builder.fsub(shifted, self.constant(1.5 * 2**23))

    def sum(self, vector: Any) -> Any:
        """The sum of a vector's numbers, in an order that the machine chooses once for all."""
        kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
        reduce = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32"
        )
        return self.builder.call(reduce, [FLOAT(0.0), vector], fastmath=("reassoc",))

    def largest(self, vector: Any) -> Any:
        """The largest of a vector's numbers."""
        kind = ir.FunctionType(FLOAT, [VECTOR])
        reduce = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fmax.v{LANES}f32"
        )
        return self.builder.call(reduce, [vector])

    def polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        """A polynomial of x by Horner's rule, coefficients of the highest power first."""
        p = self.constant(coefficients[0])
        for c in coefficients[1:]:
            p = self.multiply_add(p, x, self.constant(c))
        return p

    def cell(self, start: Any) -> Any:
        """A new variable that holds `start`."""
        variable = cgutils.alloca_once(self.builder, start.type)
        self.builder.store(start, variable)
        return variable

    @contextmanager
    def loop(self, count: Any, *, may_be_empty: bool = False) -> Iterator[Any]:
        """Repeat what is emitted inside for i = 0 ... count - 1. Yields i.

        Unless it may be empty, `count` is at least 1: the loop tests it after its body.
        """
        index = self.cell(COUNT(0))
        body, after = (self.builder.append_basic_block(name) for name in ("again", "after"))
        if may_be_empty:
            self.builder.cbranch(self.builder.icmp_signed("<", COUNT(0), count), body, after)
        else:
            self.builder.branch(body)
        self.builder.position_at_end(body)
        i = self.builder.load(index)
        yield i
        following = self.builder.add(i, COUNT(1))
        self.builder.store(following, index)
        self.builder.cbranch(self.builder.icmp_signed("<", following, count), body, after)
        self.builder.position_at_end(after)


@intrinsic
def at(typing, array, index):  # type: ignore[no-untyped-def]
    """Pointer to number `index` of a flat array."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        data = context.make_array(array)(context, builder, values[0]).data
        return builder.gep(data, [values[1]])

    return types.CPointer(array.dtype)(array, integer), write


@intrinsic
def floats_at(typing, address):  # type: ignore[no-untyped-def]
    """Pointer to float32 numbers that lie at an address, which keeps no array alive."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.inttoptr(values[0], FLOAT.as_pointer())

    return FLOATS(integer), write


@intrinsic
def move(typing, pointer, numbers):  # type: ignore[no-untyped-def]
    """The pointer moved forward by a count of numbers."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, integer), write
