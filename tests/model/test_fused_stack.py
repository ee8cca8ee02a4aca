"""The fused, time-major stack against ordinary convolutions.

Values and gradients agree for every form, block size, checkpointing interval and precision. The
form for GPUs is plain PyTorch, so that a CPU computes it too.
"""

import functools
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.helpers import CONDITIONED, SMALL, network, some_codes
from tests.model import pattern_reference
from tests.model.stacks import SHAPES, double_inputs, gradients, weights_like
from wavenet.config import ModelConfig
from wavenet.model.gates import TANH
from wavenet.model.network import WaveNet, WaveNetStack
from wavenet.model.stack_shape import ON_CPU, ON_GPU, Form, StackShape, form_for

# In groups of two layers, so that every network has several, and with few rows to a stretch of
# frames.
IN_GROUPS = ON_GPU._replace(layers=2, interpolation_rows=40)
FORMS = {
    "on a CPU": ON_CPU,
    "on a GPU": ON_GPU,
    "on a GPU, in groups": IN_GROUPS,
    "on a GPU, channels filled up": IN_GROUPS._replace(multiple=8),
    "on a CPU, channels filled up": ON_CPU._replace(multiple=3),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def example(config: ModelConfig, batch: int = 3, segment: int = 29) -> tuple[WaveNet, Tensor]:
    model = network(config).double()
    return model, some_codes(model, batch, segment, seed=1)


def assert_same_gradients(
    actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12
) -> None:
    assert actual.keys() == expected.keys()
    for name, g in expected.items():
        atol = tolerance * g.abs().max().item()
        torch.testing.assert_close(actual[name], g, rtol=tolerance, atol=atol)


@every_form
@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_fused_stack_equals_convolutions(config: ModelConfig, batch: int, form: Form) -> None:
    model, x = example(config, batch)
    model.stack.form = form
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
def test_blocks_of_rows_change_nothing(block_bytes: int) -> None:
    config = replace(CONDITIONED["labels and mel"], kernel_size=3)
    model, x = example(config, batch=3, segment=700)
    inputs = double_inputs(config, x)
    whole, expected = model(x, inputs), gradients(model, model(x, inputs))
    model.stack.form = form = ON_CPU._replace(block_bytes=block_bytes)
    shape = StackShape(config.offsets, 3, 2100, 0, form)
    assert len(shape.blocks(2100, 40, torch.zeros(1, dtype=torch.float64))) > 2
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


@pytest.mark.parametrize("config", [SMALL, *CONDITIONED.values()])
@pytest.mark.parametrize("checkpoint_every", [1, 3])
def test_checkpointed_groups_of_layers_equal_whole_ones(
    config: ModelConfig, checkpoint_every: int
) -> None:
    """Sums over layers are then made in other parts, so the last digits differ."""
    model, x = example(config)
    inputs = double_inputs(config, x)
    model.stack.form = ON_GPU
    params, expected = model(x, inputs), gradients(model, model(x, inputs))
    model.stack.form, model.stack.checkpoint_every = IN_GROUPS, checkpoint_every
    torch.testing.assert_close(model(x, inputs), params, rtol=1e-12, atol=1e-12)
    assert_same_gradients(gradients(model, model(x, inputs)), expected)


@every_form
def test_nothing_is_kept_under_no_grad(form: Form) -> None:
    model, x = example(SMALL)
    model.stack.form = form
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


@every_form
def test_every_gradient_has_memory_of_its_own(form: Form) -> None:
    """Otherwise, clipping in place would scale gradients that share memory several times.

    They may lie one behind the other in the same block of memory.
    """
    model, x = example(CONDITIONED["labels and mel"])
    model.stack.form = form
    model(x, double_inputs(model.config, x)).sum().backward()
    present = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(present) == len(list(model.parameters()))
    assert all(g.is_contiguous() for g in present)
    ranges = sorted((g.data_ptr(), g.data_ptr() + g.nbytes) for g in present)
    for (_, end), (start, _) in pairwise(ranges):
        assert end <= start


IN_HALF_PRECISION = [ON_CPU, form_for(torch.device("cuda"), torch.bfloat16)]


@pytest.mark.parametrize("form", IN_HALF_PRECISION, ids=["on a CPU", "on a GPU"])
def test_bfloat16_autocast_is_close_and_leaves_the_gradients_in_single_precision(
    form: Form,
) -> None:
    channels = {"residual_channels": 30, "gate_channels": 60, "skip_channels": 31}
    model, x = example(ModelConfig(layers=10, dilation_cycle=16, **channels))
    model = model.float()
    model.stack.form = form
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


@pytest.mark.parametrize("form", IN_HALF_PRECISION, ids=["on a CPU", "on a GPU"])
def test_biases_gradients_are_summed_in_single_precision(form: Form) -> None:
    """A sum in bf16 stands still at 256 times what is added."""
    stack = WaveNetStack(SMALL)
    stack.form = form
    rows, value = 5000, 0.001
    x = torch.randn(1, SMALL.residual_channels, stack.receptive_field + rows - 1)
    with torch.autocast("cpu", torch.bfloat16):
        skips = stack(x)
    assert skips.dtype == torch.bfloat16
    gradient = torch.full_like(skips, value)
    skips.backward(gradient)
    for layer in stack.layers:
        expected = gradient.double().sum((0, 2)).float()
        torch.testing.assert_close(layer.skip.bias.grad, expected, rtol=1e-6, atol=0)
        assert layer.dilated.bias.grad is not None
        rounded = layer.dilated.bias.grad.bfloat16().float()
        assert not torch.equal(rounded, layer.dilated.bias.grad)


def test_half_precision_on_a_gpu_fills_channels_up_to_16_bytes() -> None:
    assert form_for(torch.device("cuda"), torch.bfloat16).multiple == 8
    assert form_for(torch.device("cuda"), torch.float32).multiple == 1
    assert form_for(torch.device("cpu"), torch.bfloat16).multiple == 1


def test_a_stack_alone_takes_what_torchs_convolutions_take() -> None:
    stack = WaveNetStack(SMALL)
    x = torch.randn(2, SMALL.residual_channels, stack.receptive_field + 4)
    skips = stack(x)
    assert skips.shape == (2, SMALL.skip_channels, 5)
    assert torch.equal(stack(x[1]), stack(x[1:])[0])
    assert stack(x[:0]).shape == (0, SMALL.skip_channels, 5)
    # However it lies in memory.
    time_first = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert torch.equal(stack(time_first), skips)


def test_the_gates_of_a_gpu_are_compiled_whole() -> None:
    """Also where layers lie side by side, so that the rows of one lie apart."""
    generator = torch.Generator().manual_seed(0)
    h, dz = torch.randn(20, 3, 12, generator=generator), torch.randn(20, 6, generator=generator)
    once = functools.partial(torch.compile, fullgraph=True, dynamic=True, backend="eager")
    compiled = TANH._replace(open_gates=once(TANH.open_gates), close_gates=once(TANH.close_gates))
    found = []
    for gates in (TANH, compiled):
        kept, z, dh = h[:, 1].clone(), torch.empty(20, 3, 6)[:, 1], torch.empty(20, 3, 12)[:, 1]
        gates.open_gates(kept, z)
        gates.close_gates(kept, dz, dh)
        found.append((kept, z, dh))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)
