"""Products of a few rows with a few vectors of weights, whose sums never leave the registers.

A tile is `rows` rows by `vectors` vectors of sums. Weights lie in panels: for each vector of
outputs the weights of all inputs, (vectors, inputs, LANES), so the next vector's are `vector_step`
numbers on. Of arrays of rows, a step is the distance from one row to the next, in numbers.

Sums begin at zero, and what they are added to is added last: it is rounded once, instead of with
every product. What sums become is computed before they are stored: the gates in the forward pass,
the gradient of `h` in the backward pass. z = tanh(filter) * sigmoid(gate) as in `fused_stack`; what
is kept of h (2G numbers) are the tanh of its first half and the sigmoid of its second, `half`
numbers on.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from wavenet.simd.vectors import tanh_fraction
from wavenet.simd.writer import COUNT, FLOATS, LANES, Writer, integer, nothing

COUNTS = types.CPointer(types.int64)


class _Tile:
    """Emits the instructions of one tile; `sums[row][vector]` are its cells."""

    def __init__(self, builder: Any, rows: int, vectors: int) -> None:
        self.w, self.rows, self.vectors = Writer(builder), rows, vectors
        zero = self.w.constant(0)
        self.sums = [[self.w.cell(zero) for _ in range(vectors)] for _ in range(rows)]

    def row(self, pointer: Any, step: Any, row: int) -> Any:
        return self.w.move(pointer, self.w.builder.mul(step, COUNT(row)))

    def add_product(self, weights: Any, vector_step: Any, x: Any, inputs: Any) -> None:
        """sums += x (rows, inputs) @ weights; of 0 inputs, nothing."""
        w, b = self.w, self.w.builder
        columns = [w.move(weights, b.mul(vector_step, COUNT(v))) for v in range(self.vectors)]
        with w.loop(inputs, may_be_empty=True) as i:
            place = b.mul(i, COUNT(LANES))
            column = [w.load(w.move(c, place)) for c in columns]
            for r in range(self.rows):
                factor = w.splat(b.load(w.move(self.row(x, inputs, r), i)))
                self._add(r, column, factor)

    def add_outer(self, a: Any, a_step: Any, b: Any, b_step: Any, count: Any) -> None:
        """sums += a^T @ b, with a (count, rows) and b (count, vectors)."""
        w = self.w
        with w.loop(count) as n:
            from_a = w.move(a, w.builder.mul(a_step, n))
            from_b = w.move(b, w.builder.mul(b_step, n))
            column = [w.load(w.move(from_b, LANES * v)) for v in range(self.vectors)]
            for r in range(self.rows):
                self._add(r, column, w.splat(w.builder.load(w.move(from_a, r))))

    def _add(self, row: int, column: list[Any], factor: Any) -> None:
        for v, cell in enumerate(self.sums[row]):
            total = self.w.multiply_add(column[v], factor, self.w.builder.load(cell))
            self.w.builder.store(total, cell)

    def total(self, row: int, vector: int) -> Any:
        return self.w.builder.load(self.sums[row][vector])


def _taps(tile: _Tile, weights: Any, tap_step: Any, vector_step: Any, taps: Any, lags: Any,
          x: Any, inputs: Any) -> None:  # fmt: skip
    """sums += for each tap, x (rows, inputs) from `lags[tap]` numbers on @ that tap's weights."""
    w, b = tile.w, tile.w.builder
    with w.loop(taps, may_be_empty=True) as k:
        of_tap = w.move(weights, b.mul(tap_step, k))
        tile.add_product(of_tap, vector_step, w.move(x, b.load(b.gep(lags, [k]))), inputs)


def product(rows: int, vectors: int) -> Any:
    """A primitive: y = start + bias + the product of every tap."""

    @intrinsic
    def primitive(  # type: ignore[no-untyped-def]
        typing, weights, tap_step, vector_step, taps, lags, start, start_step, bias,
        x, inputs, y, y_step,
    ):  # fmt: skip
        def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
            weights_, tap_step_, vector_step_, taps_, lags_, start_, start_step_, bias_ = values[:8]
            x_, inputs_, y_, y_step_ = values[8:]
            tile = _Tile(builder, rows, vectors)
            w = tile.w
            _taps(tile, weights_, tap_step_, vector_step_, taps_, lags_, x_, inputs_)
            biases = [w.load(w.move(bias_, LANES * v)) for v in range(vectors)]
            for r in range(rows):
                for v in range(vectors):
                    given = w.load(w.move(tile.row(start_, start_step_, r), LANES * v))
                    total = builder.fadd(given, builder.fadd(tile.total(r, v), biases[v]))
                    w.store(total, w.move(tile.row(y_, y_step_, r), LANES * v))
            return context.get_dummy_value()

        parameters = (FLOATS, integer, integer, integer, COUNTS, FLOATS, integer, FLOATS)
        return nothing(*parameters, FLOATS, integer, FLOATS, integer), write

    return primitive


def gated(rows: int) -> Any:
    """A primitive: h = start + the product of every tap, of one vector of each half.

    kept = tanh and sigmoid of h's halves, z = their product.
    """

    @intrinsic
    def primitive(  # type: ignore[no-untyped-def]
        typing, weights, tap_step, gate_step, taps, lags, start, start_step,
        x, inputs, half, kept, kept_step, z, z_step,
    ):  # fmt: skip
        def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
            weights_, tap_step_, gate_step_, taps_, lags_, start_, start_step_ = values[:7]
            x_, inputs_, half_, kept_, kept_step_, z_, z_step_ = values[7:]
            tile = _Tile(builder, rows, 2)
            w = tile.w
            _taps(tile, weights_, tap_step_, gate_step_, taps_, lags_, x_, inputs_)
            for r in range(rows):
                first = tile.row(start_, start_step_, r)
                of_filter = builder.fadd(tile.total(r, 0), w.load(first))
                of_gate = builder.fadd(tile.total(r, 1), w.load(w.move(first, half_)))
                tanh, sigmoid = _activations(w, of_filter, of_gate)
                to_keep = tile.row(kept_, kept_step_, r)
                w.store(tanh, to_keep)
                w.store(sigmoid, w.move(to_keep, half_))
                w.store(builder.fmul(tanh, sigmoid), tile.row(z_, z_step_, r))
            return context.get_dummy_value()

        parameters = (FLOATS, integer, integer, integer, COUNTS, FLOATS, integer)
        return nothing(*parameters, FLOATS, integer, integer, *(FLOATS, integer) * 2), write

    return primitive


def _activations(w: Writer, x: Any, gate: Any) -> tuple[Any, Any]:
    """tanh(x) and sigmoid(gate) with one division: sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    b = w.builder
    above, below = tanh_fraction(w, x)
    above2, below2 = tanh_fraction(w, b.fmul(gate, w.constant(0.5)))
    inverse = b.fdiv(w.constant(0.5), b.fmul(below, below2))
    tanh = b.fmul(b.fmul(above, below2), b.fadd(inverse, inverse))
    return tanh, b.fmul(b.fmul(b.fadd(above2, below2), below), inverse)


def gates_gradient(rows: int, vectors: int) -> Any:
    """A primitive: dz = the products of two kinds of rows; with it, what is kept becomes dh.

    z = tanh * sigmoid is filled again on the way. Either kind of rows may have 0 inputs.
    """

    @intrinsic
    def primitive(  # type: ignore[no-untyped-def]
        typing, w1, x1, inputs1, w2, x2, inputs2, half, kept, kept_step, z, z_step
    ):
        def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
            w1_, x1_, inputs1_, w2_, x2_, inputs2_, half_, kept_, kept_step_, z_, z_step_ = values
            tile, b = _Tile(builder, rows, vectors), builder
            w = tile.w
            tile.add_product(w1_, b.mul(inputs1_, COUNT(LANES)), x1_, inputs1_)
            tile.add_product(w2_, b.mul(inputs2_, COUNT(LANES)), x2_, inputs2_)
            one = w.constant(1)
            for r in range(rows):
                for v in range(vectors):
                    of_filter = w.move(tile.row(kept_, kept_step_, r), LANES * v)
                    of_gate = w.move(of_filter, half_)
                    tanh, sigmoid, dz = w.load(of_filter), w.load(of_gate), tile.total(r, v)
                    value = b.fmul(tanh, sigmoid)
                    w.store(value, w.move(tile.row(z_, z_step_, r), LANES * v))
                    slope = b.fsub(one, b.fmul(tanh, tanh))
                    w.store(b.fmul(b.fmul(dz, sigmoid), slope), of_filter)
                    w.store(b.fmul(b.fmul(dz, value), b.fsub(one, sigmoid)), of_gate)
            return context.get_dummy_value()

        parameters = (FLOATS, FLOATS, integer) * 2
        return nothing(*parameters, integer, FLOATS, integer, FLOATS, integer), write

    return primitive


def outer(rows: int, vectors: int) -> Any:
    """A primitive: total (rows, vectors) += a^T @ b, with a (count, rows), b (count, vectors)."""

    @intrinsic
    def primitive(typing, a, a_step, b, b_step, count, total, total_step):  # type: ignore[no-untyped-def]
        def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
            *operands, total_, total_step_ = values
            tile = _Tile(builder, rows, vectors)
            tile.add_outer(*operands)
            for r in range(rows):
                for v in range(vectors):
                    place = tile.w.move(tile.row(total_, total_step_, r), LANES * v)
                    tile.w.store(builder.fadd(tile.w.load(place), tile.total(r, v)), place)
            return context.get_dummy_value()

        return nothing(FLOATS, integer, FLOATS, integer, integer, FLOATS, integer), write

    return primitive


@intrinsic
def add_rows(typing, x, x_step, count, total):  # type: ignore[no-untyped-def]
    """total (one vector) += the sum of the first vector of each of some rows."""

    def write(context, builder, signature, values):  # type: ignore[no-untyped-def]
        x_, x_step_, count_, total_ = values
        w = Writer(builder)
        cell = w.cell(w.constant(0))
        with w.loop(count_) as n:
            row = w.load(w.move(x_, builder.mul(x_step_, n)))
            builder.store(builder.fadd(builder.load(cell), row), cell)
        w.store(builder.fadd(w.load(total_), builder.load(cell)), total_)
        return context.get_dummy_value()

    return nothing(FLOATS, integer, integer, FLOATS), write
