"""Small seeded models, synthetic recordings, and a private cache for every test."""

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import scipy.io.wavfile
import soundfile as sf
import torch

from wavenet.checkpoint import Checkpoint, Training
from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig
from wavenet.model import WaveNet

SMALL = ModelConfig(
    layers=5, dilation_cycle=4, kernel_size=2, residual_channels=10, gate_channels=12, skip_channels=9, head_channels=7, levels=32
)
torch.set_num_threads(1)  # small models gain nothing from more, and a busy machine then costs little
hypothesis.settings.register_profile("default", max_examples=150, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True, database=None)
hypothesis.settings.load_profile("default")
STARTER = Path(__file__).parent.parent / "data" / "starter"


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A patch of its own, so that a test which undoes its patches does not fall back on the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda _name: folder)
        yield folder


def network(config: ModelConfig, seed: int = 0) -> WaveNet:
    """A network whose every weight and bias matters: logits spread by about 2, no path near zero."""
    model = WaveNet(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
        x = torch.randint(0, config.levels, (1, model.receptive_field + 200), generator=generator)
        model.output.weight.mul_(2 / model(x).std())
    return model.eval()


def arrays(model: WaveNet) -> dict[str, np.ndarray[Any, Any]]:
    return {k: v.numpy() for k, v in model.state_dict().items()}


def as_checkpoint(model: WaveNet, sample_rate: int = 8000, step: int = 0) -> Checkpoint:
    config = Config(name="test", audio=AudioConfig(sample_rate=sample_rate), model=model.config)
    return Checkpoint(config, {f"average.{k}": v for k, v in arrays(model).items()}, Training(step=step))


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """make_folder({"a.wav": wav, ...}, rate) writes recordings and returns their folder."""

    def make(files: dict[str, Any], rate: int = 8000, name: str = "recordings") -> Path:
        folder = tmp_path / name
        for file, wav in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if file.lower().endswith(".wav"):  # float, and by SciPy: libsndfile would stamp the time into it
                scipy.io.wavfile.write(folder / file, rate, np.asarray(wav, np.float32))
            else:
                sf.write(folder / file, wav, rate)
        return folder

    return make


def tone(seconds: float, rate: int = 8000, hertz: float = 200.0, amplitude: float = 0.4) -> np.ndarray[Any, Any]:
    t = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * hertz * t)


def noisy(seconds: float, rate: int = 8000, seed: int = 0, amplitude: float = 0.1) -> np.ndarray[Any, Any]:
    return np.clip(amplitude * np.random.default_rng(seed).standard_normal(round(seconds * rate)), -1, 1)


@pytest.fixture
def training_folder(make_folder: Callable[..., Path]) -> Path:
    """Six different recordings, one of them shorter than a segment."""
    files = {f"{i}.wav": tone(1.2, hertz=150 + 40 * i) + noisy(1.2, seed=i, amplitude=0.02) for i in range(5)}
    return make_folder(files | {"short.wav": tone(0.15, hertz=333)})


@pytest.fixture
def small_config() -> Config:
    train = TrainConfig(
        steps=10, batch=3, segment_seconds=0.05, warmup_steps=2, evaluate_every=5, validation_seconds=1.0, sample_seconds=0, seed=3
    )
    return Config(name="test", audio=AudioConfig(sample_rate=8000), model=SMALL, train=train)


@pytest.fixture
def config_file(tmp_path: Path, small_config: Config) -> Path:
    path = tmp_path / "test.toml"
    path.write_text(small_config.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def torchaudio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """torchaudio's Python part. Its compiled extension wants CUDA libraries, so a stub stands in for the module that loads it."""
    pytest.importorskip("torch")
    import importlib.util

    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    stub = types.ModuleType("torchaudio._extension")
    stub.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, lazy_import_sox_ext=lambda: None)
    stub.__dict__.update(fail_if_no_align=lambda f: f)
    monkeypatch.setitem(sys.modules, "torchaudio._extension", stub)
    import torchaudio
    import torchaudio.functional

    yield torchaudio
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
