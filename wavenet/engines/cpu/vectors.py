"""The vector operations that the kernels are made of, written as LLVM instructions.

numba decides by itself which loops become vector instructions, and mixes widths. Here nothing is
left to it. A primitive below is a Python function that numba calls while it compiles
(`@intrinsic`); instead of computing, it emits the instructions. Reading one needs four words:

    pointer   where an array's numbers lie in memory. `at(a, i)` is to compiled code what `a[i:]` is
              to NumPy, without its bookkeeping, and `move(p, n)` is what `p[n:]` would be. Nothing
              checks bounds.
    vector    LANES float32 numbers that one instruction treats alike
    splat     a vector that holds one number LANES times
    cell      a variable of the compiled code, vector or counter; LLVM keeps it in a register

`tests/engines/test_vectors.py` compares every primitive with the same computation in plain NumPy.
Lengths are counted in vectors. Rows of a product may lie anywhere: a step is the distance from one
row to the next, in numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from wavenet.engines.cpu.cpu_features import host

HOST = host()
LANES = HOST.lanes

# LLVM's types.
_FLOAT, _WORD, _COUNT = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_WORD, LANES)

# numba's types.
FLOATS = types.CPointer(types.float32)
_count, _number, _nothing = types.int64, types.float32, types.void

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
subroutine = njit(**OPTIONS)
# For functions of many arguments, which a call would write to memory and read back.
inlined = njit(forceinline=True, **OPTIONS)


class _Writer:
    """Emits vector instructions at the position of `builder`."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, value: float) -> Any:
        return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)

    def splat(self, number: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, number, _WORD(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(_WORDS, [0] * LANES))

    def load(self, pointer: Any, kind: Any = _VECTOR) -> Any:
        loaded = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, vector: Any, pointer: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def move(self, pointer: Any, numbers: Any) -> Any:
        count = numbers if isinstance(numbers, ir.Value) else _COUNT(numbers)
        return self.builder.gep(pointer, [count])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the machine can; see `cpu_features`."""
        if HOST.fused:
            kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
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
        shifted = self.builder.fadd(x, self.constant(_ROUNDER))
        return self.builder.fsub(shifted, self.constant(_ROUNDER))

    def sum(self, vector: Any) -> Any:
        """The sum of a vector's numbers, in an order that the machine chooses once for all."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        reduce = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32"
        )
        return self.builder.call(reduce, [_FLOAT(0.0), vector], fastmath=("reassoc",))

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
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeat what is emitted inside for i = 0 ... count - 1. Yields i.

        `count` is at least 1: the loop tests it after its body.
        """
        index = self.cell(_COUNT(0))
        body, after = (self.builder.append_basic_block(name) for name in ("again", "after"))
        self.builder.branch(body)
        self.builder.position_at_end(body)
        i = self.builder.load(index)
        yield i
        following = self.builder.add(i, _COUNT(1))
        self.builder.store(following, index)
        self.builder.cbranch(self.builder.icmp_signed("<", following, count), body, after)
        self.builder.position_at_end(after)


# --- pointers -------------------------------------------------------------------------------------


@intrinsic
def at(typing, array, index):  # type: ignore[no-untyped-def]
    """Pointer to number `index` of a flat array."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        data = context.make_array(array)(context, builder, values[0]).data
        return builder.gep(data, [values[1]])

    return types.CPointer(array.dtype)(array, _count), write


@intrinsic
def move(typing, pointer, numbers):  # type: ignore[no-untyped-def]
    """The pointer moved forward by a count of numbers."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, _count), write


# --- products -------------------------------------------------------------------------------------


def _weights(w: _Writer, pointer: Any, vectors: int) -> list[Any]:
    """The next `vectors` vectors of weights, as float32.

    Of a word that holds two bf16 numbers, the low half is a number of the first vector, and the
    whole word is read as one of the second: there the low half only adds noise below bf16's own
    precision, which packing has accounted for (see `panels`).
    """
    if pointer.type.pointee == _FLOAT:
        return [w.load(w.move(pointer, LANES * v)) for v in range(vectors)]
    column = []
    for pair in range(vectors // 2):
        words = w.load(w.move(pointer, LANES * pair), _WORDS)
        first = w.builder.shl(words, ir.Constant(_WORDS, [16] * LANES))
        column += [w.builder.bitcast(first, _VECTOR), w.builder.bitcast(words, _VECTOR)]
    return column


def product(vectors: int, rows: int) -> Any:
    """A primitive that multiplies `rows` rows of x by `vectors` vectors of weights.

    Called with (weights, stride, start, start_step, x, x_step, inputs, y, y_step), it computes

        for each row r:
            y[r] = start[r] + sum over i of x[r, i] * weights[i]

    `stride` is the distance from one input's weights to the next. All sums stay in registers, and
    each is formed in the order of its inputs whatever `vectors` and `rows` are. So a stream's
    numbers do not depend on how many others are computed beside it.
    """

    @intrinsic
    def primitive(  # type: ignore[no-untyped-def]
        typing, weights, stride, start, start_step, x, x_step, inputs, y, y_step
    ):
        def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
            weights_, stride_, start_, start_step_, x_, x_step_, inputs_, y_, y_step_ = values
            w = _Writer(builder)

            def row(pointer: Any, step: Any, r: int) -> Any:
                return w.move(pointer, builder.mul(step, _COUNT(r)))

            starts = [
                w.load(w.move(row(start_, start_step_, r), LANES * v))
                for r in range(rows)
                for v in range(vectors)
            ]
            sums = [w.cell(vector) for vector in starts]
            with w.loop(inputs_) as i:
                column = _weights(w, w.move(weights_, builder.mul(i, stride_)), vectors)
                for r in range(rows):
                    factor = w.splat(builder.load(w.move(row(x_, x_step_, r), i)))
                    for v in range(vectors):
                        cell = sums[r * vectors + v]
                        builder.store(w.multiply_add(column[v], factor, builder.load(cell)), cell)
            for r in range(rows):
                for v in range(vectors):
                    target = w.move(row(y_, y_step_, r), LANES * v)
                    w.store(builder.load(sums[r * vectors + v]), target)
            return context.get_dummy_value()

        parameters = (weights, _count, FLOATS, _count, FLOATS, _count, _count, FLOATS, _count)
        return _nothing(*parameters), write

    return primitive


# --- elementwise ----------------------------------------------------------------------------------


def _elementwise(parameters: tuple[Any, ...], emit: Any) -> Any:
    """The type of a primitive that computes y vector by vector, and what emits it.

    The primitive takes `parameters`, arrays and numbers, then y and its length in vectors. `emit`
    is given a writer and a vector for each parameter, and returns one of y.
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        *given, y, vectors = values
        splats = [w.splat(v) if v.type == _FLOAT else None for v in given]
        with w.loop(vectors) as i:
            offset = builder.mul(i, _COUNT(LANES))
            pairs = zip(splats, given, strict=True)
            operands = [splat or w.load(w.move(pointer, offset)) for splat, pointer in pairs]
            w.store(emit(w, *operands), w.move(y, offset))
        return context.get_dummy_value()

    return _nothing(*parameters, FLOATS, _count), write


@intrinsic
def copy(typing, x, y, vectors):  # type: ignore[no-untyped-def]
    """y = x."""
    return _elementwise((FLOATS,), lambda _, x: x)


@intrinsic
def relu(typing, x, y, vectors):  # type: ignore[no-untyped-def]
    """y = max(x, 0), where y may be x."""
    return _elementwise((FLOATS,), lambda w, x: w.at_least(0, x))


@intrinsic
def scale(typing, x, factor, y, vectors):  # type: ignore[no-untyped-def]
    """y = factor * x."""
    return _elementwise((FLOATS, _number), lambda w, x, factor: w.builder.fmul(factor, x))


@intrinsic
def add(typing, a, b, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + b."""
    return _elementwise((FLOATS, FLOATS), lambda w, a, b: w.builder.fadd(a, b))


@intrinsic
def add_interpolated(typing, a, low, high, weight, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + low + weight * (high - low)."""

    def emit(w: _Writer, a: Any, low: Any, high: Any, weight: Any) -> Any:
        return w.multiply_add(weight, w.builder.fsub(high, low), w.builder.fadd(a, low))

    return _elementwise((FLOATS, FLOATS, FLOATS, _number), emit)


# tanh(x) = x p(x^2) / q(x^2): a rational approximation of degree 13 / 6 on |x| <= 7.9, beyond which
# float32 tanh is 1.
_TANH_LIMIT = 7.90531110763549805
_TANH_P = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def _tanh_fraction(w: _Writer, x: Any) -> tuple[Any, Any]:
    """Numerator and denominator of tanh(x)."""
    x = w.at_least(-_TANH_LIMIT, w.at_most(_TANH_LIMIT, x))
    square = w.builder.fmul(x, x)
    return w.builder.fmul(w.polynomial(square, _TANH_P), x), w.polynomial(square, _TANH_Q)


@intrinsic
def gate(typing, x, gate, y, vectors):  # type: ignore[no-untyped-def]
    """y = tanh(x) * sigmoid(gate).

    One division serves both, because sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """

    def emit(w: _Writer, x: Any, gate: Any) -> Any:
        b = w.builder
        above, below = _tanh_fraction(w, x)
        above2, below2 = _tanh_fraction(w, b.fmul(gate, w.constant(0.5)))
        numerator = b.fmul(above, b.fadd(above2, below2))
        return b.fdiv(numerator, b.fmul(b.fmul(below, below2), w.constant(2)))

    return _elementwise((FLOATS, FLOATS), emit)


# e^x = 2^n e^r: 2^n is made of the exponent's bits, and for |r| <= ln(2) / 2 the polynomial
# 1 + r + r^2 p(r) is e^r within 1.2e-7 relative.
_EXP_P = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
    4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
)  # fmt: skip
_ROUNDER = 12582912.0  # 1.5 * 2^23
_LOG2_E = 1.44269504088896341
# ln 2 in two parts. The first has few bits, so that n times it is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4


@intrinsic
def exponentials(typing, x, top, divisor, y, vectors):  # type: ignore[no-untyped-def]
    """y = exp((x - top) / divisor), never below exp(-87)."""

    def emit(w: _Writer, x: Any, top: Any, divisor: Any) -> Any:
        b = w.builder
        x = w.at_least(-87, b.fdiv(b.fsub(x, top), divisor))
        n = w.round_to_integer(b.fmul(x, w.constant(_LOG2_E)))
        r = w.multiply_add(n, w.constant(-_LN2_HIGH), x)
        r = w.multiply_add(n, w.constant(-_LN2_LOW), r)
        p = w.multiply_add(w.polynomial(r, _EXP_P), b.fmul(r, r), b.fadd(r, w.constant(1)))
        biased = b.add(b.fptosi(n, _WORDS), ir.Constant(_WORDS, [127] * LANES))
        power = b.bitcast(b.shl(biased, ir.Constant(_WORDS, [23] * LANES)), _VECTOR)
        return b.fmul(p, power)

    return _elementwise((FLOATS, _number, _number), emit)


@intrinsic
def prefetch(typing, x, vectors):  # type: ignore[no-untyped-def]
    """Start to bring x, which another core wrote, into the cache while other work goes on.

    Changes no result.
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _WORD, _WORD, _WORD])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, all_caches, data = _WORD(0), _WORD(3), _WORD(1)
        with w.loop(values[1]) as i:
            position = w.move(values[0], builder.mul(i, _COUNT(LANES)))
            builder.call(function, [builder.bitcast(position, byte), to_read, all_caches, data])
        return context.get_dummy_value()

    return _nothing(FLOATS, _count), write


@intrinsic
def sum_of(typing, x):  # type: ignore[no-untyped-def]
    """The sum of one vector."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        return w.sum(w.load(values[0]))

    return _number(FLOATS), write


# --- between threads ------------------------------------------------------------------------------


@intrinsic
def publish(typing, pointer, count):  # type: ignore[no-untyped-def]
    """Store a count that another thread waits for.

    A thread that reads it also sees everything written before it (release).
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        builder.store_atomic(values[1], values[0], "release", 8)
        return context.get_dummy_value()

    return _nothing(types.CPointer(types.int64), _count), write


@intrinsic
def published(typing, pointer):  # type: ignore[no-untyped-def]
    """The count that another thread published last.

    All that the other thread wrote before it is visible from here on (acquire).
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.load_atomic(values[0], "acquire", 8)

    return _count(types.CPointer(types.int64)), write
