"""Engines for GPUs. Where there is none, a CPU and Triton's interpreter stand in for it.

What these cannot notice is in `test_kernel_compiles`, which needs no device, and in
`test_on_a_gpu`.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines.parity import (
    GAUSSIAN,
    LOGISTIC,
    UNEVEN,
    WIDE,
    Streams,
    explained,
    near_draws,
    noise_of,
    teacher_forced,
)
from tests.helpers import BOTH, SMALL, arrays, network, require_triton
from wavenet import engines
from wavenet.config import ModelConfig
from wavenet.engines import ON_GPU, create_engine
from wavenet.engines.gpu import cuda_graph
from wavenet.engines.gpu.network import Network
from wavenet.engines.kinds import KINDS
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError, UsageError, WavenetError
from wavenet.glossary import Array
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture
from wavenet.model.network import WaveNet


@pytest.fixture(params=ON_GPU)
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        require_triton()
    return str(request.param)


# --- what streams remember ------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize(
    "config",
    [WIDE, GAUSSIAN, replace(BOTH, output="logistic")],
    ids=["mu-law", "gaussian", "conditioned"],
)
def test_the_parallel_pass_over_a_prompt_leaves_what_single_steps_leave(
    engine_name: str, config: ModelConfig
) -> None:
    """Also when it comes in parts, and when it is longer than a ring."""
    model, steps = network(config), 10
    stepped = Streams(engine_name, model, range(2))
    x = stepped.generate(noise_of(model, 1, 2, steps))
    for parts in ([0, steps], [0, 1, 4, steps]):
        prefilled = Streams(engine_name, model, range(2))
        for a, b in pairwise(parts):
            prefilled.prefill(x[:, a:b])
        assert (prefilled.state.times == steps).all()
        assert (stepped.state.times == steps).all()
        assert (prefilled.state.last == stepped.state.last).all()
        torch.testing.assert_close(prefilled.state.rings, stepped.state.rings, atol=1e-5, rtol=1e-5)


def test_states_selected_from_another_are_their_own(engine_name: str) -> None:
    model = network(SMALL)
    noise, streams = noise_of(model, 1, 3, 8), Streams(engine_name, model)
    streams.prefill(np.arange(20)[None] % 32)
    copies = streams.select([0, 0, 0])
    copies.generate(noise)
    before = streams.select([0]).generate(noise[:1])
    assert (streams.generate(noise[:1]) == before).all()
    assert (copies.state.times == 28).all()
    assert (streams.state.times == 28).all()


@pytest.mark.gpu
def test_no_samples_leave_everything_as_it_was(engine_name: str) -> None:
    streams = Streams(engine_name, network(SMALL), range(2))
    assert streams.generate(np.zeros((2, 0, 1), np.float32)).shape == (2, 0)
    assert streams.prefill(np.zeros((2, 0), np.int64)).shape == (2, 0, 32)
    assert (streams.state.times == 0).all()


# --- captures -------------------------------------------------------------------------------------


def test_a_capture_forbids_nothing_to_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of CUDA there is only a likeness here. It tells in which mode a step is captured."""
    model, calls = network(SMALL), []
    streams = Streams("cuda-graph", model)
    streams.generate(noise_of(model, 1, 1, 1))
    (step,) = streams.engine._steps.values()  # type: ignore[attr-defined]
    signature = inspect.signature(torch.cuda.graph)
    stream = SimpleNamespace(wait_stream=lambda _other: None)

    @contextmanager
    def capture(*arguments: Any, **keywords: Any) -> Iterator[None]:
        calls.append(signature.bind(*arguments, **keywords).arguments)
        yield

    for name, likeness in {
        "CUDAGraph": lambda: SimpleNamespace(replay="replay"),
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": nullcontext,
        "device": nullcontext,
        "graph": capture,
    }.items():
        monkeypatch.setattr(torch.cuda, name, likeness)
    assert step._captured() == "replay"
    assert [c["capture_error_mode"] for c in calls] == ["thread_local"]


def test_batches_of_a_size_that_was_there_are_not_captured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when streams come and go. Those that were not used for long give way."""
    model, captured = network(SMALL), []

    class Recorded(cuda_graph.Step):
        def __init__(self, network: Network, batch: int, hop: int, limited: bool) -> None:
            captured.append(batch)
            super().__init__(network, batch, hop, limited)

    monkeypatch.setattr(cuda_graph, "Step", Recorded)
    engine = create_engine("cuda-graph", SMALL, arrays(model))
    batches = {size: Streams(engine, model, range(size)) for size in (1, 2, 3)}
    noise = noise_of(model, 1, 3, 40)
    parts: dict[int, list[Array]] = {size: [] for size in batches}
    for i in range(0, 40, 10):
        for size, streams in batches.items():
            parts[size].append(streams.generate(noise[:size, i : i + 10]))
    assert captured == [1, 2, 3]
    for size, codes in parts.items():
        whole = Streams("cuda-graph", model, range(size)).generate(noise[:size])
        assert (np.concatenate(codes, 1) == whole).all()

    captured.clear()
    monkeypatch.setattr(cuda_graph, "MOST_STEPS", 3)
    for size in (1, 2, 4, 1, 2, 3):
        Streams(engine, model, range(size)).generate(noise_of(model, 1, size, 1))
    assert captured == [4, 3]
    # As of many streams: nothing is kept beside the next.
    captured.clear()
    monkeypatch.setattr(cuda_graph, "MOST_BYTES", 0)
    for size in (4, 2, 2, 4):
        Streams(engine, model, range(size)).generate(noise_of(model, 1, size, 1))
        assert len(engine._steps) == 1  # type: ignore[attr-defined]
    assert captured == [4, 2, 4]


# --- bf16 -----------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("config", [WIDE, LOGISTIC], ids=["mu-law", "logistic"])
def test_bf16_is_the_same_computation_with_rounded_matrices(config: ModelConfig) -> None:
    require_triton()
    model = network(config)
    matrices = {
        k: v
        for k, v in model.state_dict().items()
        if k.endswith("weight") and k != "embedding.weight"
    }
    rounded = WaveNet.from_arrays(
        config, arrays(model) | {k: v.bfloat16().float().numpy() for k, v in matrices.items()}
    )
    engine = create_engine("triton", config, arrays(model), EngineOptions("bf16"))
    noise = noise_of(model, 2, 1, 15)
    x = Streams(engine, model).generate(noise)
    params = teacher_forced(rounded, x)
    assert all(explained(rounded, params[0, t], noise[0, t], int(x[0, t])) for t in range(15))
    np.testing.assert_allclose(Streams(engine, model).prefill(x), params, atol=1e-4)
    assert np.abs(params - teacher_forced(model, x)).max() > 1e-3
    assert "bf16" in engine.describe(1)


# --- draws ----------------------------------------------------------------------------------------

ROWS = 30
SAMPLINGS = [Sampling(t) for t in (1, 0.5, 0)]
SAMPLINGS += [Sampling(2, 1), Sampling(1, 5), Sampling(1, 64)]
SAMPLINGS += [Sampling(1, 0, 0.6), Sampling(1, 0, 1e-6), Sampling(1.3, 12, 0.9)]
# All paths of a kernel.
FOR_GPUS = (Sampling(0.5), Sampling(0), Sampling(2, 1), Sampling(1.3, 12, 0.9))


def drawn_in_a_kernel(
    distribution: Distribution, params: Array, noise: Array, sampling: Sampling
) -> Array:
    require_triton()
    from tests.engines.draw_kernel import draw_rows

    n = distribution.n_params
    padded = np.zeros((len(params), 64), np.float32)
    padded[:, :n] = params
    noise = noise.astype(np.float32).copy()
    codes = torch.zeros(len(params), dtype=torch.int32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = [a.to(device) for a in (torch.from_numpy(padded), torch.from_numpy(noise), codes)]
    limits = float(sampling.temperature), min(sampling.top_k or n, n), float(sampling.top_p)
    kind, n_noise = KINDS[distribution.kind], distribution.n_noise
    sizes = {"KIND": kind, "N_NOISE": n_noise, "N": 64, "N_PARAMS": n}
    # `enable_fp_fusion` is named because Triton warns where it is not.
    draw_rows[(len(params),)](*tensors, *limits, **sizes, enable_fp_fusion=True)
    return tensors[2].cpu().numpy()


@pytest.mark.parametrize(
    "sampling", [pytest.param(s, marks=[pytest.mark.gpu] * (s in FOR_GPUS)) for s in SAMPLINGS]
)
def test_the_kernels_draw_is_the_oracles(sampling: Sampling) -> None:
    """Logits from flat to spiky, with ties, and some so far off that their probability is zero."""
    generator, d = np.random.default_rng(0), Categorical(64)
    logits = generator.standard_normal((ROWS, 64)) * generator.choice([0, 0.1, 1, 5, 40], (ROWS, 1))
    params = logits.astype(np.float32)
    params[::3] = np.round(params[::3])
    noise = (generator.integers(0, 2**23, (ROWS, 1)) + 0.5) / 2**23
    codes, expected = drawn_in_a_kernel(d, params, noise, sampling), d.draw(params, noise, sampling)
    for row in np.flatnonzero(codes != expected):
        assert codes[row] in near_draws(d, params[row], noise[row], sampling)
    assert (codes != expected).mean() < 0.05


@pytest.mark.parametrize(
    "distribution", [LogisticMixture(20), GaussianMixture(7)], ids=["logistic", "gaussian"]
)
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0), pytest.param(Sampling(0.7), marks=pytest.mark.gpu)]
)
def test_the_kernels_draw_from_a_mixture_is_the_oracles(
    distribution: Distribution, sampling: Sampling
) -> None:
    generator, k = np.random.default_rng(0), distribution.components
    logits, means = generator.standard_normal((2, ROWS, k)) * [[[2]], [[20]]]
    log_scales = generator.uniform(-12, 1, (ROWS, k))
    params = np.concatenate([logits, means, log_scales], 1).astype(np.float32)
    noise = (generator.integers(0, 2**23, (ROWS, distribution.n_noise)) + 0.5) / 2**23
    codes = drawn_in_a_kernel(distribution, params, noise, sampling)
    expected = distribution.draw(params, noise, sampling)
    # One draw may lie on a boundary between components.
    assert (np.abs(codes - expected) > 1).sum() <= 1
    assert len(np.unique(expected)) > ROWS // 2


# --- what is refused ------------------------------------------------------------------------------


def test_what_does_not_go_on_from_a_state_is_refused(engine_name: str) -> None:
    model = network(SMALL)
    streams = Streams(engine_name, model, range(2))
    with pytest.raises(EngineError, match="3 streams"):
        streams.generate(noise_of(model, 1, 3, 5))
    with pytest.raises(UsageError, match="from 0 to 31"):
        streams.prefill(np.array([[0, 1], [2, 32]]))
    assert (streams.state.times == 0).all()


# The interpreter computes with NumPy, which warns of an overflow.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_network_that_overflows_is_refused() -> None:
    require_triton()
    weights = arrays(network(SMALL))
    weights |= {
        "hidden.bias": np.full_like(weights["hidden.bias"], 1e30),
        "output.weight": weights["output.weight"] * 1e30,
    }
    engine = create_engine("triton", SMALL, weights)
    with pytest.raises(EngineError, match="not finite after 2 samples"):
        engine.generate(engine.init_state(1), np.full((1, 2, 1), 0.5, np.float32), Sampling())


def test_a_model_too_wide_for_the_kernel_goes_to_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_triton()
    config = replace(SMALL, residual_channels=256, gate_channels=256)
    weights = arrays(WaveNet(config))
    with pytest.raises(UnsupportedModelError, match=r"model\.residual_channels = 256"):
        create_engine("triton", config, weights)
    monkeypatch.setattr(engines, "nvidia", lambda: True)
    assert create_engine("auto", config, weights).name == "numba"
    assert create_engine("auto", SMALL, arrays(network(SMALL))).name == "triton"


def test_double_precision_has_no_bf16() -> None:
    with pytest.raises(UnsupportedModelError, match="double precision"):
        create_engine("cuda-graph", SMALL, arrays(network(SMALL)), EngineOptions("bf16"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_engines_say_so_and_auto_takes_another(
    engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = arrays(network(SMALL))
    # Kernels first imported without the switch would stay uninterpreted in tests that follow.
    if find_spec("triton"):
        import_module("wavenet.engines.gpu.triton_kernels")
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UnsupportedModelError, match="built without CUDA"):
        create_engine(engine_name, SMALL, weights)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UnsupportedModelError, match="no NVIDIA GPU"):
        create_engine(engine_name, SMALL, weights)
    # Whether there is a driver; PyTorch can use nothing either way.
    for driver in (True, False):
        monkeypatch.setattr(engines, "nvidia", lambda driver=driver: driver)
        assert create_engine("auto", SMALL, weights).name == "numba"


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in [n for n in sys.modules if n.startswith("wavenet.engines.gpu.triton")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(WavenetError, match=r"cannot be loaded \(.*triton"):
        create_engine("triton", SMALL, arrays(network(SMALL)))
    monkeypatch.setattr(engines, "nvidia", lambda: True)
    assert create_engine("auto", SMALL, arrays(network(SMALL))).name == "numba"


def test_sizes_are_padded_to_powers_of_two() -> None:
    require_triton()
    from wavenet.engines.gpu.triton_engine import padded_channels

    assert [padded_channels(n) for n in (1, 16, 17, 64, 100)] == [16, 16, 32, 64, 128]
    engine = create_engine("triton", UNEVEN, arrays(network(UNEVEN)))
    assert engine.init_state(1).rings.shape[2] == 16
