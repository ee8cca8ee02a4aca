"""Which models a studio plays, to how many listeners, and for how long they stay ready."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import wavenet
from tests.helpers import SMALL, as_checkpoint, network
from wavenet.studio import models
from wavenet.studio import player as player_module
from wavenet.studio.player import MOST_VOICES, Player
from wavenet.studio.processes import log_of
from wavenet.studio.recordings import identity
from wavenet.studio.studio import Studio


def test_a_player_knows_how_many_streams_it_keeps_in_real_time(
    tmp_path: Path, places: Mapping[str, Path]
) -> None:
    """A small network at 8000 Hz: at least ten, and no more than are ever promised."""
    played = models.Models(Studio(tmp_path, list(places.values()), print))
    player = played.take(identity(places["plain"]))
    assert 10 <= player.capacity <= MOST_VOICES
    played.close()


def test_a_stream_takes_only_its_share_while_others_listen(
    places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone it is made as fast as it can be."""
    monkeypatch.setattr(player_module, "MOST_AHEAD_SECONDS", 0.2)
    is_shared = True
    model = wavenet.load(places["plain"])
    player = Player(model, print, lambda: is_shared)
    made: list[int] = []
    began = time.monotonic()

    def begin() -> None:
        stream = player.generator.stream(7, 0, {})
        voice = player.begin(stream, np.zeros(0, np.int64), lambda wav: made.append(len(wav)))  # type: ignore[arg-type]
        player.grant(voice, 10**6, 0)

    player.submit(begin).result()
    for _ in range(20):
        time.sleep(0.02)
        assert sum(made) <= player.samples(time.monotonic() - began + 0.2)
    assert sum(made) > 0
    is_shared = False
    while sum(made) < player.samples(time.monotonic() - began + 2):
        time.sleep(0.01)
    player.close()


def test_runs_that_the_studio_made_are_models_wherever_else_it_looks(
    tmp_path: Path, places: Mapping[str, Path]
) -> None:
    for name in ("made", "other"):
        run = tmp_path / "runs" / name
        saved_in = run / "checkpoints"
        saved_in.mkdir(parents=True)
        (run / "config.toml").write_text("")
        as_checkpoint(network(SMALL), step=3).save(saved_in / "step-00000003.safetensors")
    log = log_of(tmp_path / "runs" / "made")
    log.parent.mkdir()
    log.touch()
    played = models.Models(Studio(tmp_path, [places["plain"], Path("demo-flute")], print))
    listed = {model["name"] for model in played.list() if not model["comes_with"]}
    assert listed == {"made", str(places["plain"])}


def test_players_that_nobody_listens_to_end(
    tmp_path: Path, places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MOST_IDLE", 0)
    played = models.Models(Studio(tmp_path, list(places.values()), print))
    first = played.take(identity(places["plain"]))
    played.release(first)
    second = played.take(identity(places["labels"]))
    assert not first._thread.is_alive()
    assert played.take(identity(places["labels"])) is second
    played.close()
    assert not second._thread.is_alive()
