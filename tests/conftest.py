"""Small seeded models, synthetic recordings, and a private cache for every test."""

import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import scipy.io.wavfile
import soundfile as sf
import torch

from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig
from wavenet.engines.conditioning import Projection
from wavenet.model.checkpoint import Checkpoint, Training
from wavenet.model.conditioning.carriers import Conditioning, ConditioningInput
from wavenet.model.conditioning.windows import frame_range
from wavenet.model.network import WaveNet

SMALL = ModelConfig(
    layers=5,
    dilation_cycle=4,
    kernel_size=2,
    residual_channels=10,
    gate_channels=12,
    skip_channels=9,
    head_channels=7,
    levels=32,
)
VOICES = replace(SMALL, label_channels=3, labels=("ada", "bob", "cy"))
VOCODER = replace(
    SMALL, mel_bands=6, mel_hop=8, mel_window=32, mel_high_hz=4000.0, mel_context=1, mel_channels=5
)
BOTH = replace(VOCODER, label_channels=2, labels=("ada", "bob"), mel_context=0)
CONDITIONED = {"labels": VOICES, "mel": VOCODER, "labels and mel": BOTH}
VARIANTS = {
    "a kernel for each layer": replace(SMALL, dilations=(1, 4, 2), kernel_size=(2, 4, 3)),
    "fibonacci": replace(SMALL, growth="fibonacci", dilation_cycle=9, layers=6),
    "coprime": replace(SMALL, growth="coprime", dilation_cycle=12, layers=7),
    "groups": replace(SMALL, groups=2, kernel_size=3),
    "separable": replace(SMALL, layer="separable", kernel_size=3),
    "bottleneck": replace(SMALL, layer="bottleneck", bottleneck_channels=4),
    "hybrid": replace(SMALL, layer="hybrid", gate_channels=14, kernel_size=(3, 2, 3, 2, 2)),
    "smooth": replace(SMALL, smooth=True, dilations=(1, 5, 12)),
    "pyramid": replace(SMALL, context="pyramid", pyramid_dilations=(1, 6, 9), pyramid_window=13),
    "smooth hybrid with a pyramid, conditioned": replace(
        BOTH,
        layer="hybrid",
        smooth=True,
        kernel_size=3,
        context="pyramid",
        pyramid_dilations=(2, 21),
        pyramid_window=7,
    ),
    "separable, conditioned": replace(
        VOICES, layer="separable", growth="coprime", dilation_cycle=7
    ),
}
# Samples of conditioned streams.
LONGEST = 1000
# The engines that run in an interpreter on this machine.
INTERPRETED: tuple[str, ...] = ()
if not torch.cuda.is_available():
    # Engines for GPUs then run on the CPU. Triton reads this once, when it is first imported.
    os.environ["TRITON_INTERPRET"] = "1"
    INTERPRETED = ("triton",)
# Small models gain nothing from more threads, and with one a busy machine costs little.
torch.set_num_threads(1)
hypothesis.settings.register_profile(
    "default", max_examples=150, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile(
    "long", max_examples=5000, deadline=None, print_blob=True, database=None
)
hypothesis.settings.load_profile("default")
STARTER = Path(__file__).parent.parent / "data" / "starter"


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that stands in for the user's cache.

    Its patch is one of its own, so that a test which undoes its patches does not fall back on the
    user's cache.
    """
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda _name: folder)
        yield folder


def network(config: ModelConfig, seed: int = 0) -> WaveNet:
    """A network whose every weight and bias matters.

    Its predictions spread by about 2, and no path through it is near zero.
    """
    model = WaveNet(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
        x = torch.randint(
            0, model.distribution.levels, (1, model.receptive_field + 200), generator=generator
        )
        params = model(x, some_inputs(config, 1, x.shape[1]))
        spread = (
            (params - model.output.bias).std() if model.distribution.scalar_input else params.std()
        )
        model.output.weight.mul_(2 / spread)
    return model.eval()


def some_inputs(
    config: ModelConfig, batch: int, rows: int, offset: int = 3, seed: int = 0
) -> ConditioningInput | None:
    """Random input for every front end of a network, for `batch` windows of `rows` rows."""
    if not config.condition_channels:
        return None
    generator = torch.Generator().manual_seed(seed)
    values = {}
    if config.labels:
        values["label"] = torch.arange(batch) % len(config.labels)
    if not config.follows_frames:
        return ConditioningInput(values)
    context, count = config.mel_context, (offset + rows - 1) // config.frame_hop + 2
    shape = (batch, count + 2 * context, config.mel_bands)
    values["mel"] = -5 + 3 * torch.randn(shape, generator=generator)
    # The window begins a frame before its recording and ends one behind it.
    frame_ranges = torch.tensor([[-1, count - 3]]).expand(batch, -1)
    return ConditioningInput(values, frame_ranges, offset % config.frame_hop)


def some_recordings(
    config: ModelConfig, batch: int, samples: int, seed: int = 0
) -> list[dict[str, Any]]:
    """A random value for every front end of each of `batch` recordings."""
    generator = np.random.default_rng(seed)
    count = 1 + samples // config.mel_hop
    recordings: list[dict[str, Any]] = []
    for i in range(batch):
        frames = -5 + 3 * generator.standard_normal((count, config.mel_bands)).astype(np.float32)
        values = {"mel": frames} if config.follows_frames else {}
        recordings.append(values | ({"label": i % len(config.labels)} if config.labels else {}))
    return recordings


def inputs_of(
    config: ModelConfig, recordings: list[dict[str, Any]], first: int, rows: int
) -> ConditioningInput | None:
    """The input of a window of each recording, whose first row predicts sample `first`."""
    if not config.condition_channels:
        return None
    values = {}
    if config.labels:
        values["label"] = torch.tensor([r["label"] for r in recordings])
    if not config.follows_frames:
        return ConditioningInput(values)
    low, high = frame_range(config, first, rows)
    low, high = low - config.mel_context, high + config.mel_context
    last = len(recordings[0]["mel"]) - 1
    number = torch.arange(low, high + 1).clamp(0, last)
    values["mel"] = torch.stack([torch.from_numpy(r["mel"])[number] for r in recordings])
    frame_ranges = torch.tensor([[low + config.mel_context, last]]).expand(len(recordings), -1)
    return ConditioningInput(values, frame_ranges, first % config.frame_hop)


def arrays(model: WaveNet) -> dict[str, np.ndarray[Any, Any]]:
    return {k: v.numpy() for k, v in model.state_dict().items()}


class StreamConditioning:
    """The conditioning of some streams, as engines and as the parallel forward pass take it.

    `conditioning` and `inputs` give None for a network without front ends.
    """

    def __init__(self, model: WaveNet, streams: Sequence[int]) -> None:
        self.config = model.config
        every = some_recordings(model.config, max(streams) + 1, LONGEST)
        self.recordings = [every[i] for i in streams]
        if self.config.condition_channels:
            self.projection = Projection(model.config, arrays(model))
            self.features = [self.projection.features(**r) for r in self.recordings]

    def conditioning(self, time: int, steps: int) -> Conditioning | None:
        if not self.config.condition_channels:
            return None
        return self.projection.conditioning(self.features, time, steps)

    def inputs(self, first: int, rows: int) -> ConditioningInput | None:
        return inputs_of(self.config, self.recordings, first, rows)


def as_checkpoint(model: WaveNet, sample_rate: int = 8000, step: int = 0) -> Checkpoint:
    config = Config(name="test", audio=AudioConfig(sample_rate=sample_rate), model=model.config)
    return Checkpoint(
        config, {f"average.{k}": v for k, v in arrays(model).items()}, Training(step=step)
    )


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """make_folder({"a.wav": wav, ...}, rate) writes recordings and returns their folder."""

    def make(files: dict[str, Any], rate: int = 8000, name: str = "recordings") -> Path:
        folder = tmp_path / name
        for file, wav in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if file.lower().endswith(".wav"):
                # In floats and by SciPy, because libsndfile would stamp the time into the file.
                scipy.io.wavfile.write(folder / file, rate, np.asarray(wav, np.float32))
            else:
                sf.write(folder / file, wav, rate)
        return folder

    return make


def tone(
    seconds: float, rate: int = 8000, hertz: float = 200.0, amplitude: float = 0.4
) -> np.ndarray[Any, Any]:
    t = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * hertz * t)


def noisy(
    seconds: float, rate: int = 8000, seed: int = 0, amplitude: float = 0.1
) -> np.ndarray[Any, Any]:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return np.clip(amplitude * noise, -1, 1)


@pytest.fixture
def training_folder(make_folder: Callable[..., Path]) -> Path:
    """Six different recordings, one of them shorter than a segment."""
    files = {
        f"{i}.wav": tone(1.2, hertz=150 + 40 * i) + noisy(1.2, seed=i, amplitude=0.02)
        for i in range(5)
    }
    return make_folder(files | {"short.wav": tone(0.15, hertz=333)})


@pytest.fixture
def small_config() -> Config:
    train = TrainConfig(
        steps=10,
        batch=3,
        segment_seconds=0.05,
        warmup_steps=2,
        learning_rate=2e-3,
        evaluate_every=5,
        validation_seconds=1.0,
        sample_seconds=0,
        seed=3,
    )
    return Config(name="test", audio=AudioConfig(sample_rate=8000), model=SMALL, train=train)


@pytest.fixture
def config_file(tmp_path: Path, small_config: Config) -> Path:
    path = tmp_path / "test.toml"
    path.write_text(small_config.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def torchaudio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """torchaudio's Python part.

    Its compiled extension needs CUDA libraries, so a stub stands in for the module that loads it.
    """
    pytest.importorskip("torch")
    import importlib.util

    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    stub = types.ModuleType("torchaudio._extension")
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        lazy_import_sox_ext=lambda: None,
        fail_if_no_align=lambda f: f,
    )
    monkeypatch.setitem(sys.modules, "torchaudio._extension", stub)
    import torchaudio
    import torchaudio.functional

    yield torchaudio
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
