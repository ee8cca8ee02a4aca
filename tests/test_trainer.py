from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wavenet.config import Config, TrainConfig
from wavenet.corpus import Corpus
from wavenet.errors import RunError, TrainingError
from wavenet.pcm_cache import index_folder
from wavenet.receptive import receptive_field
from wavenet.session import nothing_learnt
from wavenet.trainer import Trainer, learning_rate, pick_device

CPU = torch.device("cpu")


def trainer(folder: Path, config: Config) -> Trainer:
    index = index_folder(folder, config.audio, trim=config.trims)
    return Trainer(config, Corpus(index, config, receptive_field(config.model.schedule, config.model.kernel_size)), CPU)


def test_schedule_warms_up_and_comes_down() -> None:
    train = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(s, train) for s in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.01 < rates[-1] < 0.012
    constant = replace(train, schedule="constant")
    assert [learning_rate(s, constant) for s in (10, 50, 99)] == [1, 1, 1]


def test_restored_training_is_bit_identical(training_folder: Path, small_config: Config) -> None:
    straight, first, second = (trainer(training_folder, small_config) for _ in range(3))
    for _ in range(10):
        straight.train_step()
    for _ in range(5):
        first.train_step()
    second.restore(first.checkpoint())
    for _ in range(5):
        second.train_step()
    expected, found = straight.checkpoint().arrays, second.checkpoint().arrays
    assert expected.keys() == found.keys()
    assert {k.split(".")[0] for k in expected} == {"model", "average", "adam"}
    for name in expected:
        assert (expected[name] == found[name]).all(), name
    assert not np.array_equal(first.checkpoint().arrays["model.output.weight"], expected["model.output.weight"])


def test_the_average_trails_the_weights(training_folder: Path, small_config: Config) -> None:
    t = trainer(training_folder, small_config)
    start = t.model.output.weight.detach().clone()
    t.train_step()
    assert torch.equal(t.averaged.output.weight, t.model.output.weight)  # the first step replaces the random start
    for _ in range(5):
        t.train_step()
    moved, average = (t.model.output.weight - start).norm(), (t.averaged.output.weight - start).norm()
    assert 0 < average < moved


def test_timing_a_step_changes_nothing(training_folder: Path, small_config: Config) -> None:
    a, b = trainer(training_folder, small_config), trainer(training_folder, small_config)
    assert b.time_step() > 0
    assert a.train_step() == b.train_step()
    assert torch.equal(a.model.output.weight, b.model.output.weight)


def test_validation_scores_the_average_and_remembers_the_best(training_folder: Path, small_config: Config) -> None:
    t = trainer(training_folder, small_config)
    t.evaluate()
    assert t.validation_bits == pytest.approx(5, abs=0.02)  # log2(32) before anything is learnt
    for _ in range(10):
        t.train_step()
    t.evaluate()
    assert t.best == (t.validation_bits, 10)
    assert t.validation_bits is not None
    assert t.validation_bits < 4.98


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(training_folder: Path, small_config: Config) -> None:
    t = trainer(training_folder, small_config)
    with torch.no_grad():
        t.model.output.bias[0] = float("nan")
    before = {k: v.clone() for k, v in t.model.state_dict().items()}
    with pytest.raises(TrainingError, match="the loss is not finite at step 0"):
        t.train_step()
    assert all(torch.equal(v, before[k]) or k == "output.bias" for k, v in t.model.state_dict().items())


def test_nothing_learnt_is_told_from_learning() -> None:
    config = Config(train=TrainConfig(warmup_steps=10))
    assert nothing_learnt(200, [7.8] * 50, 7.85, config) is not None
    assert nothing_learnt(200, [5.0] * 50, 7.85, config) is None
    assert nothing_learnt(60, [7.8] * 50, 7.85, config) is None  # too early to tell


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta:x"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(RunError, match=f"--device {name}: not available here; use auto or one of cpu"):
        pick_device(name)
