"""Trainings for the tests of several processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.training.two_processes import as_options
from wavenet.config.loading import parse_assignments
from wavenet.training.run_folder import Run
from wavenet.training.session import train

SETTINGS = (
    *("train.batch=3", "train.accumulate=2", "train.segment_seconds=0.3"),
    *("train.evaluate_every=6", "train.learning_rate=1e-3"),
)


@pytest.fixture
def command(training_folder: Path, config_file: Path, tmp_path: Path) -> list[object]:
    """`wavenet train` with three windows, some short.

    Two processes then have different numbers of windows, of parts, and of samples in the loss.
    """
    options = ["-c", config_file, "--cache", tmp_path / "cache", *as_options(SETTINGS)]
    return ["train", training_folder, *options]


@pytest.fixture
def alone(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """The same training in this process, in one thread."""
    monkeypatch.setattr("wavenet.training.session.LOG_EVERY", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(out: Path, steps: int, stop_at: int | None = None) -> Run:
        return train(
            training_folder,
            config=str(config_file),
            overrides={**parse_assignments(SETTINGS), "train.steps": steps},
            out=out,
            stop_at=stop_at,
            cache=tmp_path / "cache",
        )

    yield run
    torch.set_num_threads(threads)
