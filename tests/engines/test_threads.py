"""The number of threads and the lengths of blocks change how fast samples come, nothing else."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engines.parity import Shared, Streams, noise_of
from tests.helpers import SMALL, arrays, network
from wavenet.config import ModelConfig
from wavenet.engines.cpu import numba_engine, thread_scheduler
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UsageError
from wavenet.generation.noise import uniforms
from wavenet.glossary import Array
from wavenet.model.distributions.base import Sampling

UNEVEN = ModelConfig(
    dilations=(1, 3, 9, 12, 40),
    kernel_size=3,
    residual_channels=19,
    gate_channels=26,
    skip_channels=37,
    head_channels=5,
    levels=64,
)
MEL = {"mel_bands": 6, "frame_hop": 8, "frame_window": 32, "frame_channels": 5}
PYRAMID = {"context": "pyramid", "pyramid_dilations": (3, 17), "pyramid_window": 30}
CONFIGS = {
    "smooth hybrid with a pyramid": replace(UNEVEN, layer="hybrid", smooth=True, **PYRAMID),
    "a kernel for each layer": replace(UNEVEN, kernel_size=(2, 5, 3, 2, 4)),
    "kernel 2": SMALL,
    "uneven": UNEVEN,
    "gaussian": replace(UNEVEN, output="gaussian"),
    "conditioned": replace(UNEVEN, label_channels=2, labels=("ada", "bob"), **MEL),
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request: pytest.FixtureRequest) -> Any:
    return request.param


def engines(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch, precision: str = "fp32"
) -> tuple[NumbaEngine, NumbaEngine]:
    """An engine of one thread, and one of two that share every step."""
    monkeypatch.setattr(numba_engine, "MIN_PIPELINED_BYTES", 0)
    weights = arrays(network(config))
    alone, shared = (
        NumbaEngine(config, weights, EngineOptions(precision, threads)) for threads in (1, 2)
    )
    shared._scheduler = Shared()
    return alone, shared


def test_streams_of_a_batch_are_always_split_where_that_is_asked_for() -> None:
    model = network(SMALL)
    noise = noise_of(model, 1, 5, 400)
    alone = Streams(NumbaEngine(SMALL, arrays(model), EngineOptions(threads=1)), model, range(5))
    options = EngineOptions(threads=3, always_split=True)
    engine = NumbaEngine(SMALL, arrays(model), options)
    split = Streams(engine, model, range(5))
    assert (split.generate(noise) == alone.generate(noise)).all()
    # One thread alone was never tried.
    assert np.isnan(engine._scheduler.seconds[False])
    # A single thread is not split.
    one = NumbaEngine(SMALL, arrays(model), replace(options, threads=1))
    again = Streams(engine, model, range(5)).generate(noise)
    assert (Streams(one, model, range(5)).generate(noise) == again).all()


# The kernels are compiled once more for bf16.
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch", [1, 5])
def test_two_threads_make_the_same_samples_as_one(
    config: ModelConfig, precision: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(config)
    noise = noise_of(model, 1, batch, 700)
    alone, shared = (
        Streams(e, model, range(batch)) for e in engines(config, monkeypatch, precision)
    )
    a, b = alone.generate(noise), shared.generate(noise)
    assert (a == b).all()
    assert len(np.unique(a)) > 10
    for name in ("ring", "ahead", "skips", "sums", "last"):
        assert (getattr(alone.state, name) == getattr(shared.state, name)).all(), name
    np.testing.assert_array_equal(alone.prefill(a[:, :90]), shared.prefill(a[:, :90]))


def test_what_one_thread_began_two_go_on_with(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(config)
    alone, shared = engines(config, monkeypatch)
    noise = noise_of(model, 2, 1, 400)
    expected = Streams(alone, model, [1]).generate(noise)
    streams, parts, start = Streams(alone, model, [1]), [], 0
    for i, count in enumerate([1, 2, 3, 61, 8, 8, 7, 110, 200]):
        streams.engine = (alone, shared)[i % 2]
        parts.append(streams.generate(noise[:, start : start + count]))
        start += count
    assert start == 400
    assert (np.concatenate(parts, axis=1) == expected).all()


def test_a_stream_is_the_same_in_any_batch_bit_for_bit(config: ModelConfig) -> None:
    """Rows of a product are computed eight, four or one at a time, and time blocks beside them.

    The sums never change.
    """
    model = network(config)
    engine = NumbaEngine(config, arrays(model), EngineOptions(threads=1))
    x = np.random.default_rng(0).integers(0, config.levels, (13, 50))
    together = Streams(engine, model, range(13)).prefill(x)
    for b in range(13):
        alone = Streams(engine, model, [b]).prefill(x[b : b + 1])
        np.testing.assert_array_equal(alone[0], together[b])


def test_a_repeated_state_goes_on_from_the_middle_of_a_block(config: ModelConfig) -> None:
    model = network(config)
    engine = NumbaEngine(config, arrays(model), EngineOptions(threads=1))
    x = np.random.default_rng(0).integers(0, config.levels, (1, 60))
    for prefix in (1, 3, 8, 21):
        streams = Streams(engine, model)
        streams.prefill(x[:, :prefix])
        copies = streams.select([0] * 3)
        expected = streams.prefill(x[:, prefix:])
        params = copies.prefill(np.repeat(x[:, prefix:], 3, axis=0))
        np.testing.assert_array_equal(params, np.repeat(expected, 3, axis=0))


def sharing(monkeypatch: pytest.MonkeyPatch, batch: int = 1) -> tuple[Streams, Array]:
    """Streams whose steps two threads share, and noise; they have begun."""
    model = network(SMALL)
    streams = Streams(engines(SMALL, monkeypatch)[1], model, range(batch))
    noise = noise_of(model, 0, batch, 1000)
    streams.generate(noise[:, :10])
    return streams, noise


def test_nobody_waits_for_a_consumer_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, noise = sharing(monkeypatch)

    def failing(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(numba_engine, "consume", failing)
    with pytest.raises(MemoryError, match="no room"):
        streams.generate(noise)


def test_a_consumer_ends_when_its_producer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may arrive between the start of one and of the other."""
    streams, noise = sharing(monkeypatch)
    with monkeypatch.context() as patch:

        def interrupted(*_arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(numba_engine, "produce", interrupted)
        with pytest.raises(KeyboardInterrupt):
            streams.generate(noise)
    # The only thread of the pool is free again.
    assert streams.engine._pool.submit(int).result(timeout=10) == 0


@pytest.mark.parametrize("batch", [1, 5])
def test_nobody_writes_on_when_handing_out_work_is_interrupted(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside `submit`, after the task was queued.

    The state says that it is of no use any more.
    """
    streams, noise = sharing(monkeypatch, batch)
    pool = streams.engine._pool
    submit = pool.submit

    def interrupted(*task: Any) -> None:
        submit(*task)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        streams.generate(noise)
    assert submit(int).result(timeout=10) == 0
    with pytest.raises(EngineError, match="interrupted"):
        streams.generate(noise)


def test_threads_of_which_only_some_start_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(SMALL)
    noise = noise_of(model, 1, 8, 100)
    alone, shared = (NumbaEngine(SMALL, arrays(model), EngineOptions(threads=n)) for n in (1, 4))
    shared._scheduler = Shared()
    start, before = threading.Thread.start, threading.active_count()

    def second_refused(thread: threading.Thread) -> None:
        if threading.active_count() > before:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_refused)
    a, b = (Streams(e, model, range(8)).generate(noise) for e in (alone, shared))
    assert (a == b).all()


def test_what_compiled_code_would_not_check_is_refused() -> None:
    engine = NumbaEngine(SMALL, arrays(network(SMALL)))
    for code in (-1, 32):
        with pytest.raises(UsageError, match="from 0 to 31"):
            engine.prefill(engine.init_state(1), np.array([[3, code]]))
    for streams in (1, 3):
        with pytest.raises(EngineError, match=f"{streams} streams do not go on from a state of 2"):
            engine.generate(engine.init_state(2), np.full((streams, 5), 0.5), Sampling())
    x = np.random.default_rng(0).integers(0, 32, (20, 2))
    np.testing.assert_array_equal(
        engine.prefill(engine.init_state(2), x.T), engine.prefill(engine.init_state(2), x.T.copy())
    )


def test_threads_that_cannot_be_started_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(UNEVEN)
    alone, shared = engines(UNEVEN, monkeypatch)

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    for batch in (1, 4):
        noise = noise_of(model, 1, batch, 100)
        a, b = (Streams(e, model, range(batch)).generate(noise) for e in (alone, shared))
        assert (a == b).all()


def test_the_faster_way_is_taken_and_the_other_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(thread_scheduler.time, "perf_counter", lambda: now)
    speeds = {True: 2e-4, False: 1e-4}  # seconds a step
    steps = {True: 0, False: 0}
    scheduler = thread_scheduler.ThreadScheduler()

    def generate(samples: int) -> None:
        nonlocal now
        while samples > 0:
            count, shared = scheduler.next(samples)
            with scheduler.measuring(count, shared):
                now += count * speeds[shared]
            steps[shared] += count
            samples -= count

    generate(200_000)
    assert 0 < steps[True] / steps[False] < 0.01
    assert now < 1.03 * 200_000 * speeds[False]
    # The machine has become quiet.
    speeds[True] = 5e-5
    generate(200_000)
    assert steps[True] > 0.7 * 200_000
    assert scheduler.next(1) == (1, True)
    # And very busy: each probe of two threads waits until another program yields.
    speeds[True] = 100e-4
    before, started = steps[True], now
    generate(200_000)
    assert steps[True] - before < 2_000
    assert now - started < 1.2 * 200_000 * speeds[False]
    # From then on only the time of probes is lost.
    before, started = steps[True], now
    generate(200_000)
    assert 0 < steps[True] - before < 50
    assert now - started < 1.02 * 200_000 * speeds[False]


def test_few_steps_are_not_timed() -> None:
    scheduler = thread_scheduler.ThreadScheduler()
    for _ in range(100):
        assert scheduler.next(3) == (3, False)
        with scheduler.measuring(3, False):
            pass
    assert scheduler.next(1000) == (64, False)


def test_more_threads_than_streams_or_a_small_model_use_fewer() -> None:
    weights = arrays(network(SMALL))
    engine = NumbaEngine(SMALL, weights, EngineOptions(threads=8))
    assert engine.describe(1).endswith("1 thread)")
    assert "up to 3 threads" in engine.describe(3)
    assert "up to 8 threads" in engine.describe(100)
    big = ModelConfig(layers=4, residual_channels=128, gate_channels=256)
    engine = NumbaEngine(big, arrays(network(big)), EngineOptions(threads=8))
    assert "up to 2 threads" in engine.describe(1)


def test_a_network_that_overflows_is_noticed() -> None:
    weights = arrays(network(SMALL))
    weights |= {
        "hidden.weight": weights["hidden.weight"] * np.float32(1e37),
        "output.weight": weights["output.weight"] * np.float32(1e5),
    }
    engine = NumbaEngine(SMALL, weights, EngineOptions(threads=1))
    with pytest.raises(EngineError, match="not finite after 40 samples"):
        engine.generate(engine.init_state(1), uniforms(0, 0, 0, 40)[None], Sampling())


@pytest.mark.parametrize(("parameter", "value"), [("precision", "fp8"), ("threads", -1)])
def test_unknown_options_are_named(parameter: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        EngineOptions(**{parameter: value})
    assert (caught.value.parameter, caught.value.value) == (parameter, value)


def test_the_number_of_threads_is_the_users() -> None:
    assert EngineOptions(threads=3).most_threads == 3
