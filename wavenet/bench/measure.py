"""How fast each engine generates on this machine, for `wavenet bench`.

Speed does not depend on the weights, so they are drawn at random; of a run only the sizes are used.
Cases take turns, round after round, so that a change in the machine's speed falls on all of them,
and speeds are medians over the rounds.
"""

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
    """One line of the table. `threads` is the most that may be used, 0 on a GPU."""

    engine: str
    precision: str
    threads: int
    batch: int
    samples_per_second: float = 0.0
    realtime: float = 0.0


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
            self.advance()
            generated += self.chunk
        return generated * self.row.batch / elapsed

    def warm_up(self) -> None:
        """Compile, let engines choose their threads, and choose the size of a chunk."""
        self.advance()
        while self.chunk < WARM_UP and seconds_for(self.advance) <= MIN_CHUNK_SECONDS:
            self.chunk *= 2

    def advance(self) -> None:
        """Generate a chunk."""
        self.run(noise_for(0, range(self.row.batch), 0, self.chunk, self.n_noise))


class Streams:
    """Streams of one engine without end, under random conditioning where the model takes any."""

    def __init__(
        self, engine: Engine, model: ModelConfig, weights: dict[str, Array], batch: int
    ) -> None:
        self._engine, self._time = engine, 0
        self._projection, generator = Projection(model, weights), np.random.default_rng(0)
        values = {f.name: f.random_value(generator, FRAMES) for f in front_ends(model)}
        self._features = [self._projection.features(**values)] * batch
        self._state = engine.init_state(batch, self._conditioning(0))

    def run(self, noise: Noise) -> None:
        self._engine.generate(self._state, noise, Sampling(), self._conditioning(noise.shape[1]))
        self._time += noise.shape[1]

    def _conditioning(self, steps: int) -> Conditioning | None:
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
    """Every engine, precision, number of threads and of streams that can run here.

    `names` restricts the engines. `report` is called with a line for each that is left out.
    """
    model = config.model
    if model.label_channels and not model.labels:
        model = replace(model, labels=("a label",))
    weights, n_noise = random_weights(replace(config, model=model)), distribution_for(model).n_noise
    runners = []
    for name in candidates() if names is None else names:
        try:
            for precision, threads, batch in _variants(name):
                options = EngineOptions(precision, threads, report)
                streams = Streams(
                    create_engine(name, model, weights, options), model, weights, batch
                )
                runners.append(Case(Row(name, precision, threads, batch), streams.run, n_noise))
        except EngineError as e:
            report(str(e))
    return runners


def _variants(engine: str) -> list[tuple[str, int, int]]:
    """(precision, threads, streams) to measure an engine with."""
    if engine in ON_GPU:
        precisions = PRECISIONS if engine == "triton" else ("fp32",)
        return [(precision, 0, batch) for precision in precisions for batch in GPU_BATCHES]
    if engine != "numba":
        return [("fp32", 1, BATCHES[0])]
    return list(product(PRECISIONS, sorted({1, cores()}), BATCHES))


def measure(
    config: Config, runners: Sequence[Case], advance: Callable[[], object] = lambda: None
) -> list[Row]:
    """Rows with their speeds. `advance` is called each time that a case has had its turn."""
    by_case = zip(runners, zip(*speeds(runners, advance), strict=True), strict=True)
    return [with_speed(runner.row, config, of_rounds) for runner, of_rounds in by_case]


def speeds(
    runners: Sequence[Case], advance: Callable[[], object] = lambda: None
) -> list[list[float]]:
    """Samples per second, (rounds, cases): all cases take turns in each round."""
    for runner in runners:
        runner.warm_up()
        advance()
    rounds: list[list[float]] = []
    for _ in range(ROUNDS):
        rounds.append([])
        for runner in runners:
            rounds[-1].append(runner.speed(SECONDS))
            advance()
    return rounds


def with_speed(row: Row, config: Config, of_rounds: Sequence[float]) -> Row:
    """The row with the median of its samples per second."""
    speed = statistics.median(of_rounds)
    return replace(row, samples_per_second=speed, realtime=speed / config.audio.sample_rate)
