"""The roofline of generation on this machine: how fast it reads weights and how fast it multiplies.

Both are measured with the kernels' own products. A sample of one stream has to read every weight of
the newest taps, the residual and skip paths and the head once, and the weights of the older taps
once per block of steps; and it has to multiply by all of them. Whichever takes longer is the bound.
Caches that keep some of the weights are part of the measurement: it runs over as many bytes as the
model has.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.cpu.panels import BLOCK, PANEL, aligned, padded, padded_gate
from wavenet.engines.options import PRECISIONS
from wavenet.model import parameters
from wavenet.simd.compiled import compiled
from wavenet.simd.vectors import product
from wavenet.simd.writer import HOST, LANES, at, move

INPUTS = 64
REPETITIONS = 12
_one, _tall = product(PANEL, 1), product(2, HOST.rows)


def read_weights(weights, words, x, y, panels, times):  # type: ignore[no-untyped-def]
    """Multiply by one panel after another, `times` times over."""
    for _ in range(times):
        for i in range(panels):
            stride = PANEL * words
            panel = move(at(weights, 0), i * INPUTS * stride)
            _one(panel, stride, at(y, 0), 0, at(x, 0), 0, INPUTS, at(y, 0), 0)


def multiply(weights, x, y, times):  # type: ignore[no-untyped-def]
    """Multiply several rows by one small panel, which stays in the nearest cache."""
    for _ in range(times):
        _tall(
            at(weights, 0), 2 * LANES, at(y, 0), 2 * LANES, at(x, 0), INPUTS, INPUTS,
            at(y, 0), 2 * LANES,
        )  # fmt: skip


_read_weights, _multiply = compiled(read_weights), compiled(multiply)


@dataclass(frozen=True)
class Roofline:
    """What one core does per second: bytes of weights read in each precision, and multiply-adds."""

    bytes_per_second: dict[str, float]
    macs_per_second: float

    def bound(self, model: ModelConfig, precision: str, batch: int, threads: int) -> float:
        """Samples per second, of all streams together, that no engine of this kind can exceed."""
        cores = min(threads, max(2, batch))
        # Cores share the weights of a single stream; with several, each reads all for its streams.
        readers = cores if batch == 1 else batch
        reading = self.bytes_per_second[precision] * readers / sample_bytes(model, precision)
        multiplying = self.macs_per_second * cores / sample_macs(model)
        return min(reading, multiplying)


def sample_bytes(model: ModelConfig, precision: str) -> float:
    """Bytes of weights that one step of any number of streams has to read."""
    # A block of steps reads the weights of the older taps once. It ends before one of its own
    # outputs would be an input of the second tap.
    older_taps = sum((len(taps) - 1) / min(BLOCK, taps[1]) for taps in model.offsets)
    weights = (len(model.schedule) + older_taps) * _tap(model) + _other_weights(model)
    return weights * (4 if precision == "fp32" else 2)


def sample_macs(model: ModelConfig) -> float:
    """Multiply-adds of one sample, padding included."""
    return sum(map(len, model.offsets)) * _tap(model) + _other_weights(model)


def _tap(model: ModelConfig) -> int:
    """Weights of one tap of a dilated convolution, whose outputs fill whole vectors."""
    return model.residual_channels * 2 * padded_gate(model.gate_channels // 2)


def _other_weights(model: ModelConfig) -> int:
    """Weights of all other products of a sample, their outputs filled up to whole vectors."""
    shapes = parameters.stack(model) | parameters.context(model) | parameters.head(model)
    others = [s for name, s in shapes.items() if ".dilated." not in name and len(s) > 1]
    return sum(padded(outputs) * prod(inputs) for outputs, *inputs in others)


def measure(model: ModelConfig) -> Roofline:
    """Takes about a second, and compiles what it needs the first time."""
    # Inputs and outputs of the products; their values do not matter.
    x, y = aligned(INPUTS * HOST.rows), aligned(PANEL * LANES * HOST.rows)
    bytes_per_second = {}
    for precision in PRECISIONS:
        words, kind = (LANES, np.float32) if precision == "fp32" else (LANES // 2, np.uint32)
        panel_bytes = INPUTS * PANEL * words * 4
        panels = max(1, round(sample_bytes(model, precision) / panel_bytes))
        weights = aligned(panels * INPUTS * PANEL * words, kind)
        times = max(1, round(2e7 / (panels * panel_bytes)))
        seconds = _fastest(_read_weights, weights, words, x, y, panels, times)
        bytes_per_second[precision] = panels * panel_bytes * times / seconds
    times = 20_000
    weights = aligned(INPUTS * 2 * LANES)
    macs = times * INPUTS * 2 * LANES * HOST.rows
    return Roofline(bytes_per_second, macs / _fastest(_multiply, weights, x, y, times))


def _fastest(kernel: Callable[..., Any], *arguments: Any) -> float:
    """Seconds, the least of several: what the machine can do when nothing else wants it."""
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        kernel(*arguments)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
