"""Training on the device that `auto` means: a GPU where there is one, else the CPU.

A step computes what the readable network computes, and learns what a CPU learns.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from benchmarks.kernel_counts import KernelCounter
from benchmarks.training_case import Captured, NoiseDataset
from tests.helpers import BOTH, SMALL, VOCODER, noisy, tone, train_run, wavenet
from tests.model import pattern_reference
from wavenet.config import Config, ModelConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import WindowDataset
from wavenet.data.pcm_cache import index_folder
from wavenet.model.network import WaveNet
from wavenet.system.device import pick_device
from wavenet.training.distributed import SingleProcess
from wavenet.training.trainer import Trainer

pytestmark = pytest.mark.gpu
DEVICE, CPU = pick_device("auto"), torch.device("cpu")
on_a_gpu = pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a GPU")

MODEL = ModelConfig(layers=10, dilation_cycle=32)
CASES: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    "mu-law": (MODEL, {}),
    "logistic": (replace(MODEL, output="logistic", mixtures=5), {}),
    "gaussian": (replace(MODEL, output="gaussian", mixtures=2), {}),
    "uneven channels": (replace(SMALL, residual_channels=7, gate_channels=10), {}),
    "grouped": (replace(SMALL, groups=2, kernel_size=3), {}),
    "mel": (replace(VOCODER, residual_channels=16, gate_channels=32), {}),
    "labels and mel": (replace(BOTH, labels=()), {}),
    "checkpointed, in parts": (MODEL, {"checkpoint_layers": 3, "accumulate": 2}),
}


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """Without TF32, which convolutions of GPUs take unless they are told not to."""
    was = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = was


Make = Callable[..., Trainer]


@pytest.fixture
def trainer(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """trainer(case, device, precision): on recordings of two speakers."""

    def make(
        case: str,
        device: torch.device = DEVICE,
        precision: str = "fp32",
        processes: SingleProcess | None = None,
    ) -> Trainer:
        model, settings = CASES[case]
        train = replace(small_config.train, precision=precision, **settings)
        config = replace(small_config, model=model, train=train)
        speakers = {"ada": 150, "bob": 290}
        recordings = {
            f"{who}/{i}.wav": tone(0.5, hertz=hertz + 9 * i) + noisy(0.5, seed=i, amplitude=0.02)
            for who, hertz in speakers.items()
            for i in range(2)
        }
        index = index_folder(make_folder(recordings), config.audio, trim=config.trims)
        return Trainer(WindowDataset(Corpus.open(index, config)), device, processes)

    return make


def gradients(trainer: Trainer) -> tuple[float, dict[str, Tensor]]:
    """A step's loss in nats, and its gradients without fp16's scale."""
    nats = float(trainer._backward().detach())
    trainer.scaler.unscale_(trainer.optimizer)
    return nats, in_float64(trainer.model)


def in_float64(model: WaveNet) -> dict[str, Tensor]:
    parameters = model.named_parameters()
    return {n: p.grad.double().cpu() for n, p in parameters if p.grad is not None}


def of_readable(
    trainer: Trainer, device: torch.device, precision: torch.dtype | None = None
) -> tuple[float, dict[str, Tensor]]:
    """The same of ordinary convolutions: in float64, or in float32 under autocast."""
    model = WaveNet(trainer.model.config)
    model.load_state_dict(trainer.model.state_dict())
    dtype = torch.float32 if precision else torch.float64
    model = model.to(device, dtype)
    batch = trainer.batches.get(trainer.step)
    x, mask = batch.x.to(device), batch.loss_mask.to(device)
    inputs = batch.conditioning_input and batch.conditioning_input.map(
        lambda a: a.to(device, dtype) if a.is_floating_point() else a.to(device)
    )
    with torch.autocast(device.type, precision, enabled=precision is not None):
        params = pattern_reference.forward(model, x[:, :-1], inputs)
    predicted = x[:, model.receptive_field :]
    nats = model.distribution.loss(params, predicted, mask / mask.sum())
    nats.backward()
    return float(nats.detach()), in_float64(model)


def errors(actual: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """How far each gradient is off, over its length."""
    assert actual.keys() == exact.keys()
    return {n: float((actual[n] - g).norm() / g.norm()) for n, g in exact.items()}


def length_of_error(actual: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """How far the whole gradient is off."""
    return float(sum((actual[n] - g).square().sum() for n, g in exact.items())) ** 0.5


@pytest.mark.parametrize("case", CASES)
def test_a_step_in_float32_is_the_readable_networks(trainer: Make, case: str) -> None:
    t = trainer(case)
    (nats, actual), (exact_nats, exact) = gradients(t), of_readable(t, CPU)
    assert nats == pytest.approx(exact_nats, rel=1e-5)
    assert max(errors(actual, exact).values()) < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_a_step_in_bf16_is_off_by_no_more_than_convolutions_are(trainer: Make, case: str) -> None:
    t = trainer(case, precision="bf16")
    (nats, actual), (exact_nats, exact) = gradients(t), of_readable(t, CPU)
    _, convolutions = of_readable(t, DEVICE, torch.bfloat16)
    assert nats == pytest.approx(exact_nats, abs=0.02)
    assert 0 < length_of_error(actual, exact) < 2 * length_of_error(convolutions, exact)
    assert max(errors(actual, exact).values()) < 0.2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", ["mu-law", "labels and mel"])
def test_a_few_steps_learn_what_a_cpu_learns(trainer: Make, case: str, precision: str) -> None:
    t, expected = trainer(case, DEVICE, precision), trainer(case, CPU)
    bits, exact = ([u.train_step() for _ in range(4)] for u in (t, expected))
    assert bits == pytest.approx(exact, abs=2e-3 if precision == "fp32" else 0.1)
    assert bits[0] != bits[3]
    assert {p.dtype for p in t.model.parameters()} == {torch.float32}
    for u in (t, expected):
        u.evaluate()
    assert t.validation_bits == pytest.approx(expected.validation_bits, abs=0.1)


def test_training_goes_on_from_a_checkpoint_on_its_device(trainer: Make) -> None:
    straight, resumed = trainer("mu-law"), trainer("mu-law")
    for _ in range(3):
        straight.train_step()
    resumed.restore(straight.checkpoint())
    for _ in range(3):
        assert resumed.train_step() == pytest.approx(straight.train_step(), abs=1e-5)


def test_a_vocoder_is_trained_and_generates(
    make_folder: Callable[..., Path], small_config: Config, tmp_path: Path
) -> None:
    """The whole path, as a user takes it: recordings, a run with samples, a clip."""
    folder = make_folder({f"{i}.wav": tone(1.0, hertz=150 + 40 * i) for i in range(3)})
    config = tmp_path / "mel.toml"
    train = replace(small_config.train, sample_seconds=0.1, precision="auto")
    config.write_text(replace(small_config, model=VOCODER, train=train).to_toml(), "utf-8")
    run, _ = train_run(folder, tmp_path / "run", config=str(config))
    assert run.latest().training.precision == ("bf16" if DEVICE.type == "cuda" else "fp32")
    assert list(run.samples.glob("*.wav"))
    clip = tmp_path / "clip.wav"
    made = wavenet("vocode", run.folder, folder / "0.wav", "-o", clip)
    assert made.exit_code == 0, made.output
    assert clip.exists()


# --- what a step asks of the host, on tensors that hold nothing -----------------------------------


class NoAutocast(nullcontext[None]):
    """Of torch.autocast, which knows no device of that kind."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


class OneReading(SingleProcess):
    """Reads a step's loss and norm, which is where a step may wait."""

    def all_reduce_loss(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        assert loss.is_meta
        assert norm.is_meta
        return 1.0, 1.0


@pytest.mark.parametrize("case", CASES)
def test_a_step_waits_for_the_device_only_where_it_reads_the_loss(
    trainer: Make, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a meta tensor is an error. Of copies, a batch's own are all there may be."""
    monkeypatch.setattr(torch, "autocast", NoAutocast)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _device: False)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda _device: torch.bfloat16)
    t = trainer(case, torch.device("meta"), processes=OneReading())
    t.train_step()
    with KernelCounter() as counter:
        t.train_step()
    inputs = t.dataset.batch(0).conditioning_input
    arrays = 2 + len(inputs.values) + (inputs.frame_range is not None)
    assert {k: n for k, n in counter.host_waits.items() if "copy" in k} == {"_to_copy": arrays}


# --- what there is on a GPU only ------------------------------------------------------------------


@on_a_gpu
def test_a_captured_step_has_the_gradients_of_an_eager_one(small_config: Config) -> None:
    """An experiment of the benchmarks, which is worth nothing unless this holds."""
    train = replace(small_config.train, precision="fp32")
    config = replace(small_config, model=MODEL, train=train)
    captured, eager = (
        kind(cast(WindowDataset, NoiseDataset(config)), DEVICE) for kind in (Captured, Trainer)
    )
    for step in range(3):
        captured.step = eager.step = step
        nats, actual = gradients(captured)
        exact_nats, exact = gradients(eager)
        assert nats == pytest.approx(exact_nats, rel=1e-6)
        assert max(errors(actual, exact).values()) < 1e-5


@on_a_gpu
def test_a_process_of_torchrun_trains_over_nccl(
    make_folder: Callable[..., Path], config_file: Path, tmp_path: Path
) -> None:
    folder = make_folder({f"{i}.wav": tone(1.0, hertz=150 + 40 * i) for i in range(3)})
    arguments = ["train", folder, "--config", config_file, "-o", tmp_path / "run"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", "-m"]
    done = subprocess.run(
        [*torchrun, "wavenet", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=80,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bits" in done.stdout
