"""The vector operations that the kernels are made of.

`writer` says how they are written. `tests/simd/test_vectors.py` compares each with the same
computation in plain NumPy. Lengths are counted in vectors. Rows of a product may lie anywhere: a
step is the distance from one row to the next, in numbers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from wavenet.simd.writer import (
    COUNT,
    FLOAT,
    FLOATS,
    LANES,
    VECTOR,
    WORD,
    WORDS,
    Writer,
    integer,
    nothing,
    number,
)

# --- products -------------------------------------------------------------------------------------


def _weights(w: Writer, pointer: Any, vectors: int) -> list[Any]:
    """The next `vectors` vectors of weights, as float32.

    Of a word that holds two bf16 numbers, the low half is a number of the first vector, and the
    whole word is read as one of the second: there the low half only adds noise below bf16's own
    precision, which packing has accounted for (see `panels`).
    """
    if pointer.type.pointee == FLOAT:
        return [w.load(w.move(pointer, LANES * v)) for v in range(vectors)]
    column = []
    for pair in range(vectors // 2):
        words = w.load(w.move(pointer, LANES * pair), WORDS)
        first = w.builder.shl(words, ir.Constant(WORDS, [16] * LANES))
        column += [w.builder.bitcast(first, VECTOR), w.builder.bitcast(words, VECTOR)]
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
            w = Writer(builder)

            def row(pointer: Any, step: Any, r: int) -> Any:
                return w.move(pointer, builder.mul(step, COUNT(r)))

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

        parameters = (weights, integer, FLOATS, integer, FLOATS, integer, integer, FLOATS, integer)
        return nothing(*parameters), write

    return primitive


# --- elementwise ----------------------------------------------------------------------------------


def _elementwise(parameters: tuple[Any, ...], emit: Any) -> Any:
    """The type of a primitive that computes y vector by vector, and what emits it.

    The primitive takes `parameters`, arrays and numbers, then y and its length in vectors. `emit`
    is given a writer and a vector for each parameter, and returns one of y.
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = Writer(builder)
        *given, y, vectors = values
        splats = [w.splat(v) if v.type == FLOAT else None for v in given]
        with w.loop(vectors) as i:
            offset = builder.mul(i, COUNT(LANES))
            pairs = zip(splats, given, strict=True)
            operands = [splat or w.load(w.move(pointer, offset)) for splat, pointer in pairs]
            w.store(emit(w, *operands), w.move(y, offset))
        return context.get_dummy_value()

    return nothing(*parameters, FLOATS, integer), write


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
    return _elementwise((FLOATS, number), lambda w, x, factor: w.builder.fmul(factor, x))


@intrinsic
def add(typing, a, b, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + b."""
    return _elementwise((FLOATS, FLOATS), lambda w, a, b: w.builder.fadd(a, b))


@intrinsic
def add_interpolated(typing, a, low, high, weight, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + low + weight * (high - low)."""

    def emit(w: Writer, a: Any, low: Any, high: Any, weight: Any) -> Any:
        return w.multiply_add(weight, w.builder.fsub(high, low), w.builder.fadd(a, low))

    return _elementwise((FLOATS, FLOATS, FLOATS, number), emit)


# tanh(x) = x p(x^2) / q(x^2): a rational approximation of degree 13 / 6 on |x| <= 7.9, beyond which
# float32 tanh is 1.
_TANH_LIMIT = 7.90531110763549805
_TANH_P = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def tanh_fraction(w: Writer, x: Any) -> tuple[Any, Any]:
    """Numerator and denominator of tanh(x)."""
    x = w.at_least(-_TANH_LIMIT, w.at_most(_TANH_LIMIT, x))
    square = w.builder.fmul(x, x)
    return w.builder.fmul(w.polynomial(square, _TANH_P), x), w.polynomial(square, _TANH_Q)


@intrinsic
def gate(typing, x, gate, y, vectors):  # type: ignore[no-untyped-def]
    """y = tanh(x) * sigmoid(gate).

    One division serves both, because sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """

    def emit(w: Writer, x: Any, gate: Any) -> Any:
        b = w.builder
        above, below = tanh_fraction(w, x)
        above2, below2 = tanh_fraction(w, b.fmul(gate, w.constant(0.5)))
        numerator = b.fmul(above, b.fadd(above2, below2))
        return b.fdiv(numerator, b.fmul(b.fmul(below, below2), w.constant(2)))

    return _elementwise((FLOATS, FLOATS), emit)


# e^x = 2^n e^r: 2^n is made of the exponent's bits, and for |r| <= ln(2) / 2 the polynomial
# 1 + r + r^2 p(r) is e^r within 1.2e-7 relative.
_EXP_P = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
    4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
)  # fmt: skip
_LOG2_E = 1.44269504088896341
# ln 2 in two parts. The first has few bits, so that n times it is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4


@intrinsic
def exponentials(typing, x, top, divisor, y, vectors):  # type: ignore[no-untyped-def]
    """y = exp((x - top) / divisor), never below exp(-87)."""

    def emit(w: Writer, x: Any, top: Any, divisor: Any) -> Any:
        b = w.builder
        x = w.at_least(-87, b.fdiv(b.fsub(x, top), divisor))
        n = w.round_to_integer(b.fmul(x, w.constant(_LOG2_E)))
        r = w.multiply_add(n, w.constant(-_LN2_HIGH), x)
        r = w.multiply_add(n, w.constant(-_LN2_LOW), r)
        p = w.multiply_add(w.polynomial(r, _EXP_P), b.fmul(r, r), b.fadd(r, w.constant(1)))
        biased = b.add(b.fptosi(n, WORDS), ir.Constant(WORDS, [127] * LANES))
        power = b.bitcast(b.shl(biased, ir.Constant(WORDS, [23] * LANES)), VECTOR)
        return b.fmul(p, power)

    return _elementwise((FLOATS, number, number), emit)


@intrinsic
def prefetch(typing, x, vectors):  # type: ignore[no-untyped-def]
    """Start to bring x, which another core wrote, into the cache while other work goes on.

    Changes no result.
    """

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = Writer(builder)
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, WORD, WORD, WORD])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, all_caches, data = WORD(0), WORD(3), WORD(1)
        with w.loop(values[1]) as i:
            position = w.move(values[0], builder.mul(i, COUNT(LANES)))
            builder.call(function, [builder.bitcast(position, byte), to_read, all_caches, data])
        return context.get_dummy_value()

    return nothing(FLOATS, integer), write


def _reduced(w: Writer, x: Any, vectors: Any, start: float, merge: Any) -> Any:
    """One vector of what `merge` makes of all vectors of x."""
    cell = w.cell(w.constant(start))
    with w.loop(vectors) as i:
        row = w.load(w.move(x, w.builder.mul(i, COUNT(LANES))))
        w.builder.store(merge(w.builder.load(cell), row), cell)
    return w.builder.load(cell)


@intrinsic
def total(typing, x, vectors):  # type: ignore[no-untyped-def]
    """The sum of x."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = Writer(builder)
        return w.sum(_reduced(w, values[0], values[1], 0, builder.fadd))

    return number(FLOATS, integer), write


@intrinsic
def largest(typing, x, vectors):  # type: ignore[no-untyped-def]
    """The largest number of x; what is not a number may be left out."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = Writer(builder)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", b, a), b, a)

        return w.largest(_reduced(w, values[0], values[1], -np.inf, larger))

    return number(FLOATS, integer), write


@intrinsic
def sum_of(typing, x):  # type: ignore[no-untyped-def]
    """The sum of one vector."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = Writer(builder)
        return w.sum(w.load(values[0]))

    return number(FLOATS), write
