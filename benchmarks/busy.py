"""Generation in one thread and in two while other programs keep cores busy.

    python -m benchmarks.busy [PRESET]

May two threads ever be much slower than one? Processes that never rest are pinned to no core, to
one, and to all. Engines of one thread and of two take turns of three seconds. Linux only.
"""

import multiprocessing
import os
import statistics
import time

from benchmarks.arguments import parser
from wavenet.bench import measure
from wavenet.config import loading
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.options import EngineOptions
from wavenet.generation.noise import uniforms
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import machine

ROUNDS, SECONDS, BLOCK = 5, 3.0, 2048


def keep_busy(core: int) -> None:
    os.sched_setaffinity(0, [core])
    while True:
        pass


def speed(engine: NumbaEngine) -> float:
    """Samples per second of one stream, from a fresh engine's first sample on.

    The stream is generated in blocks, as `wavenet generate` does it.
    """
    state, generated = engine.init_state(1), 0
    started = time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        engine.generate(state, uniforms(0, 0, generated, BLOCK)[None], Sampling())
        generated += BLOCK
    return generated / (time.perf_counter() - started)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("preset", nargs="?", default="paper")
    preset = loading.load(arguments.parse_args().preset)
    weights, cores = measure.random_weights(preset), sorted(os.sched_getaffinity(0))
    print(f"{machine()}; {preset.name}, one stream, medians of {ROUNDS} rounds")
    print(f"{'busy cores':>11} {'1 thread':>9} {'2 threads':>10} {'ratio':>6}")
    for busy in (0, 1, len(cores)):
        hogs = [
            multiprocessing.Process(target=keep_busy, args=(core,), daemon=True)
            for core in cores[-busy:]
            if busy
        ]
        for hog in hogs:
            hog.start()
        # A fresh engine each time, because an engine remembers which number of threads was faster.
        rounds = [
            [speed(NumbaEngine(preset.model, weights, EngineOptions(threads=n))) for n in (1, 2)]
            for _ in range(ROUNDS)
        ]
        for hog in hogs:
            hog.terminate()
        one, two = (statistics.median(r[i] for r in rounds) for i in (0, 1))
        ratio = statistics.median(b / a for a, b in rounds)
        print(f"{busy:>11} {one:>9,.0f} {two:>10,.0f} {ratio:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
