"""Generation costs the same whatever the receptive field, and however long it goes on.

    python -m benchmarks.studies.flatness [MINUTES]

First, 20 layers of 64 channels whose dilations are stretched from a receptive field of a thousand
samples to a hundred thousand: microseconds per sample, one stream in one thread, medians of seven
interleaved rounds. A layer's ring of past inputs is written and read once per sample, at two places
far apart. Once all rings together exceed a cache, those rows come from the next one, and each is
one row among the many weights that are read in between.

Then MINUTES (10) of audio from the preset `tiny` in one go: speed and peak memory, minute by
minute.
"""

import resource
import statistics
import time

from benchmarks.arguments import parser
from wavenet.bench import measure
from wavenet.config import Config, ModelConfig, loading
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.options import EngineOptions
from wavenet.generation.noise import uniforms
from wavenet.model.cost import receptive_field
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import machine

FIELDS = (1_000, 3_000, 10_000, 30_000, 100_000)
LAYERS = 20
ROUNDS, STEPS = 7, 4000
BLOCK = 2048


def stretched(field: int) -> ModelConfig:
    """Two cycles of dilations that grow by a constant factor, from 8 on.

    The receptive field is about `field` samples. All dilations are at least 8, so that every
    network computes its older taps in blocks of the same length.
    """
    low, high = 1.0, 4.0
    while high - low > 1e-9:
        ratio = (low + high) / 2
        dilations = tuple(round(8 * ratio**i) for i in range(LAYERS // 2)) * 2
        low, high = (ratio, high) if receptive_field(dilations) < field else (low, ratio)
    return ModelConfig(dilations=dilations)


def by_receptive_field() -> None:
    runs = []
    for field in FIELDS:
        model = stretched(field)
        engine = NumbaEngine(
            model, measure.random_weights(Config(model=model)), EngineOptions(threads=1)
        )
        state = engine.init_state(1)
        engine.generate(state, uniforms(0, 0, 0, 2 * STEPS)[None], Sampling())
        runs.append((receptive_field(model.schedule), engine, state))
    # Seconds per sample, in each round of each run.
    times: list[list[float]] = [[] for _ in runs]
    for r in range(ROUNDS):
        for (_, engine, state), seconds in zip(runs, times, strict=True):
            noise = uniforms(0, 0, r * STEPS, STEPS)[None]
            started = time.perf_counter()
            engine.generate(state, noise, Sampling())
            seconds.append((time.perf_counter() - started) / STEPS)
    print(f"{'hears, samples':>15} {'rings, MB':>10} {'us a sample':>12} {'against the first':>18}")
    for (field, _, state), seconds in zip(runs, times, strict=True):
        microseconds = 1e6 * statistics.median(seconds)
        ratio = statistics.median(s / first for s, first in zip(seconds, times[0], strict=True))
        print(f"{field:>15,} {state.ring.nbytes / 1e6:>10.2f} {microseconds:>12.2f} {ratio:>18.2f}")


def by_length(minutes: int) -> None:
    preset = loading.load("tiny")
    engine = NumbaEngine(preset.model, measure.random_weights(preset), EngineOptions(threads=1))
    state, generated = engine.init_state(1), 0
    print(f"{'minute':>7} {'samples/s':>10} {'peak MB':>8}")
    for minute in range(1, minutes + 1):
        started, end = time.perf_counter(), minute * 60 * preset.audio.sample_rate
        first = generated
        while generated < end:
            engine.generate(state, uniforms(0, 0, generated, BLOCK)[None], Sampling())
            generated += BLOCK
        speed = (generated - first) / (time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{minute:>7} {speed:>10,.0f} {peak:>8.1f}", flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("minutes", type=int, nargs="?", default=10)
    minutes = arguments.parse_args().minutes
    print(machine())
    by_receptive_field()
    by_length(minutes)


if __name__ == "__main__":
    main()
