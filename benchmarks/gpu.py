"""The engines on a GPU: do they compute what the others compute, and how fast are they? One call answers both:

    python benchmarks/gpu.py
    python benchmarks/gpu.py --no-suite      where a call may not take long enough for both

First the parity suite runs on the GPU. Then come, in one run on the machine named above the table:

- one stream of nv-wavenet and of r9y9-mulaw256 (without its mel frames), in samples per second and times real time, with the eager
  PyTorch step that keeps a cache taking turns on the same GPU;
- how many streams of nv-wavenet and of paper run in real time at once: the number is doubled for as long as they do, then narrowed
  down to a twentieth;
- the table of `wavenet bench` for nv-wavenet, of 1 to 256 streams;
- the project's targets, beside what was found.

It ends with 1 when the suite fails or there is no GPU.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from wavenet.bench import measure
from wavenet.bench.measure import EAGER_ON_GPU, ROUNDS, Case, Row
from wavenet.cli import bench
from wavenet.cli.bench import HEADER
from wavenet.config import Config, loading
from wavenet.engines import create_engine
from wavenet.engines.gpu.network import device_for, device_name
from wavenet.engines.options import PRECISIONS, EngineOptions
from wavenet.errors import EngineError
from wavenet.system.machine import machine

SUITE = ("tests/engines/test_parity.py", "tests/engines/test_gpu.py")
TARGET = 100  # times the eager step, one stream of nv-wavenet
MOST_STREAMS = 4096
SECONDS = 0.5  # of audio that all streams have to make, in one block, in that time


def main() -> int:
    os.environ.pop("TRITON_INTERPRET", None)  # it would let the CPU stand in for the GPU
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
    presets = [
        loading.load(name, ["model.mel_bands=0"]) for name in ("nv-wavenet", "r9y9-mulaw256")
    ]  # as eager steps are measured
    for line in figures(presets, [presets[0], loading.load("paper")]):
        print(line, flush=True)
    print(
        f"\nthe parity suite {'was left out' if suite is None else 'FAILED on this GPU' if suite else 'passed on this GPU'}"
    )
    return int(bool(suite))


def figures(single: Sequence[Config], many: Sequence[Config]) -> Iterator[str]:
    """The report, line by line: one stream of each of the first; as many as can be of each of the others; the first one's whole table."""
    yield f"\none stream; medians of {ROUNDS} rounds in which all take turns\n{'':14} {HEADER}"
    found: dict[str, list[Row]] = {}
    for preset in single:
        found[preset.name] = measure.measure(
            preset,
            [c for c in measure.cases(preset, names=("triton", "cuda-graph")) if c.row.batch == 1],
        )
        yield from (f"{preset.name:14} {bench.line(row)}" for row in found[preset.name])
    yield f"\nstreams in real time at once\n{'':14} {'Hz':>7} {'precision':>9} {'streams':>8}"
    for preset in many:
        for precision in PRECISIONS:
            most = most_streams(
                lambda batch, p=preset, q=precision: keeps_up(p, q, batch), MOST_STREAMS
            )  # type: ignore[misc]
            reached = " or more" if most == MOST_STREAMS else ""
            yield f"{preset.name:14} {preset.audio.sample_rate:>7} {precision:>9} {most:>8}{reached}"
    yield f"\n{single[0].name}, {single[0].audio.sample_rate} Hz\n{HEADER}"
    yield from map(
        bench.line,
        measure.measure(single[0], measure.cases(single[0], names=("triton", "cuda-graph"))),
    )
    yield f"\n{'target':40} {'found':>8} {'wanted':>8}"
    for row in found[single[0].name]:
        if row.engine == "triton" and row.times_eager:
            yield f"{f'{single[0].name}, {row.precision}, times {EAGER_ON_GPU}':40} {row.times_eager:>8.1f} {TARGET:>8}"
    for row in found[single[-1].name]:
        if row.engine == "triton":
            yield f"{f'{single[-1].name}, {row.precision}, times real time':40} {row.realtime:>8.2f} {1:>8}"


def keeps_up(preset: Config, precision: str, batch: int) -> bool:
    """Whether so many streams are made as fast as they play, of the last of two tries: the first one compiles."""
    weights, samples = measure.random_weights(preset), round(SECONDS * preset.audio.sample_rate)
    engine = create_engine("triton", preset.model, weights, EngineOptions(precision))
    streams = measure.Streams(engine, preset.model, weights, batch)
    contestant = Case(
        Row("triton", precision, 0, batch), streams.run, engine.distribution.n_noise, samples
    )  # type: ignore[attr-defined]
    noise = contestant.noise()  # made once: it is the engine that is asked about
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
