"""`wavenet bench`: how fast each engine generates here, beside an eager PyTorch step on the same device and what the machine's memory and
arithmetic allow.

Speed does not depend on the weights, so they are drawn at random; a run lends its sizes only. Contestants take turns, round after
round, so that a change in the machine's speed falls on all; figures are medians, and ratios are taken within each round.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wavenet.arrays import Array, Noise
from wavenet.config import Config, ModelConfig
from wavenet.engines import ON_GPU, Engine, candidates, create_engine
from wavenet.engines.conditioning import Conditioning, Projection
from wavenet.engines.options import PRECISIONS, EngineOptions, say_nothing
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.parameters import expected_shapes
from wavenet.system.machine import cores

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
class Case:
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

    def __init__(
        self, engine: Engine, model: ModelConfig, weights: dict[str, Array], batch: int
    ) -> None:
        self._engine, self._time = engine, 0
        self._projection = Projection(model, weights) if model.condition_channels else None
        frames = (
            np.random.default_rng(0).uniform(-11, 1, (FRAMES, model.mel_bands)).astype(np.float32)
            if model.mel_bands
            else None
        )
        features = self._projection.features(frames, 0) if self._projection else np.zeros(0)
        self._features = [features] * batch
        self._state = engine.init_state(batch, self._cond(0))

    def run(self, noise: Noise) -> None:
        self._engine.generate(self._state, noise, Sampling(), self._cond(noise.shape[1]))
        self._time += noise.shape[1]

    def _cond(self, steps: int) -> Conditioning | None:
        return (
            self._projection.cond(self._features, self._time, steps) if self._projection else None
        )


def seconds_for(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def random_weights(config: Config) -> dict[str, Array]:
    """Weights of the config's shapes that keep every signal near unit size."""
    generator = np.random.default_rng(0)
    shapes = expected_shapes(config)
    return {
        k: (generator.standard_normal(s) / np.sqrt(np.prod(s[1:]) if len(s) > 1 else 100)).astype(
            np.float32
        )
        for k, s in shapes.items()
    }


def cases(
    config: Config,
    report: Callable[[str], object] = say_nothing,
    names: Sequence[str] | None = None,
) -> list[Case]:
    """All that can run here, or the engines called so: eager steps first, then every engine, precision and number of threads."""
    if config.model.label_channels and not config.model.labels:
        config = replace(config, model=replace(config.model, labels=("a label",)))
    names = candidates() if names is None else names
    weights, found, n_noise = random_weights(config), [], distribution_for(config.model).n_noise
    if config.model.condition_channels:
        report(f"{EAGER}: left out, its step takes no labels and no mel frames")
    elif not config.model.plain:
        report(f"{EAGER}: left out, its step knows dense layers and no context module")
    elif importlib.util.find_spec("torch"):
        found = _eager_steps(config, weights, names)
    for name in names:
        try:
            for precision, threads, batch in _ways(name):
                engine = create_engine(
                    name, config.model, weights, EngineOptions(precision, threads, report)
                )
                row = Row(name, precision, threads, batch)
                found.append(Case(row, Streams(engine, config.model, weights, batch).run, n_noise))
        except EngineError as e:
            report(str(e))
    return found


def _eager_steps(config: Config, weights: dict[str, Array], names: Sequence[str]) -> list[Case]:
    """On the devices that these engines run on."""
    import torch

    from wavenet.bench.eager_baseline import EagerStep
    from wavenet.engines.gpu.network import device_for

    torch.set_num_threads(
        1
    )  # more threads make such small products slower, and on a busy machine far slower
    n_noise = distribution_for(config.model).n_noise
    rows = [Row(EAGER, "fp32", 1, batch) for batch in BATCHES] if set(names) - set(ON_GPU) else []
    found = [Case(row, EagerStep(config.model, weights, row.batch).run, n_noise) for row in rows]
    try:
        device = device_for(ON_GPU[0]) if set(names) & set(ON_GPU) else None
    except EngineError:  # the engines say so
        device = None
    rows = [Row(EAGER_ON_GPU, "fp32", 0, batch) for batch in GPU_BATCHES] if device else []
    return found + [
        Case(row, EagerStep(config.model, weights, row.batch, device).run, n_noise) for row in rows
    ]


def _ways(engine: str) -> list[tuple[str, int, int]]:
    """Precision, threads and streams to measure an engine with."""
    if engine in ON_GPU:
        return [
            (p, 0, batch)
            for p in (PRECISIONS if engine == "triton" else ("fp32",))
            for batch in GPU_BATCHES
        ]
    if engine != "numba":
        return [("fp32", 1, BATCHES[0])]
    return [
        (p, threads, batch)
        for p in PRECISIONS
        for threads in sorted({1, cores()})
        for batch in BATCHES
    ]


def measure(config: Config, runners: list[Case]) -> list[Row]:
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
        ratio = (
            statistics.median(r[i] / r[eager[_beside(row)]] for r in speeds)
            if _beside(row) in eager
            else None
        )
        done.append(
            replace(
                row,
                samples_per_second=speed,
                realtime=speed / config.audio.sample_rate,
                times_eager=ratio,
                bound=bounds[i],
            )
        )
    return done


def _beside(row: Row) -> tuple[int, bool]:
    """What rows that are compared have in common: streams, and the device."""
    return row.batch, row.threads == 0


def _bounds(config: Config, rows: list[Row]) -> list[float | None]:
    """Of the numba engine's rows."""
    if not any(row.engine == "numba" for row in rows):
        return [None] * len(rows)
    from wavenet.bench.roofline import measure as measure_ceilings

    ceilings = measure_ceilings(config.model)
    return [
        ceilings.bound(config.model, r.precision, r.batch, r.threads)
        if r.engine == "numba"
        else None
        for r in rows
    ]


def _gpu() -> str:
    """The GPU that candidates run on, for the table's first line."""
    if not set(candidates()) & set(ON_GPU) or not importlib.util.find_spec("torch"):
        return ""
    from wavenet.engines.gpu.network import device_for, device_name

    try:
        return f"; {device_name(device_for(ON_GPU[0]))}"
    except EngineError:
        return ""
