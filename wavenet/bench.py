"""`wavenet bench`: how fast each engine generates here, beside an eager PyTorch step on the same device and what the machine's memory and
arithmetic allow.

Speed does not depend on the weights, so they are drawn at random; a run lends its sizes only. Contestants take turns, round after
round, so that a change in the machine's speed falls on all; figures are medians, and ratios are taken within each round.
"""

import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from wavenet import distributions
from wavenet.checkpoint import expected_shapes
from wavenet.config import Config, ModelConfig
from wavenet.distributions import Sampling
from wavenet.engines import ON_GPU, Engine, candidates, pick
from wavenet.engines.cond import Cond, Projection
from wavenet.engines.options import PRECISIONS, EngineOptions, say_nothing
from wavenet.errors import EngineError
from wavenet.machine import cores, machine
from wavenet.sampler import noise_for
from wavenet.shapes import Array, Noise

EAGER, EAGER_ON_GPU = "eager PyTorch", "eager on GPU"
BATCHES = (1, 16)
GPU_BATCHES = (1, 4, 16, 64, 256)
ROUNDS = 5
SECONDS = 0.4  # of each contestant in each round
WARM_UP = 2048  # samples of each stream at once, at most: as many as a sampler makes
FRAMES = 1000  # of random conditions; the last one holds


@dataclass(frozen=True)
class Row:
    """One line of the table. `threads` is the most that may be used, 0 on a GPU; `times_eager` compares with the eager step of as many
    streams on the same device."""

    engine: str
    precision: str
    threads: int
    batch: int
    samples_per_second: float = 0.0
    realtime: float = 0.0
    times_eager: float | None = None
    bound: float | None = None  # samples per second that this machine's memory and arithmetic allow


@dataclass
class Contestant:
    row: Row
    run: Callable[[Noise], object]  # makes as many samples as there is noise (batch, time, n_noise)
    n_noise: int
    chunk: int = 8  # samples of each stream made between looks at the clock

    def speed(self, seconds: float) -> float:
        """Samples per second, of all streams together."""
        made, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            self.run(self.noise())
            made += self.chunk
        return made * self.row.batch / passed

    def warm_up(self) -> None:
        """Compile, let engines find their pace, and choose a chunk of about a tenth of a second."""
        self.run(self.noise())
        while self.chunk < WARM_UP:
            if seconds_for(lambda: self.run(self.noise())) > 0.05:
                break
            self.chunk *= 2

    def noise(self) -> Noise:
        return noise_for(0, range(self.row.batch), 0, self.chunk, self.n_noise)


class Streams:
    """Streams of one engine that go on and on, told random conditions where the model takes any."""

    def __init__(self, engine: Engine, model: ModelConfig, weights: dict[str, Array], batch: int) -> None:
        self._engine, self._time = engine, 0
        self._projection = Projection(model, weights) if model.condition_channels else None
        frames = np.random.default_rng(0).uniform(-11, 1, (FRAMES, model.mel_bands)).astype(np.float32) if model.mel_bands else None
        features = self._projection.features(frames, 0) if self._projection else np.zeros(0)
        self._features = [features] * batch
        self._state = engine.init_state(batch, self._cond(0))

    def run(self, noise: Noise) -> None:
        self._engine.generate(self._state, noise, Sampling(), self._cond(noise.shape[1]))
        self._time += noise.shape[1]

    def _cond(self, steps: int) -> Cond | None:
        return self._projection.cond(self._features, self._time, steps) if self._projection else None


def seconds_for(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def random_weights(config: Config) -> dict[str, Array]:
    """Weights of the config's shapes that keep every signal near unit size."""
    generator = np.random.default_rng(0)
    shapes = expected_shapes(config)
    return {
        k: (generator.standard_normal(s) / np.sqrt(np.prod(s[1:]) if len(s) > 1 else 100)).astype(np.float32) for k, s in shapes.items()
    }


def contestants(config: Config, report: Callable[[str], object] = say_nothing, names: Sequence[str] | None = None) -> list[Contestant]:
    """All that can run here, or the engines called so: eager steps first, then every engine, precision and number of threads."""
    if config.model.label_channels and not config.model.labels:
        config = replace(config, model=replace(config.model, labels=("a label",)))
    names = candidates() if names is None else names
    weights, found, n_noise = random_weights(config), [], distributions.of(config.model).n_noise
    if config.model.condition_channels:
        report(f"{EAGER}: left out, its step takes no labels and no mel frames")
    elif not config.model.plain:
        report(f"{EAGER}: left out, its step knows dense layers and no context module")
    elif importlib.util.find_spec("torch"):
        found = _eager_steps(config, weights, names)
    for name in names:
        try:
            for precision, threads, batch in _ways(name):
                engine = pick(name, config.model, weights, EngineOptions(precision, threads, report))
                row = Row(name, precision, threads, batch)
                found.append(Contestant(row, Streams(engine, config.model, weights, batch).run, n_noise))
        except EngineError as e:
            report(str(e))
    return found


def _eager_steps(config: Config, weights: dict[str, Array], names: Sequence[str]) -> list[Contestant]:
    """On the devices that these engines run on."""
    import torch

    from wavenet.eager import EagerStep
    from wavenet.engines.tensors import device_for

    torch.set_num_threads(1)  # more threads make such small products slower, and on a busy machine far slower
    n_noise = distributions.of(config.model).n_noise
    rows = [Row(EAGER, "fp32", 1, batch) for batch in BATCHES] if set(names) - set(ON_GPU) else []
    found = [Contestant(row, EagerStep(config.model, weights, row.batch).run, n_noise) for row in rows]
    try:
        device = device_for(ON_GPU[0]) if set(names) & set(ON_GPU) else None
    except EngineError:  # the engines say so
        device = None
    rows = [Row(EAGER_ON_GPU, "fp32", 0, batch) for batch in GPU_BATCHES] if device else []
    return found + [Contestant(row, EagerStep(config.model, weights, row.batch, device).run, n_noise) for row in rows]


def _ways(engine: str) -> list[tuple[str, int, int]]:
    """Precision, threads and streams to measure an engine with."""
    if engine in ON_GPU:
        return [(p, 0, batch) for p in (PRECISIONS if engine == "triton" else ("fp32",)) for batch in GPU_BATCHES]
    if engine != "numba":
        return [("fp32", 1, BATCHES[0])]
    return [(p, threads, batch) for p in PRECISIONS for threads in sorted({1, cores()}) for batch in BATCHES]


def measure(config: Config, runners: list[Contestant]) -> list[Row]:
    """Medians over rounds in which all take turns."""
    for runner in runners:
        runner.warm_up()
    speeds = [[runner.speed(SECONDS) for runner in runners] for _ in range(ROUNDS)]
    rows = [runner.row for runner in runners]
    eager = {_beside(row): i for i, row in enumerate(rows) if row.engine in (EAGER, EAGER_ON_GPU)}
    bounds = _bounds(config, rows)
    done = []
    for i, row in enumerate(rows):
        speed = statistics.median(r[i] for r in speeds)
        ratio = statistics.median(r[i] / r[eager[_beside(row)]] for r in speeds) if _beside(row) in eager else None
        done.append(replace(row, samples_per_second=speed, realtime=speed / config.audio.sample_rate, times_eager=ratio, bound=bounds[i]))
    return done


def _beside(row: Row) -> tuple[int, bool]:
    """What rows that are compared have in common: streams, and the device."""
    return row.batch, row.threads == 0


def _bounds(config: Config, rows: list[Row]) -> list[float | None]:
    """Of the numba engine's rows."""
    if not any(row.engine == "numba" for row in rows):
        return [None] * len(rows)
    from wavenet.engines.ceilings import measure as measure_ceilings

    ceilings = measure_ceilings(config.model)
    return [ceilings.bound(config.model, r.precision, r.batch, r.threads) if r.engine == "numba" else None for r in rows]


def _gpu() -> str:
    """The GPU that candidates run on, for the table's first line."""
    if not set(candidates()) & set(ON_GPU) or not importlib.util.find_spec("torch"):
        return ""
    from wavenet.engines.tensors import device_for, device_name

    try:
        return f"; {device_name(device_for(ON_GPU[0]))}"
    except EngineError:
        return ""


HEADER = (
    f"{'engine':14} {'precision':>9} {'threads':>8} {'streams':>8} {'samples/s':>10} {'x real time':>12} {'x eager':>8} {'of bound':>9}"
)


def line(row: Row) -> str:
    eager = "" if row.times_eager is None else f"{row.times_eager:.1f}"
    bound = "" if row.bound is None else f"{row.samples_per_second / row.bound:.0%}"
    where = f"{row.engine:14} {row.precision:>9} {row.threads or 'GPU':>8} {row.batch:>8}"
    return f"{where} {row.samples_per_second:>10,.0f} {row.realtime:>12.2f} {eager:>8} {bound:>9}"


def bench(name: str, config: Config, as_json: bool, report: Callable[[str], object]) -> Iterator[str]:
    """Measure and tell. Yields lines to print: a table, or one JSON list of rows."""
    if not as_json:
        yield f"{machine()}{_gpu()}; medians of {ROUNDS} rounds"
        yield f"{name}: {sum(w.size for w in random_weights(config).values()):,} parameters at {config.audio.sample_rate} Hz"
    rows = measure(config, contestants(config, report=report))
    if as_json:
        yield json.dumps([asdict(row) for row in rows], indent=1)
        return
    yield HEADER
    yield from map(line, rows)
