"""What only a GPU can show: races between threads and streams, captures, and long launches.

Elsewhere each test runs with few streams and steps, as a test of itself.
"""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines.parity import MODELS, VARIED, Streams, few, noise_of
from tests.helpers import INTERPRETED, SMALL, arrays, network, require_triton
from wavenet.config import loading
from wavenet.engines import ON_GPU, Engine, create_engine
from wavenet.engines.gpu.cuda_graph import BLOCK_STEPS, Step
from wavenet.engines.options import PRECISIONS, EngineOptions
from wavenet.glossary import Array
from wavenet.model.network import WaveNet

pytestmark = pytest.mark.gpu
HAS_GPU = torch.cuda.is_available()


@pytest.fixture(params=ON_GPU)
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        require_triton()
    return str(request.param)


@functools.cache
def large_network() -> WaveNet:
    """One whose step keeps all threads of a program at work, and whose layers load ahead."""
    return network(loading.load("nv-wavenet").model if HAS_GPU else SMALL)


def engine_for(name: str, model: WaveNet) -> Engine:
    return create_engine(name, model.config, arrays(model))


# --- races ----------------------------------------------------------------------------------------


def test_streams_beyond_the_multiprocessors_are_what_each_is_alone(engine_name: str) -> None:
    count = 2 * torch.cuda.get_device_properties(0).multi_processor_count + 1 if HAS_GPU else 3
    model = large_network()
    engine = engine_for(engine_name, model)
    noise = noise_of(model, 1, count, few(engine_name, 300, 5))
    together = Streams(engine, model, range(count)).generate(noise)
    for i in (0, count // 2, count - 1):
        alone = Streams(engine, model, [i]).generate(noise[i : i + 1])
        assert (alone[0] == together[i]).all(), f"stream {i} of {count}"
    assert (Streams(engine, model, range(count)).generate(noise) == together).all()
    assert len(np.unique(together, axis=0)) == count


@pytest.mark.parametrize(
    "name", [pytest.param(m, marks=[pytest.mark.slow] * bool(INTERPRETED)) for m in VARIED[::2]]
)
def test_a_long_launch_equals_its_blocks(name: str) -> None:
    require_triton()
    model = network(MODELS[name])
    steps = 5000 if HAS_GPU else 9
    engine, noise = engine_for("triton", model), noise_of(model, 1, 2, steps)
    at_once = Streams(engine, model, range(2)).generate(noise)
    streams = Streams(engine, model, range(2))
    ends = [0, 1, steps // 3, steps // 3 + 1, steps]
    parts = [streams.generate(noise[:, a:b]) for a, b in pairwise(ends)]
    assert (np.concatenate(parts, axis=1) == at_once).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_loaded_ahead_change_no_sample(precision: str) -> None:
    require_triton()
    from triton.runtime.errors import OutOfResources

    from wavenet.engines.gpu.triton_engine import TritonEngine

    model, options = large_network(), EngineOptions(precision)
    noise = noise_of(model, 1, 2, 5000 if HAS_GPU else 5)

    def generated(prefetch: int) -> Array:
        engine = TritonEngine(model.config, arrays(model), options, prefetch=prefetch)
        return Streams(engine, model, range(2)).generate(noise)

    try:
        assert (generated(3) == generated(1)).all()
    except OutOfResources as e:
        pytest.skip(f"this GPU has too little shared memory: {e}")


# --- captures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIED)
def test_a_captured_step_replays_what_it_computes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also across blocks, and after a batch of another size had a step of its own captured."""
    model = network(MODELS[name])
    steps, some = BLOCK_STEPS + 20, 7
    noise = noise_of(model, 1, 3, steps)

    def generated() -> tuple[Any, Any]:
        engine = engine_for("cuda-graph", model)
        two, three = (Streams(engine, model, range(n)) for n in (2, 3))
        start = two.generate(noise[:2, :some])
        three.generate(noise[:, :some])
        return np.concatenate([start, two.generate(noise[:2, some:])], axis=1), two.state.rings

    codes, rings = generated()
    assert (Streams("cuda-graph", model, range(2)).generate(noise[:2]) == codes).all()
    monkeypatch.setattr(Step, "_captured", lambda step: step._advance)
    eager_codes, eager_rings = generated()
    assert (eager_codes == codes).all()
    torch.testing.assert_close(eager_rings, rings, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not HAS_GPU, reason="pins memory for a GPU")
def test_another_thread_may_pin_memory_during_a_capture() -> None:
    """As the thread that makes batches ahead does, while training renders a sample."""
    model = network(SMALL)
    noise = noise_of(model, 1, 4, 20)
    expected = [Streams("cuda-graph", model, range(n)).generate(noise[:n]) for n in (1, 2, 3, 4)]
    done = threading.Event()

    def pin() -> int:
        # Kept, because what is given back would be given out again.
        kept = []
        while not done.is_set():
            kept.append(torch.empty(4096, dtype=torch.uint8, pin_memory=True))
        return len(kept)

    with ThreadPoolExecutor(1) as pool:
        pinned = pool.submit(pin)
        try:
            engine = engine_for("cuda-graph", model)
            for n, codes in enumerate(expected, 1):
                assert (Streams(engine, model, range(n)).generate(noise[:n]) == codes).all()
        finally:
            done.set()
        assert pinned.result() > 0
