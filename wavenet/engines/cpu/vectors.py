"""The few vector operations that the kernels are made of, each written as LLVM instructions on whole vectors.

numba decides by itself which loops become vector instructions, and mixes widths; here nothing is left to it. A primitive below is
a Python function that numba calls while it compiles (`@intrinsic`); instead of computing, it writes down the instructions. Reading
one needs four words:

    pointer   where an array's numbers lie in memory. `at(a, i)` is to compiled code what `a[i:]` is to NumPy, without its
              bookkeeping, and `move(p, n)` is what `p[n:]` would be. Nothing checks bounds.
    vector    LANES float32 numbers that one instruction treats alike
    splat     a vector that holds one number LANES times
    cell      a variable of the compiled code, vector or counter; LLVM keeps it in a register

Every primitive has a twin in plain NumPy at its side in `tests/engines/test_vectors.py`, and the two are compared there.
Lengths are counted in vectors. Rows of a product may lie anywhere: a step says how far one is from the next.
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

_FLOAT, _WORD, _COUNT = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_WORD, LANES)
FLOATS = types.CPointer(types.float32)
_count, _number, _nothing = types.int64, types.float32, types.void

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
part = njit(**OPTIONS)
inlined = njit(
    forceinline=True, **OPTIONS
)  # their many arguments would else be written to memory and read back at each call


class _Writer:
    """Writes vector instructions at the place where `builder` stands."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, value: float) -> Any:
        return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)

    def splat(self, number: Any) -> Any:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, number, _WORD(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(_WORDS, [0] * LANES))

    def load(self, pointer: Any, kind: Any = _VECTOR) -> Any:
        found = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        found.align = 4
        return found

    def store(self, vector: Any, pointer: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def move(self, pointer: Any, numbers: Any) -> Any:
        return self.builder.gep(
            pointer, [numbers if isinstance(numbers, ir.Value) else _COUNT(numbers)]
        )

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the machine can; see `host`."""
        if HOST.fused:
            return self.call("llvm.fma", a, b, c)
        return self.builder.fadd(
            self.builder.fmul(a, b, flags=("contract",)), c, flags=("contract",)
        )

    def call(self, name: str, *vectors: Any) -> Any:
        """One of LLVM's own functions of vectors."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(vectors))
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, f"{name}.v{LANES}f32"),
            vectors,
        )

    def at_least(self, bound: float, x: Any) -> Any:
        """The larger of both; NaN stays NaN, so that it reaches the logits, where it is noticed."""
        return self.builder.select(
            self.builder.fcmp_ordered(">", self.constant(bound), x), self.constant(bound), x
        )

    def at_most(self, bound: float, x: Any) -> Any:
        """The smaller of both; NaN stays NaN."""
        return self.builder.select(
            self.builder.fcmp_ordered("<", self.constant(bound), x), self.constant(bound), x
        )

    def nearest_whole(self, x: Any) -> Any:
        """x rounded, for |x| < 2^22: beside 1.5 * 2^23 no fraction fits. SSE2 has no instruction for it."""
        return self.builder.fsub(
            self.builder.fadd(x, self.constant(_ROUNDER)), self.constant(_ROUNDER)
        )

    def sum(self, vector: Any) -> Any:
        """The sum of a vector's numbers; in which order is the machine's choice, the same each time."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        reduce = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32"
        )
        return self.builder.call(reduce, [_FLOAT(0.0), vector], fastmath=("reassoc",))

    def polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        """Highest power first (Horner)."""
        p = self.constant(coefficients[0])
        for c in coefficients[1:]:
            p = self.multiply_add(p, x, self.constant(c))
        return p

    def cell(self, start: Any) -> Any:
        """A variable that holds `start` now."""
        variable = cgutils.alloca_once(self.builder, start.type)
        self.builder.store(start, variable)
        return variable

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeat what is written inside for i = 0 ... count - 1; count is at least 1. Yields i."""
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


# --- pointers ----------------------------------------------------------------------------------------------------------


@intrinsic
def at(typing, array, index):  # type: ignore[no-untyped-def]
    """Pointer to number `index` of a flat array."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.gep(context.make_array(array)(context, builder, values[0]).data, [values[1]])

    return types.CPointer(array.dtype)(array, _count), write


@intrinsic
def move(typing, pointer, numbers):  # type: ignore[no-untyped-def]
    """The pointer `numbers` further on."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, _count), write


# --- products ----------------------------------------------------------------------------------------------------------


def _weights(w: _Writer, pointer: Any, vectors: int) -> list[Any]:
    """`vectors` vectors of weights. Of bf16 pairs, a word's low half is a number of the first vector and the whole word one of the
    second: the low half only adds noise below bf16's own precision, which packing has accounted for."""
    if pointer.type.pointee == _FLOAT:
        return [w.load(w.move(pointer, LANES * v)) for v in range(vectors)]
    found = []
    for pair in range(vectors // 2):
        words = w.load(w.move(pointer, LANES * pair), _WORDS)
        first = w.builder.shl(words, ir.Constant(_WORDS, [16] * LANES))
        found += [w.builder.bitcast(first, _VECTOR), w.builder.bitcast(words, _VECTOR)]
    return found


def product(vectors: int, rows: int) -> Any:
    """The primitive (weights, stride, start, start_step, x, x_step, inputs, y, y_step) that computes, for each row r,

        y[r] = start[r] + sum over i of x[r, i] * weights[i]        of `vectors` vectors

    `stride` is the way from one input's weights to the next. All sums stay in registers, and each is formed in the order of its
    inputs whatever `vectors` and `rows` are: so a stream's numbers do not depend on its companions.
    """

    @intrinsic
    def primitive(typing, weights, stride, start, start_step, x, x_step, inputs, y, y_step):  # type: ignore[no-untyped-def]
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
                    w.store(
                        builder.load(sums[r * vectors + v]), w.move(row(y_, y_step_, r), LANES * v)
                    )
            return context.get_dummy_value()

        parameters = (weights, _count, FLOATS, _count, FLOATS, _count, _count, FLOATS, _count)
        return _nothing(*parameters), write

    return primitive


# --- elementwise ---------------------------------------------------------------------------------------------------------

# tanh(x) = x p(x^2) / q(x^2): a rational approximation of degree 13 / 6 on |x| <= 7.9, beyond which float32 tanh is 1
_TANH_LIMIT = 7.90531110763549805
_TANH_P = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def _tanh_fraction(w: _Writer, x: Any) -> tuple[Any, Any]:
    """tanh as numerator and denominator."""
    x = w.at_least(-_TANH_LIMIT, w.at_most(_TANH_LIMIT, x))
    square = w.builder.fmul(x, x)
    return w.builder.fmul(w.polynomial(square, _TANH_P), x), w.polynomial(square, _TANH_Q)


@intrinsic
def gate(typing, h, half, z, vectors):  # type: ignore[no-untyped-def]
    """z = tanh(h[:n]) * sigmoid(h[half : half + n]), with one division for both: sigmoid(x) = (1 + tanh(x / 2)) / 2."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        h_, half_, z_, vectors_ = values
        w = _Writer(builder)
        with w.loop(vectors_) as i:
            place = w.move(h_, builder.mul(i, _COUNT(LANES)))
            above, below = _tanh_fraction(w, w.load(place))
            above2, below2 = _tanh_fraction(
                w, builder.fmul(w.load(w.move(place, half_)), w.constant(0.5))
            )
            numerator = builder.fmul(above, builder.fadd(above2, below2))
            denominator = builder.fmul(builder.fmul(below, below2), w.constant(2))
            w.store(builder.fdiv(numerator, denominator), w.move(z_, builder.mul(i, _COUNT(LANES))))
        return context.get_dummy_value()

    return _nothing(FLOATS, _count, FLOATS, _count), write


@intrinsic
def copy(typing, x, y, vectors):  # type: ignore[no-untyped-def]
    """y = x."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        with w.loop(values[2]) as i:
            offset = builder.mul(i, _COUNT(LANES))
            w.store(w.load(w.move(values[0], offset)), w.move(values[1], offset))
        return context.get_dummy_value()

    return _nothing(FLOATS, FLOATS, _count), write


@intrinsic
def scaled(typing, x, factor, y, vectors):  # type: ignore[no-untyped-def]
    """y = factor * x."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        factor_ = w.splat(values[1])
        with w.loop(values[3]) as i:
            offset = builder.mul(i, _COUNT(LANES))
            w.store(
                builder.fmul(factor_, w.load(w.move(values[0], offset))), w.move(values[2], offset)
            )
        return context.get_dummy_value()

    return _nothing(FLOATS, _number, FLOATS, _count), write


@intrinsic
def add(typing, a, b, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + b."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        with w.loop(values[3]) as i:
            offset = builder.mul(i, _COUNT(LANES))
            total = builder.fadd(
                w.load(w.move(values[0], offset)), w.load(w.move(values[1], offset))
            )
            w.store(total, w.move(values[2], offset))
        return context.get_dummy_value()

    return _nothing(FLOATS, FLOATS, FLOATS, _count), write


@intrinsic
def between(typing, a, low, high, share, y, vectors):  # type: ignore[no-untyped-def]
    """y = a + low + share * (high - low)."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        share_ = w.splat(values[3])
        with w.loop(values[5]) as i:
            offset = builder.mul(i, _COUNT(LANES))
            a_, low_, high_ = (w.load(w.move(pointer, offset)) for pointer in values[:3])
            total = w.multiply_add(share_, builder.fsub(high_, low_), builder.fadd(a_, low_))
            w.store(total, w.move(values[4], offset))
        return context.get_dummy_value()

    return _nothing(FLOATS, FLOATS, FLOATS, _number, FLOATS, _count), write


@intrinsic
def fetch(typing, x, vectors):  # type: ignore[no-untyped-def]
    """Have x brought into the cache while other work goes on: it was written by another core. Changes nothing."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _WORD, _WORD, _WORD])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with w.loop(values[1]) as i:
            place = w.move(values[0], builder.mul(i, _COUNT(LANES)))
            builder.call(
                prefetch, [builder.bitcast(place, byte), _WORD(0), _WORD(3), _WORD(1)]
            )  # to read; all caches; data
        return context.get_dummy_value()

    return _nothing(FLOATS, _count), write


@intrinsic
def relu(typing, x, vectors):  # type: ignore[no-untyped-def]
    """x = max(x, 0), in place."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        with w.loop(values[1]) as i:
            place = w.move(values[0], builder.mul(i, _COUNT(LANES)))
            w.store(w.at_least(0, w.load(place)), place)
        return context.get_dummy_value()

    return _nothing(FLOATS, _count), write


# e^x = 2^n e^r: n from the exponent's bits, and for |r| <= ln(2) / 2 the polynomial 1 + r + r^2 p(r), within 1.2e-7 relative
_EXP_P = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_ROUNDER = 12582912.0
_LOG2_E, _LN2_HIGH, _LN2_LOW = (
    1.44269504088896341,
    0.693359375,
    -2.12194440e-4,
)  # ln 2 in two parts, the first exact in few bits


@intrinsic
def exponentials(typing, x, top, divisor, y, vectors):  # type: ignore[no-untyped-def]
    """y = exp((x - top) / divisor), never below exp(-87)."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        x_, top_, divisor_, y_, vectors_ = values
        w = _Writer(builder)
        top_, divisor_ = w.splat(top_), w.splat(divisor_)
        with w.loop(vectors_) as i:
            offset = builder.mul(i, _COUNT(LANES))
            x_now = builder.fdiv(builder.fsub(w.load(w.move(x_, offset)), top_), divisor_)
            x_now = w.at_least(-87, x_now)
            n = w.nearest_whole(builder.fmul(x_now, w.constant(_LOG2_E)))
            r = w.multiply_add(n, w.constant(-_LN2_HIGH), x_now)
            r = w.multiply_add(n, w.constant(-_LN2_LOW), r)
            p = w.multiply_add(
                w.polynomial(r, _EXP_P), builder.fmul(r, r), builder.fadd(r, w.constant(1))
            )
            biased = builder.add(builder.fptosi(n, _WORDS), ir.Constant(_WORDS, [127] * LANES))
            power = builder.bitcast(builder.shl(biased, ir.Constant(_WORDS, [23] * LANES)), _VECTOR)
            w.store(builder.fmul(p, power), w.move(y_, offset))
        return context.get_dummy_value()

    return _nothing(FLOATS, _number, _number, FLOATS, _count), write


@intrinsic
def sum_of(typing, x):  # type: ignore[no-untyped-def]
    """The sum of one vector."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        w = _Writer(builder)
        return w.sum(w.load(values[0]))

    return _number(FLOATS), write


# --- between threads -----------------------------------------------------------------------------------------------------


@intrinsic
def publish(typing, place, value):  # type: ignore[no-untyped-def]
    """Store a count that another thread waits for. Everything written before is visible to who reads it (release)."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        builder.store_atomic(values[1], values[0], "release", 8)
        return context.get_dummy_value()

    return _nothing(types.CPointer(types.int64), _count), write


@intrinsic
def published(typing, place):  # type: ignore[no-untyped-def]
    """The count that another thread stored last, with all that it wrote before (acquire)."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.load_atomic(values[0], "acquire", 8)

    return _count(types.CPointer(types.int64)), write
