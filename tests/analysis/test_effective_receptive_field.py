"""What past samples do to a prediction.

The network's own gradients are compared with what the theory says can be reached.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import CONDITIONED, SMALL, VARIANTS, as_checkpoint, network, noisy
from wavenet.analysis.effective_receptive_field import Target, influence_at, measure
from wavenet.analysis.path_counts import count_paths
from wavenet.config import ModelConfig
from wavenet.errors import EngineError
from wavenet.model.conditioning.front_end import Source
from wavenet.model.network import WaveNet

SCHEDULES = {2: [(1, 2, 4, 1, 2), (4, 4, 4, 4), (1, 2, 3, 5, 8)], 3: [(1, 3, 9), (2, 8, 2, 7)]}
TINY = replace(
    SMALL, residual_channels=3, gate_channels=4, skip_channels=2, head_channels=3, levels=16
)
PATTERNS = {
    f"{d} with {k} taps": replace(TINY, layers=len(d), dilations=d, kernel_size=k)
    for k, schedules in SCHEDULES.items()
    for d in schedules
}
PATTERNS |= {name: config for name, config in VARIANTS.items() if not config.condition_channels}


def source(samples: int) -> Source:
    return Source((32767 * noisy(samples / 8000)).astype(np.int16), 0)


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
    by_lag = embedded[0].grad.abs().sum(dim=(0, 1)).flip(0).numpy()
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
    influence = influence_at(model.requires_grad_(False), source(100), 50, 8000)
    assert influence.nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("kind", ["mulaw", "logistic", "gaussian"])
def test_influence_is_the_gradient_with_respect_to_the_embedded_samples(kind: str) -> None:
    model = network(replace(SMALL, output=kind, mixtures=2)).requires_grad_(False)
    recording, at = source(60), 40
    lags, d = model.receptive_field, model.distribution
    wav = recording.pcm[at - lags : at + 1] / np.float32(32768)
    x = torch.from_numpy(d.encode(wav))[None]
    table = model.embedding.weight
    embedded = d.embed(x[:, :-1], table).transpose(1, 2).requires_grad_()
    d.loss(model._head(model.stack(embedded)), x[:, -1:]).backward()
    assert embedded.grad is not None
    gradient = embedded.grad[0].t().flip(0)
    if d.scalar_input:
        expected = (gradient @ table[0] / table[0].norm()).abs()
    else:
        expected = gradient.norm(dim=1)
    influence = influence_at(model, recording, at, 8000)
    assert influence.shape == (lags,)
    assert torch.allclose(influence, expected.double(), rtol=1e-5)


@pytest.mark.parametrize("config", CONDITIONED.values(), ids=CONDITIONED)
def test_conditioned_networks_are_measured_as_they_predict(
    config: ModelConfig, make_folder: Callable[..., Path]
) -> None:
    """A recording and a folder that holds it agree, and the label matters where there is one."""
    model = as_checkpoint(network(config))
    audio = replace(model.config.audio, trim=False)
    model = replace(model, config=replace(model.config, audio=audio))
    folder = make_folder({"a.wav": noisy(0.5)})
    alone = measure(model, folder / "a.wav")
    first = "ada" if config.labels else None
    together = measure(model, folder, label=first)
    assert alone.influence.sum() == pytest.approx(1)
    assert alone.influence.shape == (config.receptive_field,)
    assert alone.predictions == 100
    np.testing.assert_allclose(alone.influence, together.influence)
    if config.labels:
        assert (measure(model, folder, label="bob").influence != together.influence).any()


def test_every_sample_behind_a_receptive_field_is_predicted_where_they_are_few(
    make_folder: Callable[..., Path],
) -> None:
    predicted: list[int] = []

    def track(targets: Sequence[Target]) -> Iterator[Target]:
        for target in targets:
            predicted.append(target.at)
            yield target

    recording = make_folder({"a.wav": noisy(30 / 8000)}) / "a.wav"
    measured = measure(as_checkpoint(network(SMALL)), recording, track=track)
    assert predicted == list(range(SMALL.receptive_field, 30))
    assert measured.predictions == len(predicted)


def test_a_network_without_influence_is_named(make_folder: Callable[..., Path]) -> None:
    constant = network(SMALL)
    with torch.no_grad():
        constant.output.weight.zero_()
    folder = make_folder({"a.wav": noisy(0.5)})
    with pytest.raises(EngineError) as raised:
        measure(as_checkpoint(constant), folder)
    assert raised.value.subject == folder


def test_what_takes_long_is_told_where_nobody_asks(
    make_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @contextmanager
    def reporting(report: Callable[[str], object], _: torch.device) -> Iterator[None]:
        report("compiling")
        yield

    monkeypatch.setattr("wavenet.model.compilation.reporting", reporting)
    caplog.set_level("INFO", "wavenet")
    measure(as_checkpoint(network(SMALL)), make_folder({"a.wav": noisy(0.5)}))
    assert caplog.messages == ["compiling"]
