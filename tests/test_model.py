"""The network: its receptive field, how it starts, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch

from tests.conftest import SMALL, network
from wavenet.config import ModelConfig
from wavenet.model import reference
from wavenet.model.network import WaveNet, WaveNetStack

OUTPUTS = ["mulaw", "logistic", "gaussian"]


def _covered_lags(dilations: tuple[int, ...], kernel: int) -> set[int]:
    """Lags whose input the last output of a positive float64 stack depends on.

    Lag 0 is the newest sample.
    """
    config = ModelConfig(
        dilations=dilations,
        kernel_size=kernel,
        residual_channels=3,
        gate_channels=4,
        skip_channels=2,
    )
    stack = WaveNetStack(config).double()
    with torch.no_grad():
        for p in stack.parameters():
            p.abs_().add_(0.1)
    x = torch.full(
        (stack.receptive_field + 20, 1, 3), 0.01, dtype=torch.float64, requires_grad=True
    )
    stack(x)[-1].sum().backward()
    assert x.grad is not None
    lags = torch.nonzero(x.grad.abs().sum(dim=(1, 2)).flip(0)).flatten()
    return set(lags.tolist())


@pytest.mark.parametrize(
    ("dilations", "kernel"), [((1, 2, 4), 2), ((1, 2, 4, 1, 2), 2), ((1, 3, 9), 3), ((1, 1, 1), 4)]
)
def test_an_output_reads_exactly_its_receptive_field(
    dilations: tuple[int, ...], kernel: int
) -> None:
    receptive_field = 1 + (kernel - 1) * sum(dilations)
    assert _covered_lags(dilations, kernel) == set(range(receptive_field))


def test_gaps_of_a_schedule_are_real() -> None:
    assert _covered_lags((4, 4), 2) == {0, 4, 8}


def test_dilated_convolution_known_answers() -> None:
    """They are those of the readable layer that the stack is compared with."""
    x = torch.arange(1.0, 21.0)[None, None]
    config = replace(SMALL, dilations=(4,), residual_channels=1, gate_channels=2)
    dilated = reference.GatedLayer(config, 0).dilated
    with torch.no_grad():
        dilated.bias.zero_()
        dilated.weight[:] = torch.tensor([[[1.0, 1.0]]])
    dense = torch.nn.functional.conv1d(x, torch.tensor([[[1.0, 0, 0, 0, 1.0]]]))
    assert torch.equal(dilated(x)[:, :1], dense)
    with torch.no_grad():
        dilated.weight[:] = torch.tensor([[[0.0, 1.0]]])
    assert torch.equal(dilated(x)[:, :1], x[:, :, 4:])


def test_no_output_depends_on_the_future() -> None:
    model = network(SMALL)
    x = torch.randint(
        0, 32, (2, model.receptive_field + 30), generator=torch.Generator().manual_seed(1)
    )
    changed = x.clone()
    changed[:, -5:] = (changed[:, -5:] + 1) % 32
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :-5], after[:, :-5])
    assert not torch.equal(before[:, -5:], after[:, -5:])


def test_first_loss_is_the_log_of_the_levels() -> None:
    for levels in (16, 256, 1024):
        model = WaveNet(
            ModelConfig(
                layers=20, residual_channels=16, gate_channels=32, skip_channels=32, levels=levels
            )
        )
        x = torch.randint(
            0, levels, (2, model.receptive_field + 100), generator=torch.Generator().manual_seed(0)
        )
        loss = model.distribution.loss(model(x[:, :-1]), x[:, model.receptive_field :])
        assert loss.item() == pytest.approx(math.log(levels), abs=0.02)


@pytest.mark.parametrize("output", OUTPUTS)
def test_skip_sum_starts_near_unit_variance(output: str) -> None:
    model = WaveNet(ModelConfig(output=output))
    wav = 0.1 * torch.randn(
        1, model.receptive_field + 200, generator=torch.Generator().manual_seed(0)
    )
    x = torch.from_numpy(model.distribution.encode(wav.numpy()))
    skips = model.stack(model.distribution.embed(x.t(), model.embedding.weight))
    assert 0.3 < skips.std().item() < 2


def test_a_mixture_starts_with_scales_that_differ() -> None:
    model = WaveNet(ModelConfig(layers=6, output="logistic", mixtures=5))
    x = torch.randint(
        0, 65536, (1, model.receptive_field + 50), generator=torch.Generator().manual_seed(0)
    )
    logits, means, log_scales = model(x)[0].chunk(3, 1)
    assert max(logits.abs().max(), means.abs().max()) < 0.5
    assert log_scales.mean(0).exp().tolist() == pytest.approx(
        [0.3, 0.095, 0.03, 0.0095, 0.003], rel=0.2
    )


def test_a_mixture_is_predicted_in_float32_whatever_the_stack_computes_in() -> None:
    for output, kind in (("mulaw", torch.bfloat16), ("logistic", torch.float32)):
        model = WaveNet(replace(SMALL, output=output))
        with torch.autocast("cpu", torch.bfloat16):
            assert model(torch.zeros(1, 20, dtype=torch.long)).dtype == kind


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_weight_learns(output: str) -> None:
    model = WaveNet(replace(SMALL, output=output))
    x = torch.randint(
        0,
        model.distribution.levels,
        (1, model.receptive_field + 10),
        generator=torch.Generator().manual_seed(0),
    )
    model.distribution.loss(model(x[:, :-1]), x[:, model.receptive_field :]).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_too_short_an_input_is_refused() -> None:
    model = WaveNet(SMALL)
    with pytest.raises(ValueError, match="prepend silence"):
        model(torch.zeros(1, model.receptive_field - 1, dtype=torch.long))


def test_the_same_seed_starts_the_same() -> None:
    a, b, c = WaveNet(SMALL, seed=5), WaveNet(SMALL, seed=5), WaveNet(SMALL, seed=6)
    assert torch.equal(a.hidden.weight, b.hidden.weight)
    assert not torch.equal(a.hidden.weight, c.hidden.weight)
