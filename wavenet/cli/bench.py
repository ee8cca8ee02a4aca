"""`wavenet bench`: a table of how fast each engine is."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from wavenet.bench.measure import ROUNDS, Row, cases, measure, random_weights
from wavenet.config import Config
from wavenet.engines import ON_GPU, candidates
from wavenet.errors import EngineError
from wavenet.system.machine import machine

HEADER = (
    f"{'engine':14} {'precision':>9} {'threads':>8} {'streams':>8} "
    f"{'samples/s':>10} {'x real time':>12} {'x eager':>8} {'of bound':>9}"
)


def line(row: Row) -> str:
    """A line of the table, below HEADER."""
    eager = "" if row.times_eager is None else f"{row.times_eager:.1f}"
    bound = "" if row.bound is None else f"{row.samples_per_second / row.bound:.0%}"
    case = f"{row.engine:14} {row.precision:>9} {row.threads or 'GPU':>8} {row.batch:>8}"
    return f"{case} {row.samples_per_second:>10,.0f} {row.realtime:>12.2f} {eager:>8} {bound:>9}"


def bench(
    name: str, config: Config, as_json: bool, report: Callable[[str], object]
) -> Iterator[str]:
    """Measure. Yields lines to print: a table, or one JSON list of rows."""
    if not as_json:
        parameters = sum(weights.size for weights in random_weights(config).values())
        yield f"{machine()}{_gpu()}; medians of {ROUNDS} rounds"
        yield f"{name}: {parameters:,} parameters at {config.audio.sample_rate} Hz"
    rows = measure(config, cases(config, report=report))
    if as_json:
        yield json.dumps([asdict(row) for row in rows], indent=1)
        return
    yield HEADER
    yield from map(line, rows)


def _gpu() -> str:
    """The name of the GPU that engines run on here, if any, after a semicolon."""
    if not set(candidates()) & set(ON_GPU) or not importlib.util.find_spec("torch"):
        return ""
    from wavenet.engines.gpu.network import device_for, device_name

    try:
        return f"; {device_name(device_for(ON_GPU[0]))}"
    except EngineError:
        return ""
