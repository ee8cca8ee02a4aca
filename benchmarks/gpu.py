"""The engines on a GPU: do they compute what the others compute, and how fast are they?

    python -m benchmarks.gpu
    python -m benchmarks.gpu --no-suite      where a call may not take long enough for both

One call answers both questions. First the parity suite runs on the GPU. Then come, in one run on
the machine named above the table:

- one stream of nv-wavenet and of r9y9-mulaw256 (without its mel frames), in samples per second and
  times real time, in turns with the eager PyTorch step that keeps a cache, on the same GPU;
- how many streams of nv-wavenet and of paper run in real time at once: the number is doubled for as
  long as they do, then narrowed down to a twentieth;
- the table of all engines for nv-wavenet, of 1 to 256 streams;
- the project's targets, beside what was measured.

It ends with 1 when the suite fails or there is no GPU.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import comparison
from benchmarks.comparison import EAGER_ON_GPU, HEADER, Comparison
from wavenet.bench import measure
from wavenet.bench.measure import ROUNDS
from wavenet.config import Config, loading
from wavenet.engines import create_engine
from wavenet.engines.gpu.network import device_for, device_name
from wavenet.engines.options import PRECISIONS, EngineOptions
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for
from wavenet.model.distributions.registry import distribution_for
from wavenet.system.machine import machine

SUITE = ("tests/engines/test_parity.py", "tests/engines/test_gpu.py")
ENGINES = ("triton", "cuda-graph")
TARGET = 100  # times the eager step, one stream of nv-wavenet
MOST_STREAMS = 4096
# Every stream generates this much audio in one block, and may take no longer than it plays.
SECONDS = 0.5


def main() -> int:
    # With this set, the CPU would stand in for the GPU.
    os.environ.pop("TRITON_INTERPRET", None)
    try:
        device = device_for("triton")
    except EngineError as e:
        print(e)
        return 1
    print(f"{machine()}; {device_name(device)}", flush=True)
    suite = None
    if "--no-suite" not in sys.argv:
        suite = subprocess.run(
            [sys.executable, "-m", "pytest", *SUITE], cwd=Path(__file__).parent.parent, check=False
        ).returncode
    # The eager step takes no mel frames.
    presets = [
        loading.load(name, {"model.mel_bands": 0}) for name in ("nv-wavenet", "r9y9-mulaw256")
    ]
    for line in figures(presets, [presets[0], loading.load("paper")]):
        print(line, flush=True)
    if suite is None:
        outcome = "was left out"
    else:
        outcome = "FAILED on this GPU" if suite else "passed on this GPU"
    print(f"\nthe parity suite {outcome}")
    return int(bool(suite))


def figures(single: Sequence[Config], many: Sequence[Config]) -> Iterator[str]:
    """The report, line by line.

    First one stream of each preset of `single`, then the most streams in real time of each of
    `many`, and last the whole table of the first of `single`, and the targets.
    """
    yield f"\none stream; medians of {ROUNDS} rounds in which all take turns\n{'':14} {HEADER}"
    compared: dict[str, list[Comparison]] = {}
    for preset in single:
        one_stream = [c for c in comparison.cases(preset, names=ENGINES) if c.row.batch == 1]
        compared[preset.name] = comparison.compare(preset, one_stream)
        yield from (f"{preset.name:14} {c}" for c in compared[preset.name])
    yield f"\nstreams in real time at once\n{'':14} {'Hz':>7} {'precision':>9} {'streams':>8}"
    for preset in many:
        for precision in PRECISIONS:
            most = most_streams(partial(keeps_up, preset, precision), MOST_STREAMS)
            reached = " or more" if most == MOST_STREAMS else ""
            rate = preset.audio.sample_rate
            yield f"{preset.name:14} {rate:>7} {precision:>9} {most:>8}{reached}"
    yield f"\n{single[0].name}, {single[0].audio.sample_rate} Hz\n{HEADER}"
    everything = comparison.cases(single[0], names=ENGINES)
    yield from map(str, comparison.compare(single[0], everything))
    yield f"\n{'target':40} {'found':>8} {'wanted':>8}"
    for c in compared[single[0].name]:
        if c.row.engine == "triton" and c.times_eager:
            target = f"{single[0].name}, {c.row.precision}, times {EAGER_ON_GPU}"
            yield f"{target:40} {c.times_eager:>8.1f} {TARGET:>8}"
    for c in compared[single[-1].name]:
        if c.row.engine == "triton":
            target = f"{single[-1].name}, {c.row.precision}, times real time"
            yield f"{target:40} {c.row.realtime:>8.2f} {1:>8}"


def keeps_up(preset: Config, precision: str, batch: int) -> bool:
    """Whether `batch` streams are generated as fast as they play.

    The second of two tries decides, because the first one compiles.
    """
    weights, samples = measure.random_weights(preset), round(SECONDS * preset.audio.sample_rate)
    engine = create_engine("triton", preset.model, weights, EngineOptions(precision))
    streams = measure.Streams(engine, preset.model, weights, batch)
    # Made once, because it is the engine that is timed.
    n_noise = distribution_for(preset.model).n_noise
    noise = noise_for(0, range(batch), 0, samples, n_noise)
    streams.run(noise)
    return measure.seconds_for(lambda: streams.run(noise)) <= SECONDS


def most_streams(keep_up: Callable[[int], bool], limit: int) -> int:
    """The most streams that keep up, within a twentieth; 0 if not even one does."""
    best, over = 0, 1
    while over <= limit and keep_up(over):
        best, over = over, over * 2
    while best and over <= limit and over - best > max(1, best // 20):
        middle = (best + over) // 2
        best, over = (middle, over) if keep_up(middle) else (best, middle)
    return best


if __name__ == "__main__":
    sys.exit(main())
