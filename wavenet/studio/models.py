"""The models that pages may play: those that come with the program, and those of runs."""

import re
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wavenet.errors import EngineError, WavenetError
from wavenet.generation.api import load
from wavenet.model import cards, checkpoint, locate
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.model.distributions.registry import distribution_for
from wavenet.studio.places import name_of, run_folders
from wavenet.studio.player import Player
from wavenet.studio.recordings import identity
from wavenet.studio.studio import Studio
from wavenet.system.text import counted

# Players that are kept ready while nobody listens to them: each is a model with its engine.
MOST_IDLE = 3


@dataclass(frozen=True)
class Source:
    """A model that there is: its run folder or file, and the checkpoint that is played."""

    name: str
    path: Path
    file: Path
    modified: float
    comes_with: bool


class NoPlaceError(Exception):
    """There is no place left for one more listener in real time."""

    def __init__(self, player: Player, players: Sequence[Player]) -> None:
        counts = [f"{p.listeners} to {p.model.name}" for p in players if p.listeners]
        alone = f"this machine keeps {counted(player.capacity, 'stream')} of {player.model.name}"
        listening = " and ".join(counts)
        super().__init__(
            f"{alone} in real time, and there are listeners already: {listening}. "
            "Try again when one has stopped."
        )


class Models:
    """What there is to play, and what plays it: a player for each model that is listened to."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._closed = Future[None]()
        self._known: dict[Source, dict[str, Any] | None] = {}
        # Those used last come last.
        self._players: dict[Source, Player] = {}

    def sources(self) -> dict[str, Source]:
        """All there are, by what pages call them."""
        found: dict[str, Source] = {}
        files = [place for place in self.studio.places if place.is_file()]
        for path in (*files, *run_folders(self.studio)):
            with suppress(WavenetError, OSError):
                name = name_of(self.studio, path)
                found[identity(path)] = self._source(path, name, False)
        for name, path in locate.bundled().items():
            found[name] = self._source(path, name, True)
        return found

    def list(self) -> list[dict[str, Any]]:
        """What pages know of each, in the order to choose from: runs first."""
        return [
            {"id": name, **about}
            for name, source in self.sources().items()
            if (about := self._about(source))
        ]

    def source(self, name: object) -> Source:
        """Raises HTTPException for one that there is not."""
        sources = self.sources()
        if not isinstance(name, str) or name not in sources:
            raise HTTPException(404, "no such model")
        return sources[name]

    def take(self, name: object) -> Player:
        """A place among the listeners of a model, which may have to be loaded first.

        `release` gives it back. Raises NoPlaceError where there is none left, and WavenetError.
        """
        source = self.source(name)
        with self._lock:
            player = self._players.get(source)
            if player:
                # Nobody who plays it waits for others' models.
                return self._placed(source, player)
        # One at a time, so that no model is loaded twice.
        with self._loading:
            with self._lock:
                player = self._players.get(source)
            player = player or self._new_player(source)
            with self._lock:
                idle = [s for s, p in self._players.items() if not p.listeners and s != source]
                leaving = [self._players.pop(s) for s in idle[: max(0, len(idle) - MOST_IDLE)]]
            for other in leaving:
                other.close()
            with self._lock:
                return self._placed(source, player)

    def _new_player(self, source: Source) -> Player:
        """Load a model, in a thread that the end of the program does not wait for."""
        loaded = Future[Player]()

        def load_it() -> None:
            try:
                model = replace(load(source.file), name=source.name)
                loaded.set_result(Player(model, self.studio.report, self._is_shared))
            except BaseException as e:
                loaded.set_exception(e)

        threading.Thread(target=load_it, name="wavenet-loading", daemon=True).start()
        either: list[Future[Any]] = [loaded, self._closed]
        wait(either, return_when=FIRST_COMPLETED)
        if not loaded.done():
            raise EngineError(source.name, "the studio is ending")
        try:
            return loaded.result()
        except MemoryError:
            raise EngineError(source.name, "there is not enough memory to play it") from None

    def _placed(self, source: Source, player: Player) -> Player:
        """A place of a player, which is now the one that was used last. Raises NoPlaceError."""
        self._players.pop(source, None)
        self._players[source] = player
        players = list(self._players.values())
        is_full = sum(p.listeners / p.capacity for p in players) + 1 / player.capacity > 1
        # The first is always let in: it may be slower than real time, but it is heard.
        if is_full and any(p.listeners for p in players):
            raise NoPlaceError(player, players)
        player.listeners += 1
        return player

    def _is_shared(self) -> bool:
        """Whether more than one page listens."""
        return sum(player.listeners for player in list(self._players.values())) > 1

    def release(self, player: Player) -> None:
        """Give back a place."""
        with self._lock:
            player.listeners -= 1

    def close(self) -> None:
        """End all players."""
        with self._lock:
            players, self._players = list(self._players.values()), {}
            if not self._closed.done():
                self._closed.set_result(None)
        for player in players:
            player.close()

    def _source(self, path: Path, name: str, comes_with: bool) -> Source:
        file = locate.find(path)
        return Source(name, path, file, file.stat().st_mtime, comes_with)

    def _about(self, source: Source) -> dict[str, Any] | None:
        """What a page needs to know of a model; None for one that cannot be read."""
        if source not in self._known:
            about = None
            with suppress(WavenetError, OSError):
                about = describe(source)
            with self._lock:
                # Of a run that goes on, each checkpoint takes the place of the one before.
                self._known = {s: a for s, a in self._known.items() if s.path != source.path}
                self._known[source] = about
            return about
        return self._known.get(source)


def describe(source: Source) -> dict[str, Any]:
    """A model's facts for pages. Raises CheckpointError."""
    model = checkpoint.load(source.file, arrays=False)
    config, training = model.config.model, model.training
    card = cards.card(source.name) if source.comes_with else []
    is_mixture = distribution_for(config).scalar_input
    return {
        "name": source.name,
        "comes_with": source.comes_with,
        # What it is, without the commands that the card names.
        "about": re.split(r"[;:.] ", card[0].removeprefix("What it is. "))[0] if card else "",
        "rate": model.sample_rate,
        "step": training.step,
        "labels": list(config.labels),
        "follows": [front_end.name for front_end in frame_front_ends(config)],
        "segments": list(config.segment_labels),
        "notes": list(training.pitch) if training.pitch else None,
        "levels": 0 if is_mixture else config.levels,
        "hears_ms": round(1000 * config.receptive_field / model.sample_rate),
        "frame_seconds": config.frame_hop / model.sample_rate,
    }


def routes(models: Models) -> list[BaseRoute]:
    """The list of models."""

    def list_models(request: Request) -> Response:
        return JSONResponse({"models": models.list()})

    return [Route("/models", list_models)]
