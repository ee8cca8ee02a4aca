"""A front end is one file: one that is unknown here trains, is saved, scored and generates."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.helpers import VOCODER, arrays, noisy
from wavenet.audio.quantization import from_pcm16
from wavenet.config import Config
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.pcm_cache import index_folder
from wavenet.engines import create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import EngineOptions
from wavenet.evaluation.scorers import ScoredSegment, create_scorer
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Array
from wavenet.model import checkpoint
from wavenet.model.conditioning import registry
from wavenet.model.conditioning.front_end import FrontEnd, Source
from wavenet.model.conditioning.modules import FrameEncoder, FrontEndModule
from wavenet.model.network import WaveNet
from wavenet.training.trainer import Trainer


def loudness(pcm: Array, first: int, last: int, hop: int) -> Array:
    """(last - first + 1, 1): level of the hop around each frame, silence outside the recording."""
    padded = np.zeros((last - first + 1) * hop)
    begin = first * hop - hop // 2
    inside = pcm[max(0, begin) : max(0, begin + len(padded))]
    padded[max(0, -begin) :][: len(inside)] = inside / 32768
    rms = np.sqrt((padded.reshape(-1, hop) ** 2).mean(axis=1))
    return (20 * np.log10(rms + 1e-4)).astype(np.float32)[:, None]


def unit(levels: Any) -> Any:
    return levels / 20 + 2


class Follows(NamedTuple):
    """What a `Sampler` is given to follow, as `Conditions` is for mel frames."""

    values: dict[str, Array]
    gain: float = 1.0


class LoudnessFrontEnd(FrontEnd):
    """Computed on the host, unlike mel frames, and without neighbours."""

    name = "loudness"
    per_frame = True
    noun = "loudness"
    trait = "follows loudness"

    @property
    def channels(self) -> int:
        return self.config.frame_channels if self.config.mel_bands else 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        n = self.channels
        return {"conditioner.loudness.weight": (n, 1, 1), "conditioner.loudness.bias": (n,)}

    def missing(self) -> str:
        return "this model follows loudness"

    def features(self, weights: Mapping[str, Array], value: Any) -> Array:
        weight = weights["conditioner.loudness.weight"][:, :, 0]
        bias = weights["conditioner.loudness.bias"]
        features: Array = np.maximum(unit(value) @ weight.T + bias, 0)
        return features

    def module(self) -> FrontEndModule:
        return FrameEncoder(1, self.channels, 0, unit)

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        return loudness(source.pcm, low, high, self.config.frame_hop)

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        first, hop = begin // self.config.frame_hop, self.config.frame_hop
        last = min((begin + rows) // hop + 1, len(source.pcm) // hop)
        return loudness(source.pcm, first, last, hop), 0

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        return generator.uniform(-80, 0, (frames, 1)).astype(np.float32)


@pytest.fixture
def corpus(
    make_folder: Callable[..., Path], small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> Corpus:
    monkeypatch.setattr(registry, "FRONT_ENDS", (LoudnessFrontEnd,))
    files = {f"{i}.wav": noisy((400 + 137 * i) / 8000, seed=i, amplitude=0.3) for i in range(5)}
    audio = replace(small_config.audio, trim=False, min_seconds=0.001)
    config = replace(small_config, model=VOCODER, audio=audio)
    index = index_folder(make_folder(files), config.audio, trim=False)
    return Corpus.open(index, config)


def test_it_trains_and_its_checkpoint_is_read_again(corpus: Corpus, tmp_path: Path) -> None:
    trainer = Trainer(WindowDataset(corpus), torch.device("cpu"))
    assert trainer.model.conditioner is not None
    before = trainer.model.conditioner.loudness.weight.clone()
    trainer.train_step()
    assert not torch.equal(trainer.model.conditioner.loudness.weight, before)
    checkpoint.save(tmp_path / "a.safetensors", trainer.checkpoint())
    weights = checkpoint.load(tmp_path / "a.safetensors").weights
    assert weights["conditioner.loudness.weight"].shape == (VOCODER.frame_channels, 1, 1)


def test_engines_predict_with_it_what_training_does(corpus: Corpus) -> None:
    net = WaveNet(VOCODER).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    weights = arrays(net)
    projection, engine = Projection(VOCODER, weights), create_engine("numba", VOCODER, weights)
    for span in (*corpus.training, *corpus.validation):
        pcm = corpus.index.pcm(span.recording)
        x = corpus.distribution.encode(from_pcm16(pcm))[None]
        features = [projection.features_of(Source(pcm, 0), 8000, 0, x.shape[1])]
        state = engine.init_state(1, projection.conditioning(features, 0, 0))
        predicted = engine.prefill(state, x, projection.conditioning(features, 0, x.shape[1]))
        window = WindowDataset(corpus).window(span, 0)
        inputs = window.conditioning_input.map(lambda a: torch.as_tensor(a)[None])
        with torch.no_grad():
            params = net(torch.from_numpy(window.x[None, :-1]), inputs)[0].numpy()
        n = min(len(params), span.recording.samples)
        np.testing.assert_allclose(params[:n], predicted[0, :n], atol=1e-4)
        assert predicted.std() > 0.5


def test_recordings_are_scored_alike_in_parallel_and_by_an_engine(corpus: Corpus) -> None:
    trainer = Trainer(WindowDataset(corpus), torch.device("cpu"))
    model = trainer.checkpoint()
    pcm = corpus.index.pcm(corpus.index.recordings[0])
    x = corpus.distribution.encode(from_pcm16(pcm))
    segment = ScoredSegment(Source(pcm, 0), 0, x, 0)
    nats = [
        create_scorer(model, engine, "auto", EngineOptions())(segment)
        for engine in ("parallel", "numba", "reference")
    ]
    assert nats == pytest.approx([nats[0]] * 3, rel=1e-5)


def test_streams_follow_it(corpus: Corpus) -> None:
    trainer = Trainer(WindowDataset(corpus), torch.device("cpu"))
    model = trainer.checkpoint()
    generator = np.random.default_rng(0)
    frames = [generator.uniform(-60, 0, (40, 1)).astype(np.float32) for _ in range(2)]
    follows: list[Any] = [Follows({"loudness": f}) for f in frames]
    both = np.concatenate(list(Sampler(model, seed=1, conditions=follows).blocks(200)), axis=1)
    (alone,) = np.concatenate(
        list(Sampler(model, seed=1, conditions=follows[1:]).blocks(200)), axis=1
    )
    assert (both[1] == alone).all()
    assert (both[0] != both[1]).any()
