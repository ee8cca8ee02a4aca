"""The number of threads and the lengths of blocks change how fast samples come, nothing else."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.conftest import SMALL, StreamConditioning, arrays, network
from wavenet.config import ModelConfig
from wavenet.engines.cpu import numba_engine, thread_scheduler
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for, uniforms
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


CONDITIONED = replace(
    UNEVEN,
    mel_bands=6,
    mel_hop=8,
    mel_window=32,
    mel_channels=5,
    label_channels=2,
    labels=("ada", "bob"),
)
SMOOTH = replace(
    UNEVEN,
    layer="hybrid",
    smooth=True,
    context="pyramid",
    pyramid_dilations=(3, 17),
    pyramid_window=30,
)
CONFIGS = {
    "smooth hybrid with a pyramid": SMOOTH,
    "a kernel for each layer": replace(UNEVEN, kernel_size=(2, 5, 3, 2, 4)),
}
CONFIGS |= {
    "kernel 2": SMALL,
    "uneven": UNEVEN,
    "gaussian": replace(UNEVEN, output="gaussian"),
    "conditioned": CONDITIONED,
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    config: ModelConfig = request.param
    return config


class Shared(thread_scheduler.ThreadScheduler):
    """Two threads for everything, in segments of odd lengths."""

    segments = 0

    def next(self, steps: int) -> tuple[int, bool]:
        self.segments += 1
        return min(steps, 1 + 13 * self.segments % 29), True


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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [1, 5])
def test_two_threads_make_the_same_samples_as_one(
    config: ModelConfig, precision: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, shared = engines(config, monkeypatch, precision)
    noise = noise_for(1, range(batch), 0, 700, alone.distribution.n_noise)
    streams = StreamConditioning(network(config), range(batch))
    states = [e.init_state(batch, streams.conditioning(0, 0)) for e in (alone, shared)]
    conditioning = streams.conditioning(0, 700)
    a = alone.generate(states[0], noise, Sampling(), conditioning)
    b = shared.generate(states[1], noise, Sampling(), conditioning)
    assert (a == b).all()
    assert len(np.unique(a)) > 10
    for name in ("ring", "ahead", "skips", "sums", "last"):
        assert (getattr(states[0], name) == getattr(states[1], name)).all(), name
    more = streams.conditioning(700, 90)
    np.testing.assert_array_equal(
        alone.prefill(states[0], a[:, :90], more), shared.prefill(states[1], a[:, :90], more)
    )


def test_what_one_thread_began_two_go_on_with(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, shared = engines(config, monkeypatch)
    noise = noise_for(2, [0], 0, 400, alone.distribution.n_noise)
    streams = StreamConditioning(network(config), [1])
    state = alone.init_state(1, streams.conditioning(0, 0))
    expected = alone.generate(state, noise, Sampling(), streams.conditioning(0, 400))
    state, parts, start = alone.init_state(1, streams.conditioning(0, 0)), [], 0
    for i, count in enumerate([1, 2, 3, 61, 8, 8, 7, 110, 200]):
        engine = (alone, shared)[i % 2]
        part, conditioning = noise[:, start : start + count], streams.conditioning(start, count)
        parts.append(engine.generate(state, part, Sampling(), conditioning))
        start += count
    assert start == 400
    assert (np.concatenate(parts, axis=1) == expected).all()


def test_a_stream_is_the_same_in_any_batch_bit_for_bit(config: ModelConfig) -> None:
    """Rows of a product are computed eight, four or one at a time, and time blocks beside them.

    The sums never change.
    """
    engine = NumbaEngine(config, arrays(network(config)), EngineOptions(threads=1))
    x = np.random.default_rng(0).integers(0, config.levels, (13, 50))
    streams = StreamConditioning(network(config), range(13))
    state = engine.init_state(13, streams.conditioning(0, 0))
    together = engine.prefill(state, x, streams.conditioning(0, 50))
    for b in range(13):
        stream = StreamConditioning(network(config), [b])
        state = engine.init_state(1, stream.conditioning(0, 0))
        alone = engine.prefill(state, x[b : b + 1], stream.conditioning(0, 50))
        np.testing.assert_array_equal(alone[0], together[b])


def test_a_repeated_state_goes_on_from_the_middle_of_a_block(config: ModelConfig) -> None:
    engine = NumbaEngine(config, arrays(network(config)), EngineOptions(threads=1))
    x = np.random.default_rng(0).integers(0, config.levels, (1, 60))
    one = StreamConditioning(network(config), [0])
    three = StreamConditioning(network(config), [0] * 3)
    for prefix in (1, 3, 8, 21):
        state = engine.init_state(1, one.conditioning(0, 0))
        engine.prefill(state, x[:, :prefix], one.conditioning(0, prefix))
        copies = engine.select(state, [0] * 3)
        rest = x[:, prefix:]
        expected = engine.prefill(state, rest, one.conditioning(prefix, 60 - prefix))
        repeated, conditioning = np.repeat(rest, 3, axis=0), three.conditioning(prefix, 60 - prefix)
        params = engine.prefill(copies, repeated, conditioning)
        np.testing.assert_array_equal(params, np.repeat(expected, 3, axis=0))


def test_nobody_waits_for_a_consumer_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shared = engines(SMALL, monkeypatch)
    shared.generate(shared.init_state(1), uniforms(0, 0, 0, 10)[None], Sampling())

    def failing(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(numba_engine, "consume", failing)
    with pytest.raises(MemoryError, match="no room"):
        shared.generate(shared.init_state(1), uniforms(0, 0, 0, 10)[None], Sampling())


def test_a_consumer_ends_when_its_producer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may arrive between the start of one and of the other."""
    _, shared = engines(SMALL, monkeypatch)
    shared.generate(shared.init_state(1), uniforms(0, 0, 0, 10)[None], Sampling())
    with monkeypatch.context() as patch:

        def interrupted(*_arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(numba_engine, "produce", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shared.generate(shared.init_state(1), uniforms(0, 0, 0, 1000)[None], Sampling())
    assert shared._pool is not None
    # The only thread of the pool is free again.
    assert shared._pool.submit(int).result(timeout=10) == 0


@pytest.mark.parametrize("batch", [1, 5])
def test_nobody_writes_on_when_handing_out_work_is_interrupted(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside `submit`, after the task was queued.

    The state says that it is of no use any more.
    """
    _, shared = engines(SMALL, monkeypatch)
    noise = np.stack([uniforms(0, i, 0, 1000) for i in range(batch)])
    state = shared.init_state(batch)
    shared.generate(state, noise[:, :10], Sampling())
    pool = shared._pool
    assert pool is not None
    submit = pool.submit

    def interrupted(*task: Any) -> None:
        submit(*task)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shared.generate(state, noise, Sampling())
    assert submit(int).result(timeout=10) == 0
    with pytest.raises(
        EngineError, match="this state was interrupted in the middle of a step; start from another"
    ):
        shared.generate(state, noise, Sampling())


def test_threads_of_which_only_some_start_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, noise = arrays(network(SMALL)), np.stack([uniforms(1, i, 0, 100) for i in range(8)])
    alone, shared = (NumbaEngine(SMALL, weights, EngineOptions(threads=n)) for n in (1, 4))
    shared._scheduler = Shared()
    start, before = threading.Thread.start, threading.active_count()

    def second_refused(thread: threading.Thread) -> None:
        if threading.active_count() > before:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_refused)
    expected = alone.generate(alone.init_state(8), noise, Sampling())
    assert (shared.generate(shared.init_state(8), noise, Sampling()) == expected).all()


def test_what_compiled_code_would_not_check_is_refused() -> None:
    engine = NumbaEngine(SMALL, arrays(network(SMALL)))
    for code in (-1, 32):
        with pytest.raises(EngineError, match="must be codes from 0 to 31"):
            engine.prefill(engine.init_state(1), np.array([[3, code]]))
    for streams in (1, 3):
        with pytest.raises(EngineError, match=f"{streams} streams do not go on from a state of 2"):
            engine.generate(
                engine.init_state(2), np.full((streams, 5), 0.5, np.float32), Sampling()
            )
    x = np.random.default_rng(0).integers(0, 32, (20, 2))
    np.testing.assert_array_equal(
        engine.prefill(engine.init_state(2), x.T), engine.prefill(engine.init_state(2), x.T.copy())
    )


def test_threads_that_cannot_be_started_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, shared = engines(UNEVEN, monkeypatch)

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    for batch in (1, 4):
        noise = noise_for(1, range(batch), 0, 100, alone.distribution.n_noise)
        expected = alone.generate(alone.init_state(batch), noise, Sampling())
        assert (shared.generate(shared.init_state(batch), noise, Sampling()) == expected).all()


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
    assert "up to 2 threads" in NumbaEngine(
        big, arrays(network(big)), EngineOptions(threads=8)
    ).describe(1)


def test_a_network_that_overflows_is_noticed() -> None:
    weights = arrays(network(SMALL))
    weights |= {
        "hidden.weight": weights["hidden.weight"] * np.float32(1e37),
        "output.weight": weights["output.weight"] * np.float32(1e5),
    }
    engine = NumbaEngine(SMALL, weights, EngineOptions(threads=1))
    with pytest.raises(
        EngineError, match=r"not finite after 40 samples: its weights are too large"
    ):
        engine.generate(engine.init_state(1), uniforms(0, 0, 0, 40)[None], Sampling())


def test_unknown_options_are_named() -> None:
    with pytest.raises(EngineError, match=r"--precision fp8: must be fp32, or bf16"):
        EngineOptions("fp8")
    with pytest.raises(EngineError, match=r"--threads -1: must be 0"):
        EngineOptions(threads=-1)
    assert replace(EngineOptions(), threads=3).most_threads == 3
