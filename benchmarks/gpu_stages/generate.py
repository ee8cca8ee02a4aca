"""How fast generation is on a GPU: one stream beside the eager step, and how many in real time.

The eager step keeps a cache too, and runs on the same GPU: per sample a few small operations of
PyTorch for each layer. Contestants take turns, round after round.

A stream of `triton` is one program on one multiprocessor, which has to read all weights for every
sample from the L2 cache. At some 120 GB/s this alone takes 22 us in fp32 and 11 us in bf16 for
nv-wavenet, and 130 us and 65 us for r9y9-mulaw256, whatever the kernel does.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks import comparison
from benchmarks.comparison import EAGER_ON_GPU
from benchmarks.eager_step import EagerStep
from benchmarks.gpu_stages.compiling import listen
from benchmarks.gpu_stages.report import Column, Report
from wavenet.bench import measure
from wavenet.bench.measure import Case, Row
from wavenet.config import Config, loading
from wavenet.engines import Engine, create_engine
from wavenet.engines.options import PRECISIONS, EngineOptions
from wavenet.generation.noise import noise_for
from wavenet.glossary import Array
from wavenet.model.distributions.registry import distribution_for

ONE_STREAM = ("nv-wavenet", "paper", "r9y9-mulaw256")
REAL_TIME = ("paper", "nv-wavenet")
# The eager step takes no mel frames.
COMMON: dict[str, Any] = {"model.mel_bands": 0}
# What an interpreter can run.
TRIAL: dict[str, Any] = {
    "model.layers": 2,
    "model.dilation_cycle": 2,
    "model.residual_channels": 16,
    "model.gate_channels": 32,
    "model.skip_channels": 16,
    "model.head_channels": 16,
    "model.levels": 32,
}
PREFETCHED = "triton, ahead"
STAGES_AHEAD = 3
MOST_STREAMS = 4096
# Every stream generates this much audio in one block, and may take no longer than it plays.
AUDIO_SECONDS = 0.2
TRIAL_AUDIO_SECONDS = 0.0005
SINGLE = (
    Column("preset", "one stream", 14),
    Column("engine", "engine", 13),
    Column("precision", "precision", 9),
    Column("us", "us a sample", 11, ".1f"),
    Column("samples_per_second", "samples/s", 9, ",.0f"),
    Column("realtime", "x real time", 11, ".2f"),
    Column("times_eager", "x eager", 7, ".1f"),
)
MANY = (
    Column("preset", "in real time", 14),
    Column("precision", "precision", 9),
    Column("hertz", "Hz", 6, "d"),
    Column("streams", "streams", 7, "d"),
    Column("samples_per_second", "samples/s", 11, ",.0f"),
)


def run(report: Report, device: torch.device) -> None:
    """One stream of each preset, then the streams in real time."""
    compiled: list[float] = []
    listen(lambda _kernel, seconds: compiled.append(seconds))
    single = report.table("one stream", SINGLE)
    for name in ONE_STREAM:
        if out_of_time(report, name):
            continue
        config = preset(name, device)
        cases = list(one_stream(config, device, report))
        for compared in comparison.compare(config, cases):
            row = compared.row
            single.row(
                preset=name,
                engine=row.engine,
                precision=row.precision,
                us=1e6 / row.samples_per_second,
                samples_per_second=row.samples_per_second,
                realtime=row.realtime,
                times_eager=compared.times_eager,
            )
    report.say("")
    many = report.table("streams in real time", MANY)
    for name in REAL_TIME:
        for precision in PRECISIONS:
            if out_of_time(report, f"{name} in {precision}"):
                continue
            try:
                reached = streams_in_real_time(name, precision, device)
            except Exception as e:
                reached = {"note": f"failed: {reason(e)}"}
            many.row(preset=name, precision=precision, **reached)
    report.say(f"Triton compiled {len(compiled)} kernels in {sum(compiled):.1f} s")
    report.keep("compiled", {"kernels": len(compiled), "seconds": sum(compiled)})


def reason(error: Exception) -> str:
    """Why a case is left out: a kernel may not compile or run for any reason.

    Raises an AcceleratorError again: with the GPU, this process can do nothing more.
    """
    if isinstance(error, torch.AcceleratorError):
        raise error
    return str(error).strip().partition("\n")[0]


def out_of_time(report: Report, what: str) -> bool:
    if report.left > 0:
        return False
    report.say(f"no time for {what}")
    return True


def preset(name: str, device: torch.device) -> Config:
    trial = {} if device.type == "cuda" else TRIAL
    return loading.load(name, COMMON | trial)


def one_stream(config: Config, device: torch.device, report: Report) -> Iterator[Case]:
    """The eager step, then every engine of a GPU; a line for each that cannot be had."""
    weights, n_noise = measure.random_weights(config), distribution_for(config.model).n_noise
    eager = EagerStep(config.model, weights, 1, device)
    # An interpreter takes its time for each sample.
    chunk = 8 if device.type == "cuda" else 2
    yield Case(Row(EAGER_ON_GPU, "fp32", 0, 1), eager.run, n_noise, chunk)
    variants = [("triton", p) for p in PRECISIONS] + [("cuda-graph", "fp32")]
    for engine, precision in [*variants, *((PREFETCHED, p) for p in PRECISIONS)]:
        row = Row(engine, precision, 0, 1)
        try:
            made = engine_of(engine, config, weights, precision)
            streams = measure.Streams(made, config.model, weights, 1)
            case = Case(row, streams.run, n_noise, chunk)
            case.advance()
        except Exception as e:
            report.say(f"{engine} in {precision}: {reason(e)}")
            continue
        yield case


def engine_of(name: str, config: Config, weights: dict[str, Array], precision: str) -> Engine:
    options = EngineOptions(precision)
    if name != PREFETCHED:
        return create_engine(name, config.model, weights, options)
    from wavenet.engines.gpu.triton_engine import TritonEngine

    return TritonEngine(config.model, weights, options, prefetch=STAGES_AHEAD)


def streams_in_real_time(name: str, precision: str, device: torch.device) -> dict[str, Any]:
    """The most streams of a preset that are generated as fast as they play, within a twentieth."""
    config, on_gpu = preset(name, device), device.type == "cuda"
    weights = measure.random_weights(config)
    engine = create_engine("triton", config.model, weights, EngineOptions(precision))
    seconds = AUDIO_SECONDS if on_gpu else TRIAL_AUDIO_SECONDS
    samples = max(1, round(seconds * config.audio.sample_rate))
    n_noise = distribution_for(config.model).n_noise
    taken: dict[int, float] = {}

    def keeps_up(batch: int) -> bool:
        streams = measure.Streams(engine, config.model, weights, batch)
        # Made once, because it is the engine that is timed.
        noise = noise_for(0, range(batch), 0, samples, n_noise)
        # The second of two tries decides: in the first, libraries set themselves up.
        for _ in range(2):
            started = time.perf_counter()
            streams.run(noise)
            taken[batch] = time.perf_counter() - started
        return taken[batch] <= seconds

    limit = MOST_STREAMS if on_gpu else 2
    most = most_streams(keeps_up, limit)
    rate = config.audio.sample_rate
    row: dict[str, Any] = {"hertz": rate, "streams": most}
    if most:
        row["samples_per_second"] = most * samples / taken[most]
    return row | ({"note": "or more"} if most == limit else {})


def most_streams(keep_up: Callable[[int], bool], limit: int) -> int:
    """The most streams that keep up, within a twentieth; 0 if not even one does."""
    best, over = 0, 1
    while over <= limit and keep_up(over):
        best, over = over, over * 2
    while best and over <= limit and over - best > max(1, best // 20):
        middle = (best + over) // 2
        best, over = (middle, over) if keep_up(middle) else (best, middle)
    return best
