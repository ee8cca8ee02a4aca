"""A studio that is served for the tests of a module, and one that asks for a token."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import SMALL, VOICES, as_checkpoint, network
from tests.studio.serving_helpers import Listener, Served, nobody_listens, served, wait_until
from wavenet.config import ModelConfig
from wavenet.studio.player import Player


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: Any) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        # A busy machine has few places.
        patch.setattr(Player, "_timed_capacity", lambda self: 100)
        with served(tmp_path_factory.mktemp("root")) as server:
            yield server


@pytest.fixture
def server(shared_server: Served) -> Served:
    """A studio that has nothing in its log."""
    shared_server.log.clear()
    return shared_server


@pytest.fixture
def token() -> str:
    return secrets.token_urlsafe(16)


@pytest.fixture
def guarded(tmp_path: Path, token: str) -> Iterator[Served]:
    """A studio that asks for a token."""
    with served(tmp_path, token) as server:
        yield server


@pytest.fixture
def other(server: Served) -> Iterator[Listener]:
    """A page that listens all the while, and hears what it would alone."""
    listener = server.listener(seed=7)
    listener.hear(400)
    yield listener
    listener.require_undisturbed()
    listener.close()
    wait_until(nobody_listens)


def saved(path: Path, config: ModelConfig) -> Path:
    as_checkpoint(network(config)).save(path)
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "plain": saved(folder / "plain.safetensors", SMALL),
        "labels": saved(folder / "labels.safetensors", VOICES),
    }
