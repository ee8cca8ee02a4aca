"""Fixtures of several commands' tests."""

from pathlib import Path

import pytest

from tests.helpers import SMALL, as_checkpoint, network
from wavenet.model import checkpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The file of a small model."""
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL)))
    return path
