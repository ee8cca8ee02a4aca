"""What past samples do to a prediction: the network's own gradients, against what the theory says can be reached."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import CONDITIONED, SMALL, VARIANTS, as_checkpoint, network, noisy, tone
from wavenet.analysis.effective_receptive_field import influence_at, measure
from wavenet.analysis.path_counts import count_paths
from wavenet.config import ModelConfig
from wavenet.errors import AudioError, CorpusError, EngineError
from wavenet.model.network import WaveNet

SCHEDULES = [
    ((1, 2, 4, 1, 2), 2), ((4, 4, 4, 4), 2), ((1, 3, 9), 3), ((1, 2, 4), 3), ((1, 2, 3, 5, 8), 2), ((3, 5, 11), 2), ((2, 8, 2, 7), 3),
]  # fmt: skip


def pcm(samples: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (32767 * noisy(samples / 8000, seed=seed)).astype(np.int16)


SIZES = {
    "residual_channels": 3,
    "gate_channels": 4,
    "skip_channels": 2,
    "head_channels": 3,
    "levels": 16,
}
PATTERNS = {
    f"{d} with {k} taps": ModelConfig(dilations=d, kernel_size=k, **SIZES) for d, k in SCHEDULES
}
PATTERNS |= {name: config for name, config in VARIANTS.items() if not config.condition_channels}


@pytest.mark.parametrize("config", PATTERNS.values(), ids=PATTERNS)
def test_gradients_reach_exactly_the_samples_that_paths_lead_to(config: ModelConfig) -> None:
    model = WaveNet(config).double()
    with torch.no_grad():
        for p in model.parameters():
            p.abs_().mul_(0.1).add_(0.02)  # nothing cancels, no gate closes
    heard: list[torch.Tensor] = []
    model.stack.register_forward_pre_hook(
        lambda _, inputs: heard.append(inputs[0]) or inputs[0].retain_grad()
    )
    extra = 20
    x = torch.randint(
        0,
        config.levels,
        (1, model.receptive_field + extra),
        generator=torch.Generator().manual_seed(1),
    )
    model(x)[0, -1].sum().backward()
    assert heard[0].grad is not None
    by_lag = heard[0].grad.abs().sum(dim=(1, 2)).flip(0).numpy()
    found = count_paths(config.all_offsets)
    assert found is not None
    assert ((by_lag > 0) == np.concatenate([found.covered, np.zeros(extra, bool)])).all()


def test_a_network_that_hears_through_one_tap_shows_influence_there_alone() -> None:
    config = replace(SMALL, layers=3, dilations=(1, 2, 4))
    model = network(config)
    *others, last = model.stack.layers
    with torch.no_grad():
        for layer in others:
            layer.skip.weight.zero_()
            layer.residual.weight.zero_()
        last.dilated.weight[:, :, 1] = 0  # of two taps the older comes first
        last.skip.bias.fill_(10)  # nothing stays below the head's rectifiers
        model.hidden.weight.abs_()
    found = influence_at(model.requires_grad_(False), pcm(100), 50, 0, 8000)
    assert found.nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("kind", ["mulaw", "logistic", "gaussian"])
def test_influence_is_the_gradient_with_respect_to_what_is_heard(kind: str) -> None:
    model = network(replace(SMALL, output=kind, mixtures=2)).requires_grad_(False)
    recording, at = pcm(60), 40
    reach, d = model.receptive_field, model.distribution
    x = torch.from_numpy(d.encode(recording[at - reach : at + 1] / np.float32(32768)))[None]
    table = model.embedding.weight
    heard = d.embed(x[:, :-1].t(), table).requires_grad_()
    d.loss(model._head(model.stack(heard)).transpose(0, 1), x[:, -1:]).backward()
    assert heard.grad is not None
    whole = heard.grad[:, 0].flip(0)
    expected = (whole @ table[0] / table[0].norm()).abs() if d.scalar_input else whole.norm(dim=1)
    found = influence_at(model, recording, at, 0, 8000)
    assert found.shape == (reach,)
    assert torch.allclose(found, expected.double(), rtol=1e-5)


@pytest.mark.parametrize("name", CONDITIONED)
def test_conditioned_networks_are_measured_as_they_predict(
    name: str, make_folder: Callable[..., Path]
) -> None:
    """On a recording and on a folder that holds it; and the label matters where there is one."""
    config = CONDITIONED[name]
    model = as_checkpoint(network(config))
    folder = make_folder({"a.wav": noisy(0.5)})
    model = replace(
        model, config=replace(model.config, audio=replace(model.config.audio, trim=False))
    )
    alone = measure(model, folder / "a.wav", None, "cpu", None)
    together = measure(model, folder, None, "cpu", None)
    assert alone.influence.sum() == pytest.approx(1)
    assert len(alone.influence) == config.receptive_field
    assert alone.predictions == 100
    np.testing.assert_allclose(alone.influence, together.influence)
    if config.labels:
        np.testing.assert_array_equal(
            measure(model, folder, "ada", "cpu", None).influence, together.influence
        )
        assert (measure(model, folder, "bob", "cpu", None).influence != together.influence).any()


def test_what_cannot_be_measured_on_is_named(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    model = as_checkpoint(network(replace(SMALL, layers=12, dilation_cycle=512)))
    folder = make_folder(
        {"silent.wav": np.zeros(8000), "short.wav": tone(0.11), "nan.wav": np.full(8000, np.nan)}
    )
    for error, message, source, label in [
        (AudioError, r"silent.wav: is silent; measure on a recording like those", folder / "silent.wav", None),
        (AudioError, r"nan.wav: holds NaN or infinite samples", folder / "nan.wav", None),
        (CorpusError, r"short.wav: too short: its longest recording has 880 samples \(110 ms\) and", folder / "short.wav", None),
        (CorpusError, r"recordings: too short: its longest recording has 880 samples", folder, None),
        (CorpusError, r"no: no such recording or folder", tmp_path / "no", None),
        (EngineError, r"--label ada: the model was trained without labels", folder, "ada"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            measure(model, source, label, "cpu", None)
    with pytest.raises(EngineError, match="--label dot: unknown; the model knows ada, bob, cy"):
        measure(as_checkpoint(network(CONDITIONED["labels"])), folder, "dot", "cpu", None)


def test_a_network_that_hears_nothing_is_named(make_folder: Callable[..., Path]) -> None:
    deaf = network(SMALL)
    with torch.no_grad():
        deaf.output.weight.zero_()
    with pytest.raises(EngineError, match="no sample there moves a prediction"):
        measure(as_checkpoint(deaf), make_folder({"a.wav": noisy(0.5)}), None, "cpu", None)
