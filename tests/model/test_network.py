"""The network: its receptive field, how it starts, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers import SMALL, network, noisy, some_codes
from wavenet.config import ModelConfig
from wavenet.model.network import WaveNet, WaveNetStack

OUTPUTS = ["mulaw", "logistic", "gaussian"]


def test_no_output_depends_on_the_future() -> None:
    model = network(SMALL)
    x = some_codes(model, 2, 30)
    changed = x.clone()
    changed[:, -5:] = (changed[:, -5:] + 1) % 32
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :-5], after[:, :-5])
    assert not torch.equal(before[:, -5:], after[:, -5:])


def test_first_loss_is_the_log_of_the_levels() -> None:
    for levels in (16, 256, 1024):
        model = WaveNet(replace(SMALL, layers=20, dilation_cycle=512, levels=levels))
        x = some_codes(model, 2, 100)
        loss = model.distribution.loss(model(x[:, :-1]), x[:, model.receptive_field :])
        assert loss.item() == pytest.approx(math.log(levels), abs=0.02)


@pytest.mark.parametrize("output", OUTPUTS)
def test_skip_sum_starts_near_unit_variance(output: str) -> None:
    model = WaveNet(ModelConfig(output=output))
    wav = noisy((model.receptive_field + 200) / 8000)[None]
    x = torch.from_numpy(model.distribution.encode(wav))
    embedded = model.distribution.embed(x, model.embedding.weight)
    skips = model.stack(embedded.transpose(1, 2))
    assert 0.3 < skips.std().item() < 2


def test_a_mixture_starts_with_scales_that_differ() -> None:
    model = WaveNet(ModelConfig(layers=6, output="logistic", mixtures=5))
    logits, means, log_scales = model(some_codes(model, 1, 50))[0].chunk(3, 1)
    assert max(logits.abs().max(), means.abs().max()) < 0.5
    scales = log_scales.mean(0).exp().tolist()
    assert scales == pytest.approx([0.3, 0.095, 0.03, 0.0095, 0.003], rel=0.2)


def test_a_mixture_is_predicted_in_float32_whatever_the_stack_computes_in() -> None:
    for output, kind in (("mulaw", torch.bfloat16), ("logistic", torch.float32)):
        model = WaveNet(replace(SMALL, output=output))
        with torch.autocast("cpu", torch.bfloat16):
            assert model(torch.zeros(1, 20, dtype=torch.long)).dtype == kind


@pytest.mark.parametrize("output", OUTPUTS)
def test_parameters_their_gradients_and_the_loss_stay_in_float32(output: str) -> None:
    model = WaveNet(replace(SMALL, output=output))
    x = some_codes(model, 1, 10)
    with torch.autocast("cpu", torch.bfloat16):
        params = model(x[:, :-1])
    loss = model.distribution.loss(params, x[:, model.receptive_field :])
    loss.backward()
    assert loss.dtype == torch.float32
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.dtype == p.grad.dtype == torch.float32, name


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_weight_learns(output: str) -> None:
    model = WaveNet(replace(SMALL, output=output))
    x = some_codes(model, 1, 10)
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


def test_the_layers_of_a_stack_on_its_own_start_apart() -> None:
    first, second = (layer.dilated.weight for layer in WaveNetStack(SMALL).layers[:2])
    assert not torch.equal(first, second)
    again, other = (WaveNetStack(SMALL, seed=s).layers[0].dilated.weight for s in (0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
