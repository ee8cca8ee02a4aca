"""How fast this machine can read weights and multiply, measured with the kernels' own products: the bound that generation meets.

A sample of one stream has to read every weight of the newest taps, the residual and skip paths and the head once, and the weights of
the older taps once per block of steps; and it has to multiply by all of them. Whichever takes longer is the bound. Caches that keep
some of the weights are part of the measurement: it runs over as many bytes as the model has.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.cpu.compiled import compiled
from wavenet.engines.cpu.panels import BLOCK, PANEL, aligned, padded, padded_gate
from wavenet.engines.cpu.vectors import HOST, LANES, at, move, product
from wavenet.engines.options import PRECISIONS
from wavenet.model import parameters
from wavenet.model.distributions.registry import distribution_for

INPUTS = 64
_one, _tall = product(PANEL, 1), product(2, HOST.rows)


def read_weights(weights, words, x, y, panels, times):  # type: ignore[no-untyped-def]
    """Multiply by panel after panel, each read once, `times` over."""
    for _ in range(times):
        for i in range(panels):
            stride = PANEL * words
            _one(
                move(at(weights, 0), i * INPUTS * stride),
                stride,
                at(y, 0),
                0,
                at(x, 0),
                0,
                INPUTS,
                at(y, 0),
                0,
            )


def multiply(weights, x, y, times):  # type: ignore[no-untyped-def]
    """Multiply several rows by one small panel, which stays in the nearest cache."""
    for _ in range(times):
        _tall(
            at(weights, 0),
            2 * LANES,
            at(y, 0),
            2 * LANES,
            at(x, 0),
            INPUTS,
            INPUTS,
            at(y, 0),
            2 * LANES,
        )


_read_weights, _multiply = compiled(read_weights), compiled(multiply)


@dataclass(frozen=True)
class Roofline:
    """Of one core: bytes of weights read per second for each precision, and multiply-adds per second."""

    bytes_per_second: dict[str, float]
    macs_per_second: float

    def bound(self, model: ModelConfig, precision: str, batch: int, threads: int) -> float:
        """Samples per second, of all streams together, that no engine of this kind can pass."""
        cores = min(threads, max(2, batch))
        # one stream's weights are divided between the cores; with several, each core reads all of them for its own streams
        reading = (
            self.bytes_per_second[precision]
            * (cores if batch == 1 else batch)
            / sample_bytes(model, precision)
        )
        return min(reading, self.macs_per_second * cores / sample_macs(model))


def sample_bytes(model: ModelConfig, precision: str) -> float:
    """Bytes of weights that one step of any number of streams has to read."""
    r, g, s, h, params = _wide(model)
    older = (
        sum((len(heard) - 1) / min(BLOCK, heard[1]) for heard in model.offsets)
        * model.residual_channels
        * 2
        * g
    )
    layer = model.residual_channels * 2 * g + model.gate_channels // 2 * (r + s)
    head = model.skip_channels * h + model.head_channels * params + _context(model)
    return (len(model.schedule) * layer + older + head) * (4 if precision == "fp32" else 2)


def sample_macs(model: ModelConfig) -> float:
    """Multiply-adds of one sample, padding included."""
    r, g, s, h, params = _wide(model)
    dilated = sum(map(len, model.offsets)) * model.residual_channels * 2 * g
    paths = len(model.schedule) * model.gate_channels // 2 * (r + s)
    return (
        dilated + paths + model.skip_channels * h + model.head_channels * params + _context(model)
    )


def _context(model: ModelConfig) -> int:
    """Weights of the context module, all of which every sample is multiplied by."""
    shapes = parameters.pyramid(model)
    if not shapes:
        return 0
    channels, branches = model.skip_channels, len(shapes) - 1  # the mean's included
    p = padded(shapes["mean"][0])
    return (2 * branches - 1) * channels * p + branches * p * padded(channels)


def _wide(model: ModelConfig) -> tuple[int, int, int, int, int]:
    """Channels filled up to whole vectors: R', G', S', H', and of what is predicted."""
    channels = (model.skip_channels, model.head_channels, distribution_for(model).n_params)
    return (
        padded(model.residual_channels),
        padded_gate(model.gate_channels // 2),
        *map(padded, channels),
    )  # type: ignore[return-value]


def measure(model: ModelConfig) -> Roofline:
    """Takes about a second, and compiles what it needs the first time."""
    x, y = aligned(INPUTS * HOST.rows), aligned(PANEL * LANES * HOST.rows)
    reading = {}
    for precision in PRECISIONS:
        words, kind = (LANES, np.float32) if precision == "fp32" else (LANES // 2, np.uint32)
        panel_bytes = INPUTS * PANEL * words * 4
        panels = max(1, round(sample_bytes(model, precision) / panel_bytes))
        weights = aligned(panels * INPUTS * PANEL * words, kind)
        times = max(1, round(2e7 / (panels * panel_bytes)))
        reading[precision] = (
            panels
            * panel_bytes
            * times
            / _fastest(_read_weights, weights, words, x, y, panels, times)
        )
    times = 20_000
    weights = aligned(INPUTS * 2 * LANES)
    return Roofline(
        reading, times * INPUTS * 2 * LANES * HOST.rows / _fastest(_multiply, weights, x, y, times)
    )


def _fastest(kernel: Callable[..., Any], *arguments: Any) -> float:
    """Seconds, the best of many: what the machine can do when nothing else wants it."""
    found = []
    for _ in range(12):
        started = time.perf_counter()
        kernel(*arguments)
        found.append(time.perf_counter() - started)
    return min(found)
