"""What past samples do to a prediction.

The network's own gradients are compared with what the theory says can be reached.
"""

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
    ((1, 2, 4, 1, 2), 2),
    ((4, 4, 4, 4), 2),
    ((1, 3, 9), 3),
    ((1, 2, 4), 3),
    ((1, 2, 3, 5, 8), 2),
    ((3, 5, 11), 2),
    ((2, 8, 2, 7), 3),
]


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
        # Nothing cancels, and no gate closes.
        for p in model.parameters():
            p.abs_().mul_(0.1).add_(0.02)
    embedded: list[torch.Tensor] = []

    def keep_gradient(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        embedded.append(inputs[0])
        inputs[0].retain_grad()

    model.stack.register_forward_pre_hook(keep_gradient)
    extra = 20
    shape = (1, model.receptive_field + extra)
    x = torch.randint(0, config.levels, shape, generator=torch.Generator().manual_seed(1))
    model(x)[0, -1].sum().backward()
    assert embedded[0].grad is not None
    by_lag = embedded[0].grad.abs().sum(dim=(1, 2)).flip(0).numpy()
    counts = count_paths(config.all_offsets)
    assert counts is not None
    assert ((by_lag > 0) == np.concatenate([counts.covered, np.zeros(extra, bool)])).all()


def test_a_network_that_reads_through_one_tap_shows_influence_there_alone() -> None:
    config = replace(SMALL, layers=3, dilations=(1, 2, 4))
    model = network(config)
    *others, last = model.stack.layers
    with torch.no_grad():
        for layer in others:
            layer.skip.weight.zero_()
            layer.residual.weight.zero_()
        # Of two taps the older comes first.
        last.dilated.weight[:, :, 1] = 0
        # Nothing stays below the head's rectifiers.
        last.skip.bias.fill_(10)
        model.hidden.weight.abs_()
    influence = influence_at(model.requires_grad_(False), pcm(100), 50, 0, 8000)
    assert influence.nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("kind", ["mulaw", "logistic", "gaussian"])
def test_influence_is_the_gradient_with_respect_to_the_embedded_samples(kind: str) -> None:
    model = network(replace(SMALL, output=kind, mixtures=2)).requires_grad_(False)
    recording, at = pcm(60), 40
    lags, d = model.receptive_field, model.distribution
    wav = recording[at - lags : at + 1] / np.float32(32768)
    x = torch.from_numpy(d.encode(wav))[None]
    table = model.embedding.weight
    embedded = d.embed(x[:, :-1].t(), table).requires_grad_()
    d.loss(model._head(model.stack(embedded)).transpose(0, 1), x[:, -1:]).backward()
    assert embedded.grad is not None
    gradient = embedded.grad[:, 0].flip(0)
    if d.scalar_input:
        expected = (gradient @ table[0] / table[0].norm()).abs()
    else:
        expected = gradient.norm(dim=1)
    influence = influence_at(model, recording, at, 0, 8000)
    assert influence.shape == (lags,)
    assert torch.allclose(influence, expected.double(), rtol=1e-5)


@pytest.mark.parametrize("name", CONDITIONED)
def test_conditioned_networks_are_measured_as_they_predict(
    name: str, make_folder: Callable[..., Path]
) -> None:
    """A recording and a folder that holds it agree, and the label matters where there is one."""
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
    silent = r"silent.wav: is silent; measure on a recording like those"
    broken = r"nan.wav: holds NaN or infinite samples"
    short = r"short.wav: too short: its longest recording has 880 samples \(110 ms\) and"
    all_short = r"recordings: too short: its longest recording has 880 samples"
    missing = r"no: no such recording or folder"
    unlabelled = r"--label ada: the model was trained without labels"
    for error, message, source, label in [
        (AudioError, silent, folder / "silent.wav", None),
        (AudioError, broken, folder / "nan.wav", None),
        (CorpusError, short, folder / "short.wav", None),
        (CorpusError, all_short, folder, None),
        (CorpusError, missing, tmp_path / "no", None),
        (EngineError, unlabelled, folder, "ada"),
    ]:
        with pytest.raises(error, match=message):
            measure(model, source, label, "cpu", None)
    with pytest.raises(EngineError, match="--label dot: unknown; the model knows ada, bob, cy"):
        measure(as_checkpoint(network(CONDITIONED["labels"])), folder, "dot", "cpu", None)


def test_a_network_without_influence_is_named(make_folder: Callable[..., Path]) -> None:
    constant = network(SMALL)
    with torch.no_grad():
        constant.output.weight.zero_()
    with pytest.raises(EngineError, match="no sample there moves a prediction"):
        measure(as_checkpoint(constant), make_folder({"a.wav": noisy(0.5)}), None, "cpu", None)
