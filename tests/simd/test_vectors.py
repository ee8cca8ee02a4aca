"""Each vector primitive computes what plain NumPy computes."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from tests.helpers import SMALL, arrays, network
from wavenet.engines.cpu.panels import (
    aligned,
    bf16_pairs,
    dequantised,
    from_bf16_pairs,
    padded,
    panel_sizes,
    panels,
)
from wavenet.engines.weights import PackedWeights, pack
from wavenet.simd import counts, vectors
from wavenet.simd.writer import LANES, at, move

_one, _rows = vectors.product(2, 1), vectors.product(2, 4)


@njit
def run_product(tall, weights, start, x, y, inputs):  # type: ignore[no-untyped-def]
    stride, n = len(weights) // inputs, 2 * LANES
    w, start, x, y = at(weights, 0), at(start, 0), at(x, 0), at(y, 0)
    if tall:
        _rows(w, stride, start, n, x, inputs, inputs, y, n)
    else:
        _one(w, stride, start, 0, x, 0, inputs, y, 0)


@njit
def run_elementwise(a, b, total, gated, copied, clipped, powers, mixed, doubled, top, divisor):  # type: ignore[no-untyped-def]
    n = len(a) // LANES
    vectors.prefetch(at(a, 0), n)
    vectors.add(at(a, 0), at(b, 0), at(total, 0), n)
    vectors.gate(at(a, 0), at(a, len(a) // 2), at(gated, 0), n // 2)
    vectors.copy(at(a, 0), at(copied, 0), n)
    vectors.copy(at(a, 0), at(clipped, 0), n)
    vectors.relu(move(at(clipped, 0), LANES), at(clipped, LANES), n - 1)
    vectors.scale(at(a, 0), np.float32(2), at(doubled, 0), n)
    vectors.exponentials(at(a, 0), top, divisor, at(powers, 0), n)
    vectors.add_interpolated(at(a, 0), at(b, 0), at(copied, 0), np.float32(0.25), at(mixed, 0), n)
    return vectors.sum_of(at(a, LANES))


@njit
def run_reductions(a):  # type: ignore[no-untyped-def]
    n = len(a) // LANES
    return vectors.total(at(a, 0), n), vectors.largest(at(a, 0), n)


@njit
def run_counts(flags):  # type: ignore[no-untyped-def]
    counts.publish(at(flags, 3), 41)
    return counts.published(at(flags, 3)) + counts.published(at(flags, 2))


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("rows", [1, 4])
def test_products(kind: str, rows: int) -> None:
    generator = np.random.default_rng(0)
    inputs, outputs = 23, 2 * LANES
    matrix = generator.standard_normal((inputs, outputs)).astype(np.float32)
    x, start = generator.standard_normal((rows, inputs)), generator.standard_normal((rows, outputs))
    y = aligned((rows, outputs))
    weights = panels(matrix, kind)
    rounded = matrix if kind == "fp32" else from_bf16_pairs(bf16_pairs(matrix))
    flat = [a.astype(np.float32).ravel() for a in (start, x)]
    run_product(rows > 1, weights, *flat, y.reshape(-1), inputs)
    np.testing.assert_allclose(y, start + x @ rounded.astype(np.float64), atol=5e-6)


def elementwise(a: Any, top: float = 0.0, divisor: float = 1.0) -> dict[str, Any]:
    n = len(a)
    b = np.arange(n, dtype=np.float32)
    results = {
        name: aligned(n)
        for name in ("total", "gated", "copied", "clipped", "powers", "mixed", "doubled")
    }
    results["sum"] = run_elementwise(a, b, *results.values(), np.float32(top), np.float32(divisor))
    return results | {"b": b}


def test_elementwise() -> None:
    a = np.random.default_rng(1).normal(0, 3, 8 * LANES).astype(np.float32)
    results = elementwise(a, top=2.5, divisor=0.7)
    b = results["b"]
    assert (results["total"] == a + b).all()
    assert (results["copied"] == a).all()
    assert (results["doubled"] == 2 * a).all()
    assert (results["clipped"] == np.concatenate([a[:LANES], np.maximum(a[LANES:], 0)])).all()
    np.testing.assert_allclose(results["mixed"], a + 0.75 * b + 0.25 * a, rtol=1e-6, atol=1e-5)
    half = len(a) // 2
    double = a.astype(np.float64)
    gated = np.tanh(double[:half]) / (1 + np.exp(-double[half:]))
    np.testing.assert_allclose(results["gated"][:half], gated, atol=1e-6)
    np.testing.assert_allclose(results["powers"], np.exp((double - 2.5) / 0.7), rtol=2e-6)
    assert results["sum"] == pytest.approx(double[LANES : 2 * LANES].sum(), abs=1e-5)


def test_reductions() -> None:
    a = np.random.default_rng(1).normal(-3, 1, 7 * LANES).astype(np.float32)
    for place in (0, LANES, len(a) - 1):
        a[place] = 5 + place
        total, largest = run_reductions(a)
        assert total == pytest.approx(a.astype(np.float64).sum(), rel=1e-6)
        assert largest == a.max()
    a[:] = -np.inf
    assert run_reductions(a)[1] == -np.inf


@pytest.mark.parametrize("range_", [0.1, 1, 10, 100])
def test_gate_and_exponential_are_close_everywhere(range_: float) -> None:
    a = np.linspace(-range_, range_, 512 * LANES).astype(np.float32)
    a = np.concatenate([a, np.random.default_rng(0).permutation(a)])
    results, double, half = elementwise(a), a.astype(np.float64), len(a) // 2
    gated = np.tanh(double[:half]) / (1 + np.exp(-double[half:]))
    np.testing.assert_allclose(results["gated"][:half], gated, atol=6e-7)
    inside = np.abs(double) < 87
    np.testing.assert_allclose(results["powers"][inside], np.exp(double[inside]), rtol=3e-7)
    assert results["powers"][double < -88].max(initial=0) <= np.float32(np.exp(-86.9))


def test_what_is_not_a_number_stays_so() -> None:
    """It must reach the logits, where it is looked for."""
    a = np.full(4 * LANES, np.nan, np.float32)
    results = elementwise(a)
    for name in ("total", "copied", "clipped", "doubled"):
        assert np.isnan(results[name]).all(), name
    assert np.isnan(results["gated"][: 2 * LANES]).all()


def test_published_counts_are_read() -> None:
    assert run_counts(np.zeros(4, np.int64)) == 41


# --- packing --------------------------------------------------------------------------------------


def test_panels_hold_every_weight_once() -> None:
    assert panel_sizes(22) == [8, 8, 4, 2]
    assert padded(1) == 2 * LANES
    assert padded(2 * LANES + 1) == 4 * LANES
    outputs = 10 * LANES
    matrix = np.arange(3 * outputs, dtype=np.float32).reshape(3, outputs)
    flat = panels(matrix, "fp32")
    assert sorted(flat) == sorted(matrix.ravel())
    assert (flat[: 8 * LANES] == matrix[0, : 8 * LANES]).all()
    assert (flat[8 * LANES : 16 * LANES] == matrix[1, : 8 * LANES]).all()
    assert (flat[24 * LANES : 26 * LANES] == matrix[0, 8 * LANES :]).all()


def test_bf16_words_hold_the_nearest_weights() -> None:
    generator = np.random.default_rng(0)
    scales = 10.0 ** generator.integers(-20, 20, (50, 4 * LANES))
    panel = (generator.standard_normal((50, 4 * LANES)) * scales).astype(np.float32)
    rounded = from_bf16_pairs(bf16_pairs(panel))
    # Half a step of 8 bits, and of the low halves' noise.
    assert np.abs(rounded / panel - 1).max() <= 2**-8
    pairs = panel.reshape(50, 2, 2, LANES)
    naive = (pairs.view(np.uint32) + np.uint32(0x8000) & np.uint32(0xFFFF0000)).view(np.float32)
    words = naive[:, :, 1].view(np.uint32) | naive[:, :, 0].view(np.uint32) >> np.uint32(16)
    noisy = words.view(np.float32)
    high = pairs[:, :, 1]
    chosen = rounded.reshape(50, 2, 2, LANES)[:, :, 1]
    assert np.abs(chosen / high - 1).mean() < 0.8 * np.abs(noisy / high - 1).mean()
    special = np.zeros((1, 2 * LANES), np.float32)
    special[0, :2], special[0, LANES : LANES + 2] = (3.4e38, -0.0), (-3.4e38, 1e-45)
    assert np.isfinite(from_bf16_pairs(bf16_pairs(special))).all()


def test_weights_rounded_to_bf16_are_close_and_biases_exact() -> None:
    packed = pack(SMALL, arrays(network(SMALL)))
    rounded = dequantised(packed, "bf16")
    for name, a, b in zip(PackedWeights._fields, packed, rounded, strict=True):
        exact = "bias" in name or name in ("embedding", "offsets", "pyramid")
        for one, other in zip(a, b, strict=True) if name == "conv" else [(a, b)]:
            assert np.shape(one) == np.shape(other)
            assert np.all(one == other) == exact, name
            assert exact or np.allclose(one, other, rtol=2**-8), name


def test_every_primitive_is_compared_here() -> None:
    from numba.core.extending import _Intrinsic

    primitives = {name for name, value in vars(vectors).items() if isinstance(value, _Intrinsic)}
    called = {
        ast.unparse(n.func)
        for n in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(n, ast.Call)
    }
    assert primitives == {name for name in primitives if {name, f"vectors.{name}"} & called}
    assert isinstance(_one, Callable)  # type: ignore[arg-type]
