"""How fast each engine generates on this machine, for `wavenet bench`.

Beside it are measured an eager PyTorch step on the same device, and the roofline. Speed does not
depend on the weights, so they are drawn at random; of a run only the sizes are used. Cases take
turns, round after round, so that a change in the machine's speed falls on all of them. Speeds are
medians over the rounds, and ratios are taken within each round.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from wavenet.config import Config, ModelConfig
from wavenet.engines import ON_GPU, Engine, candidates, create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import PRECISIONS, EngineOptions, say_nothing
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for
from wavenet.glossary import Array, Noise
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.parameters import expected_shapes
from wavenet.system.machine import cores

EAGER, EAGER_ON_GPU = "eager PyTorch", "eager on GPU"
BATCHES = (1, 16)
GPU_BATCHES = (1, 4, 16, 64, 256)
ROUNDS = 5
SECONDS = 0.4  # of each case in each round
# The largest chunk in samples of each stream: that of a sampler's blocks.
WARM_UP = 2048
# A chunk should take about a tenth of a second, so it is doubled while it takes less than half.
MIN_CHUNK_SECONDS = 0.05
# Random mel frames to be conditioned on. After the end, the last one holds.
FRAMES = 1000


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `threads` is the most that may be used, 0 on a GPU. `times_eager` compares with the eager step
    of the same number of streams on the same device.
    """

    engine: str
    precision: str
    threads: int
    batch: int
    samples_per_second: float = 0.0
    realtime: float = 0.0
    times_eager: float | None = None
    # Samples per second that this machine's memory and arithmetic allow.
    bound: float | None = None


@dataclass
class Case:
    """What to measure: `run` generates a sample for each step of noise (batch, time, n_noise)."""

    row: Row
    run: Callable[[Noise], object]
    n_noise: int
    # Samples of each stream that are generated between two readings of the clock.
    chunk: int = 8

    def speed(self, seconds: float) -> float:
        """Samples per second, of all streams together."""
        generated, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            self.run(self.noise())
            generated += self.chunk
        return generated * self.row.batch / elapsed

    def warm_up(self) -> None:
        """Compile, let engines choose their threads, and choose the size of a chunk."""
        self.run(self.noise())
        while self.chunk < WARM_UP:
            if seconds_for(lambda: self.run(self.noise())) > MIN_CHUNK_SECONDS:
                break
            self.chunk *= 2

    def noise(self) -> Noise:
        return noise_for(0, range(self.row.batch), 0, self.chunk, self.n_noise)


class Streams:
    """Streams of one engine without end, under random conditioning where the model takes any."""

    def __init__(
        self, engine: Engine, model: ModelConfig, weights: dict[str, Array], batch: int
    ) -> None:
        self._engine, self._time = engine, 0
        self._projection = Projection(model, weights) if model.condition_channels else None
        features = np.zeros(0)
        if self._projection:
            generator = np.random.default_rng(0)
            values = {f.name: f.random_value(generator, FRAMES) for f in front_ends(model)}
            features = self._projection.features(**values)
        self._features = [features] * batch
        self._state = engine.init_state(batch, self._conditioning(0))

    def run(self, noise: Noise) -> None:
        self._engine.generate(self._state, noise, Sampling(), self._conditioning(noise.shape[1]))
        self._time += noise.shape[1]

    def _conditioning(self, steps: int) -> Conditioning | None:
        if self._projection is None:
            return None
        return self._projection.conditioning(self._features, self._time, steps)


def seconds_for(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def random_weights(config: Config) -> dict[str, Array]:
    """Weights of the config's shapes that keep every signal near unit size."""
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in expected_shapes(config.model).items():
        # A bias has no inputs to count.
        n_inputs = np.prod(shape[1:]) if len(shape) > 1 else 100
        values = generator.standard_normal(shape) / np.sqrt(n_inputs)
        weights[name] = values.astype(np.float32)
    return weights


def cases(
    config: Config,
    report: Callable[[str], object] = say_nothing,
    names: Sequence[str] | None = None,
) -> list[Case]:
    """All that can run here, or only the engines of these names.

    The eager steps come first, then every engine, precision and number of threads. `report` is
    called with a line for each that is left out.
    """
    if config.model.label_channels and not config.model.labels:
        config = replace(config, model=replace(config.model, labels=("a label",)))
    names = candidates() if names is None else names
    weights, n_noise = random_weights(config), distribution_for(config.model).n_noise
    runners: list[Case] = []
    if config.model.condition_channels:
        report(f"{EAGER}: left out, its step takes no labels and no mel frames")
    elif not config.model.plain:
        report(f"{EAGER}: left out, its step knows dense layers and no context module")
    elif importlib.util.find_spec("torch"):
        runners = _eager_steps(config, weights, names)
    for name in names:
        try:
            for precision, threads, batch in _variants(name):
                options = EngineOptions(precision, threads, report)
                engine = create_engine(name, config.model, weights, options)
                streams = Streams(engine, config.model, weights, batch)
                row = Row(name, precision, threads, batch)
                runners.append(Case(row, streams.run, n_noise))
        except EngineError as e:
            report(str(e))
    return runners


def _eager_steps(config: Config, weights: dict[str, Array], names: Sequence[str]) -> list[Case]:
    """The baselines, on the devices that these engines run on."""
    import torch

    from wavenet.bench.eager_baseline import EagerStep
    from wavenet.engines.gpu.network import device_for

    # More threads make such small products slower, and on a busy machine far slower.
    torch.set_num_threads(1)
    n_noise = distribution_for(config.model).n_noise
    runners = []
    if set(names) - set(ON_GPU):
        for batch in BATCHES:
            step = EagerStep(config.model, weights, batch)
            runners.append(Case(Row(EAGER, "fp32", 1, batch), step.run, n_noise))
    if not set(names) & set(ON_GPU):
        return runners
    try:
        device = device_for(ON_GPU[0])
    except EngineError:
        # The engines report that themselves.
        return runners
    for batch in GPU_BATCHES:
        step = EagerStep(config.model, weights, batch, device)
        runners.append(Case(Row(EAGER_ON_GPU, "fp32", 0, batch), step.run, n_noise))
    return runners


def _variants(engine: str) -> list[tuple[str, int, int]]:
    """(precision, threads, streams) to measure an engine with."""
    if engine in ON_GPU:
        precisions = PRECISIONS if engine == "triton" else ("fp32",)
        return [(precision, 0, batch) for precision in precisions for batch in GPU_BATCHES]
    if engine != "numba":
        return [("fp32", 1, BATCHES[0])]
    return list(product(PRECISIONS, sorted({1, cores()}), BATCHES))


def measure(config: Config, runners: list[Case]) -> list[Row]:
    """Rows with their speeds: medians over rounds in which all cases take turns."""
    for runner in runners:
        runner.warm_up()
    # Samples per second, (rounds, cases).
    speeds = [[runner.speed(SECONDS) for runner in runners] for _ in range(ROUNDS)]
    rows = [runner.row for runner in runners]
    baselines = {
        _baseline_key(row): i for i, row in enumerate(rows) if row.engine in (EAGER, EAGER_ON_GPU)
    }
    bounds = _bounds(config, rows)
    measured = []
    for i, row in enumerate(rows):
        speed = statistics.median(of_round[i] for of_round in speeds)
        baseline = baselines.get(_baseline_key(row))
        times_eager = None
        if baseline is not None:
            times_eager = statistics.median(of_round[i] / of_round[baseline] for of_round in speeds)
        measured.append(
            replace(
                row,
                samples_per_second=speed,
                realtime=speed / config.audio.sample_rate,
                times_eager=times_eager,
                bound=bounds[i],
            )
        )
    return measured


def _baseline_key(row: Row) -> tuple[int, bool]:
    """What a row has in common with its baseline: the number of streams, and the kind of device."""
    return row.batch, row.threads == 0


def _bounds(config: Config, rows: list[Row]) -> list[float | None]:
    """The roofline's bound for each row of the numba engine, None for the others."""
    if not any(row.engine == "numba" for row in rows):
        return [None] * len(rows)
    from wavenet.bench.roofline import measure as measure_roofline

    roofline = measure_roofline(config.model)
    return [
        roofline.bound(config.model, row.precision, row.batch, row.threads)
        if row.engine == "numba"
        else None
        for row in rows
    ]
