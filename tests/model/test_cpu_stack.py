"""The stack's kernels for CPUs against the readable network in float64, in values and gradients."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("numba")

from tests.helpers import CONDITIONED, SMALL, network, some_codes
from tests.model import pattern_reference
from tests.model.stacks import SHAPES, double_inputs, gradients, weights_like
from wavenet.config import ModelConfig
from wavenet.model import machine_code
from wavenet.model.conditioning.carriers import FOREVER, Conditioning
from wavenet.model.network import WaveNet, WaveNetStack
from wavenet.model.stack_shape import IN_MACHINE_CODE, ON_CPU, form_for

CPU = torch.device("cpu")
# Rows of several blocks, and layers whose taps read nothing of what lies between them.
WIDE = ModelConfig(
    layers=9, dilation_cycle=256, residual_channels=24, gate_channels=40, skip_channels=50
)
TOLERANCE = 1e-5


@pytest.fixture(params=[1, 3], ids=["1 thread", "3 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def single(model: WaveNet) -> WaveNet:
    """The same network in float32, computed by the kernels."""
    copy = WaveNet(model.config)
    copy.load_state_dict(model.state_dict())
    copy.stack.form = IN_MACHINE_CODE
    return copy


def single_inputs(config: ModelConfig, x: Tensor) -> Any:
    inputs = double_inputs(config, x)
    return inputs and inputs.map(lambda a: a.float() if a.is_floating_point() else a)


def assert_close(actual: Tensor, expected: Tensor, name: str = "") -> None:
    """To a part of the largest number."""
    atol = TOLERANCE * expected.abs().max().item()
    torch.testing.assert_close(
        actual.double(), expected, rtol=0, atol=atol, msg=lambda m: f"{name}: {m}"
    )


def run(stack: WaveNetStack, x: Tensor, conditioning: Conditioning | None) -> dict[str, Tensor]:
    """What a stack makes of x, and the gradients of a loss in which every output has a weight."""
    stack.zero_grad()
    x = x.clone().requires_grad_()
    if conditioning is not None:
        features = conditioning.frames.clone().requires_grad_()
        conditioning = conditioning._replace(frames=features)
    skips = stack(x, conditioning)
    (skips * weights_like(skips)).sum().backward()
    found = {n: p.grad for n, p in stack.named_parameters() if p.grad is not None}
    found |= {"skips": skips.detach(), "x": x.grad}
    if conditioning is not None:
        found["features"] = conditioning.frames.grad
    return {name: t.clone() for name, t in found.items() if t is not None}


def assert_equals_the_stack_in_float64(config: ModelConfig, batch: int, segment: int) -> None:
    """Which equals ordinary convolutions to 1e-12: see test_fused_stack."""
    model = network(config).double()
    generator = torch.Generator().manual_seed(1)
    exact, fast = model.stack, single(model).stack
    length = exact.receptive_field + segment - 1
    shape = batch, config.residual_channels, length
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    conditioning = double = None
    if config.condition_channels:
        hop = config.frame_spacing if config.follows_frames else FOREVER
        frames = length // hop + 2 if config.follows_frames else 1
        features = torch.randn(
            (frames, batch, config.condition_channels), generator=generator, dtype=torch.float64
        )
        double = Conditioning(features, 0, hop)
        conditioning = Conditioning(features.float(), 0, hop)
    expected, found = run(exact, x, double), run(fast, x.float(), conditioning)
    assert found.keys() == expected.keys()
    for name, t in expected.items():
        assert_close(found[name], t, name)


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_kernels_equal_the_stack_in_float64(
    config: ModelConfig, batch: int, threads: int
) -> None:
    assert_equals_the_stack_in_float64(config, batch, 200)


@pytest.mark.parametrize("segment", [1, 8, 333])
def test_any_number_of_rows_is_computed(segment: int, threads: int) -> None:
    assert_equals_the_stack_in_float64(WIDE, 2, segment)


def test_a_network_equals_the_readable_one() -> None:
    config = CONDITIONED["labels and mel"]
    model = network(config).double()
    x = some_codes(model, 2, 60, seed=1)
    expected = pattern_reference.forward(model, x, double_inputs(config, x))
    fast = single(model)
    params = fast(x, single_inputs(config, x))
    assert_close(params.detach(), expected.detach())
    found = gradients(fast, params)
    for name, g in gradients(model, expected).items():
        assert_close(found[name], g, name)


def test_what_was_not_kept_is_computed_back_from_a_stream_that_grows() -> None:
    """Ten times from the first layer to the last: no digits are lost that would count."""
    model = network(replace(SMALL, layers=12, dilation_cycle=8)).double()
    with torch.no_grad():
        for layer in model.stack.layers[:-1]:
            assert layer.residual is not None
            layer.residual.bias += 1
    shape = 2, SMALL.residual_channels, model.stack.receptive_field + 99
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    expected, found = run(model.stack, x, None), run(single(model).stack, x.float(), None)
    for name, t in expected.items():
        assert (found[name] - t).abs().max() < 3e-5 * t.abs().max(), name


def test_gradients_are_slopes() -> None:
    """In a direction of all weights, those of the readable network's loss in float64."""
    model = network(replace(SMALL, kernel_size=3)).double()
    x = some_codes(model, 2, 60, seed=1)

    def loss() -> Tensor:
        params = pattern_reference.forward(model, x)
        return (params * weights_like(params)).sum()

    found = gradients(fast := single(model), fast(x))
    generator = torch.Generator().manual_seed(3)
    slope, step = 0.0, 1e-6
    directions = {}
    for name, weight in model.named_parameters():
        directions[name] = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        slope += float((found[name].double() * directions[name]).sum())
    losses = []
    with torch.no_grad():
        for sign in (1, -2):
            for name, weight in model.named_parameters():
                weight += sign * step * directions[name]
            losses.append(float(loss()))
    assert slope == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("checkpoint_every", [1, 2, 100])
def test_checkpointed_equals_not_checkpointed(config: ModelConfig, checkpoint_every: int) -> None:
    """But for the last digits of gradients, since x is computed back from another layer."""
    model = single(network(config))
    x = some_codes(model, 3, 29, seed=1)
    inputs = single_inputs(config, x)
    params, expected = model(x, inputs), gradients(model, model(x, inputs))
    model.stack.checkpoint_every = checkpoint_every
    assert torch.equal(model(x, inputs), params)
    found = gradients(model, model(x, inputs))
    for name, g in expected.items():
        assert_close(found[name], g.double(), name)


def test_as_many_threads_give_the_same_bits(threads: int) -> None:
    model = single(network(WIDE))
    x = some_codes(model, 2, 333, seed=1)
    first = gradients(model, model(x))
    for _ in range(5):
        again = gradients(model, model(x))
        assert all(torch.equal(again[n], g) for n, g in first.items())
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


def test_two_forwards_before_one_backward() -> None:
    """What is kept of one is not what is kept of the other."""
    model = single(network(SMALL))
    x = some_codes(model, 2, 40, seed=1)
    other = x.flip(1)
    one, two = gradients(model, model(x)), gradients(model, model(other))
    first, second = model(x), model(other)
    model.zero_grad()
    ((first + second) * weights_like(first)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, (one[name] + two[name]).double(), name)


def test_a_gradient_is_taken_once() -> None:
    """Its memory is that of what was kept: a second one would be wrong."""
    model = single(network(SMALL))
    loss = model(some_codes(model, 1, 9, seed=1)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


def test_what_is_not_finite_stays_so() -> None:
    """It must reach the loss, where it is noticed."""
    model = single(network(SMALL))
    with torch.no_grad():
        model.stack.layers[1].dilated.bias[0] = torch.nan
    params = model(some_codes(model, 1, 9, seed=1))
    assert params.isnan().any()
    params.sum().backward()
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad.isnan().any()


def test_rows_that_lie_apart_are_read_as_they_are() -> None:
    stack = WaveNetStack(SMALL)
    channels = SMALL.residual_channels
    x = torch.randn(stack.receptive_field + 9, 2, 2 * channels)[..., :channels].permute(1, 2, 0)
    assert not x.is_contiguous()
    assert torch.equal(stack(x), stack(x.contiguous()))


def test_what_does_not_fit_is_refused_before_any_kernel_reads_it() -> None:
    config = CONDITIONED["labels and mel"]
    stack = WaveNetStack(config)
    length, channels = stack.receptive_field + 99, config.condition_channels
    x = torch.randn(3, config.residual_channels, length)
    with pytest.raises(ValueError, match=r"must be of shape \(batch, 10, time\)"):
        stack(x[:, 1:])
    stack.form = IN_MACHINE_CODE
    with pytest.raises(ValueError, match="of float32"):
        stack(x.double())
    frames, hop = torch.randn(length // config.frame_spacing + 2, 3, channels), config.frame_spacing
    stack(x, Conditioning(frames, 0, hop))
    for few in (Conditioning(frames[:-3], 0, hop), Conditioning(frames, 4 * hop, hop)):
        with pytest.raises(ValueError, match="do not cover"):
            stack(x, few)
    one = Conditioning(frames[:, :1], 0, hop)
    everyone = Conditioning(frames[:, :1].expand(-1, 3, -1), 0, hop)
    assert torch.equal(stack(x, one), stack(x, everyone))


# --- threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [3], indirect=True)
def test_several_python_threads_compute_at_once(threads: int) -> None:
    model = single(network(WIDE))
    x = some_codes(model, 2, 333, seed=1)
    with torch.no_grad():
        expected = model(x)

        def again(_: int) -> Tensor:
            # The setting is a thread's own.
            torch.set_num_threads(threads)
            with torch.no_grad():
                params: Tensor = model(x)
                return params

        with ThreadPoolExecutor(4) as pool:
            for params in pool.map(again, range(24)):
                assert torch.equal(params, expected)


def test_kernels_compute_in_float32_where_numba_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert form_for(CPU, torch.float32) == IN_MACHINE_CODE
    assert form_for(CPU, torch.bfloat16) == form_for(CPU, torch.float64) == ON_CPU
    machine_code.available.cache_clear()
    monkeypatch.setitem(sys.modules, "wavenet.simd.threads", None)
    try:
        assert form_for(CPU, torch.float32) == ON_CPU
    finally:
        machine_code.available.cache_clear()
