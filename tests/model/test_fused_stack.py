"""The fused, time-major stack against ordinary convolutions.

Values and gradients agree for every block size, checkpointing interval and precision.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.helpers import CONDITIONED, SMALL, VARIANTS, network, some_codes, some_inputs
from tests.model import pattern_reference
from wavenet.config import ModelConfig
from wavenet.model import fused_stack
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.network import WaveNet, WaveNetStack

SHAPES = [
    SMALL,
    replace(SMALL, dilations=(1,), residual_channels=3, gate_channels=4, skip_channels=5),
    replace(SMALL, dilations=(3, 1, 5), kernel_size=3, gate_channels=6, skip_channels=4),
    replace(SMALL, layers=7, kernel_size=4, residual_channels=5, gate_channels=14),
    *CONDITIONED.values(),
    *VARIANTS.values(),
]


def example(config: ModelConfig, batch: int = 3, segment: int = 29) -> tuple[WaveNet, Tensor]:
    model = network(config).double()
    return model, some_codes(model, batch, segment, seed=1)


def double_inputs(config: ModelConfig, x: Tensor) -> ConditioningInput | None:
    inputs = some_inputs(config, *x.shape)
    return inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)


def weights_like(params: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(params.shape, dtype=params.dtype, generator=generator)


def gradients(model: WaveNet, params: Tensor) -> dict[str, Tensor]:
    """The gradients of a loss in which every output has a weight of its own."""
    model.zero_grad()
    (params * weights_like(params)).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(
    actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12
) -> None:
    assert actual.keys() == expected.keys()
    for name, g in expected.items():
        atol = tolerance * g.abs().max().item()
        torch.testing.assert_close(actual[name], g, rtol=tolerance, atol=atol)


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_fused_stack_equals_convolutions(config: ModelConfig, batch: int) -> None:
    model, x = example(config, batch)
    inputs = double_inputs(config, x)
    expected = pattern_reference.forward(model, x, inputs)
    torch.testing.assert_close(model(x, inputs), expected, rtol=1e-12, atol=1e-12)
    assert_same_gradients(gradients(model, model(x, inputs)), gradients(model, expected))


def test_float32_is_as_exact_as_convolutions_are() -> None:
    model, x = example(ModelConfig(layers=20, dilation_cycle=16), segment=300)
    exact = pattern_reference.forward(model, x)
    single = model.float()
    fused_error = (single(x).double() - exact).abs().max()
    reference_error = (pattern_reference.forward(single, x).double() - exact).abs().max()
    assert fused_error < 2 * reference_error
    assert reference_error > 0


@pytest.mark.parametrize("block_bytes", [1, 20_000])
def test_blocks_of_rows_change_nothing(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONDITIONED["labels and mel"], kernel_size=3)
    model, x = example(config, batch=3, segment=700)
    inputs = double_inputs(config, x)
    whole, expected = model(x, inputs), gradients(model, model(x, inputs))
    monkeypatch.setattr(fused_stack, "BLOCK_BYTES", block_bytes)
    blocks = fused_stack._blocks(2100, 40, torch.zeros(1, dtype=torch.float64), 3)
    assert len(blocks) > 2
    torch.testing.assert_close(model(x, inputs), whole, rtol=1e-12, atol=1e-12)
    assert_same_gradients(gradients(model, model(x, inputs)), expected)


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("checkpoint_every", [1, 2, 3, 100])
def test_checkpointed_equals_not_checkpointed(config: ModelConfig, checkpoint_every: int) -> None:
    model, x = example(config)
    inputs = double_inputs(config, x)
    params, expected = model(x, inputs), gradients(model, model(x, inputs))
    model.stack.checkpoint_every = checkpoint_every
    assert torch.equal(model(x, inputs), params)
    checkpointed = gradients(model, model(x, inputs))
    assert all(torch.equal(checkpointed[n], g) for n, g in expected.items())


def test_nothing_is_kept_under_no_grad() -> None:
    model, x = example(SMALL)
    expected = model(x)
    with torch.no_grad():
        params = model(x)
    assert not params.requires_grad
    assert torch.equal(params, expected)


def test_two_forwards_before_one_backward() -> None:
    model, x = example(SMALL)
    other = x.flip(1)
    one = gradients(model, model(x))
    separate = {n: g + one[n] for n, g in gradients(model, model(other)).items()}
    first, second = model(other), model(x)
    model.zero_grad()
    ((first + second) * weights_like(first)).sum().backward()
    together = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert_same_gradients(together, separate)


def test_every_gradient_has_memory_of_its_own() -> None:
    """Otherwise, clipping in place would scale gradients that share memory several times."""
    model, x = example(SMALL)
    model(x).sum().backward()
    present = [p.grad for p in model.parameters() if p.grad is not None]
    addresses = [g.untyped_storage().data_ptr() for g in present]
    assert len(set(addresses)) == len(addresses) == len(list(model.parameters()))


def test_bfloat16_autocast_is_close_and_leaves_the_gradients_in_single_precision() -> None:
    model, x = example(ModelConfig(layers=10, dilation_cycle=16))
    model = model.float()
    exact = model(x)
    expected = gradients(model, exact)
    with torch.autocast("cpu", torch.bfloat16):
        fused, reference = model(x), pattern_reference.forward(model, x)
    fused_error = (fused.float() - exact).abs().mean()
    assert 0 < fused_error < 2 * (reference.float() - exact).abs().mean()
    fused_gradients = gradients(model, fused.float())
    reference_gradients = gradients(model, reference.float())
    for name, g in expected.items():
        assert fused_gradients[name].dtype == torch.float32
        error = (fused_gradients[name] - g).norm()
        assert error < 2 * (reference_gradients[name] - g).norm(), name


def test_a_stack_alone_takes_time_before_batch() -> None:
    stack = WaveNetStack(SMALL)
    x = torch.zeros(stack.receptive_field + 4, 2, SMALL.residual_channels)
    assert stack(x).shape == (5, 2, SMALL.skip_channels)
