"""The trainer: less memory, half precision, and losses that are not finite."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import noisy, training_recordings
from wavenet.config import Config, TrainConfig
from wavenet.data.corpus import Corpus
from wavenet.data.dataset import Batch, WindowDataset
from wavenet.data.loader import Prefetcher
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import ConfigError, TrainingError, UsageError
from wavenet.system.device import check_compiler, pick_device, pick_precision
from wavenet.training.learning_check import nothing_learnt
from wavenet.training.trainer import Trainer, learning_rate

CPU = torch.device("cpu")


Make = Callable[..., Trainer]


@pytest.fixture
def trainer(make_folder: Callable[..., Path], small_config: Config) -> Make:
    """trainer({"a.wav": wav, ...}, **train): on these recordings, or on some."""

    def make(files: Any = None, **train: Any) -> Trainer:
        config = replace(small_config, train=replace(small_config.train, **train))
        folder = make_folder(files or training_recordings())
        index = index_folder(folder, config.audio, trim=config.trims)
        return Trainer(WindowDataset(Corpus.open(index, config)), CPU)

    return make


def test_schedule_warms_up_and_comes_down() -> None:
    train = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(s, train) for s in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.01 < rates[-1] < 0.012
    constant = replace(train, schedule="constant")
    assert [learning_rate(s, constant) for s in (10, 50, 99)] == [1, 1, 1]


@pytest.mark.parametrize(("accumulate", "checkpoint_layers"), [(2, 0), (3, 0), (1, 2), (2, 100)])
def test_accumulation_and_checkpointing_change_only_the_memory(
    trainer: Make, accumulate: int, checkpoint_layers: int
) -> None:
    """This holds also where windows have different numbers of samples in the loss."""
    files = {f"{i}.wav": noisy(0.15 + 0.1 * i, seed=i) for i in range(6)}
    saving = {"accumulate": accumulate, "checkpoint_layers": checkpoint_layers}
    a, b = (trainer(files, batch=5, segment_seconds=0.3, **more) for more in ({}, saving))

    def is_uneven(step: int) -> bool:
        return len(set(a.dataset.batch(step).loss_mask.sum(1))) > 1

    uneven = next(step for step in range(100) if is_uneven(step))
    for t in (a, b):
        t.model.double()
        t.step = uneven
    torch.testing.assert_close(b._backward(), a._backward())
    for (name, p), q in zip(a.model.named_parameters(), b.model.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(
            q.grad, p.grad, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_like_single(trainer: Make, precision: str) -> None:
    more = {"learning_rate": 1e-2, "steps": 20, "segment_seconds": 0.02}
    single, half = (trainer(precision=p, **more) for p in ("fp32", precision))
    assert (single.precision, half.precision) == ("fp32", precision)
    bits, half_bits = [(single.train_step(), half.train_step()) for _ in range(20)][-1]
    assert single.model.output.weight.dtype == half.model.output.weight.dtype == torch.float32
    assert bits < 4.4
    assert 0 < abs(bits - half_bits) < 0.1


def test_fp16_skips_a_step_that_overflows_and_resumes_exactly(trainer: Make) -> None:
    straight, resumed = (trainer(precision="fp16", segment_seconds=0.02) for _ in range(2))
    straight.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = straight.model.output.weight.clone()
    straight.train_step()
    assert straight.skipped == 1
    assert torch.equal(straight.model.output.weight, before)
    while straight.skipped == straight.step:
        straight.train_step()
    resumed.restore(straight.checkpoint())
    assert resumed.scaler.get_scale() == straight.scaler.get_scale()
    for _ in range(6):
        assert straight.train_step() == resumed.train_step()
    expected, saved = straight.checkpoint(), resumed.checkpoint()
    assert vars(saved.training) == vars(expected.training) | {"seconds": saved.training.seconds}
    assert all((saved.arrays[n] == a).all() for n, a in expected.arrays.items())


def test_fp16_that_never_fits_is_reported(trainer: Make) -> None:
    t = trainer(precision="fp16")
    # The square root of 0 has the value 0 and an infinite slope.
    t._losses = lambda: iter([(t.model.output.bias * 0).sum().sqrt()])  # type: ignore[method-assign]
    while t.scaler.get_scale() > 1:
        t.train_step()
    with pytest.raises(TrainingError, match="the gradient is not finite at step 16"):
        t.train_step()


def test_accumulation_bounds_the_memory_of_validation_too(trainer: Make) -> None:
    for parts, size in ((1, 3), (3, 1)):
        batches = trainer(accumulate=parts).dataset.validation_batches()
        assert max(len(b.x) for b in batches) == size


def test_batches_ahead_are_those_of_their_steps(trainer: Make) -> None:
    t = trainer()
    for step in (0, 1, 2, 7, 3, 3):
        x, loss_mask, conditioning_input, *_ = t.batches.get(step)
        assert conditioning_input is None
        assert np.array_equal(x.numpy(), t.dataset.batch(step).x)
        assert np.array_equal(loss_mask.numpy(), t.dataset.batch(step).loss_mask)


def test_a_batch_that_cannot_be_made_is_an_error_of_its_step(trainer: Make) -> None:
    def broken(step: int) -> Batch:
        if step == 2:
            raise OSError("the disk is gone")
        return dataset.batch(step)

    dataset = trainer().dataset
    batches = Prefetcher(broken, dataset.corpus.config, CPU)
    batches.get(1)
    with pytest.raises(OSError, match="the disk is gone"):
        batches.get(2)


@pytest.mark.slow
def test_compiled_gates_give_the_same_gradients(trainer: Make) -> None:
    try:
        check_compiler(CPU)
    except ConfigError as e:
        pytest.skip(str(e))
    compiled, plain = trainer(compile=True), trainer()
    torch.testing.assert_close(compiled._backward(), plain._backward())
    for p, q in zip(plain.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-4, atol=1e-6)


def test_a_missing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(ConfigError) as e:
        check_compiler(CPU)
    assert e.value.subject == "train.compile = true"
    assert e.value.reason.endswith("(no C++ compiler)")


@pytest.mark.parametrize(
    ("setting", "device", "bf16", "expected"),
    [
        ("auto", "cpu", True, "fp32"),
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
        ("auto", "mps", True, "fp32"),
        ("fp16", "cuda", False, "fp16"),
        ("bf16", "cpu", False, "bf16"),
        ("bf16", "cuda", False, None),
        ("bf16", "mps", True, None),
        ("fp16", "mps", True, None),
    ],
)
def test_precision_suits_the_device(
    setting: str, device: str, bf16: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expected precision of None is a refusal."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    if expected:
        assert pick_precision(setting, torch.device(device)) == expected
        return
    with pytest.raises(ConfigError) as e:
        pick_precision(setting, torch.device(device))
    assert e.value.subject == f"train.precision = {setting}"


def test_the_ema_trails_the_weights(trainer: Make) -> None:
    t = trainer()
    start = t.model.output.weight.detach().clone()
    t.train_step()
    # The first step replaces the random start.
    assert torch.equal(t.ema_network.output.weight, t.model.output.weight)
    for _ in range(5):
        t.train_step()
    moved = (t.model.output.weight - start).norm()
    ema_moved = (t.ema_network.output.weight - start).norm()
    assert 0 < ema_moved < moved


def test_timing_a_step_changes_nothing(trainer: Make) -> None:
    a, b = trainer(), trainer()
    assert b.time_step() > 0
    assert a.train_step() == b.train_step()
    assert torch.equal(a.model.output.weight, b.model.output.weight)


def test_validation_scores_the_ema_and_remembers_the_best(trainer: Make) -> None:
    t = trainer()
    t.evaluate()
    # Before anything is learnt, these are log2(32).
    assert t.validation_bits == pytest.approx(5, abs=0.02)
    for _ in range(10):
        t.train_step()
    t.evaluate()
    assert t.best_bits == t.validation_bits < 4.98
    assert t.best_step == 10


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(trainer: Make) -> None:
    t = trainer()
    with torch.no_grad():
        t.model.output.bias[0] = float("nan")
    before = {k: v.clone() for k, v in t.model.state_dict().items()}
    with pytest.raises(TrainingError, match="the loss is not finite at step 0"):
        t.train_step()
    for name, value in t.model.state_dict().items():
        assert torch.equal(value, before[name]) or name == "output.bias"


def test_nothing_learnt_is_distinguished_from_learning() -> None:
    train = TrainConfig(warmup_steps=10)
    assert nothing_learnt(200, 7.8, 7.85, train) is not None
    assert nothing_learnt(200, 5.0, 7.85, train) is None
    up, level = (nothing_learnt(200, bits, 7.85, train, before=8.0) for bits in (5851.0, 7.99))
    assert up is not None
    assert "start again with train.learning_rate (now 0.01) at a third of that, or less" in up
    assert level is not None
    assert "by a factor of 3 either way" in level
    # After 60 steps it is too early to judge.
    assert nothing_learnt(60, 7.8, 7.85, train) is None


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta:x"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UsageError) as e:
        pick_device(name)
    assert (e.value.parameter, e.value.value) == ("device", name)
