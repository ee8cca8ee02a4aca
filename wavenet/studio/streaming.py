"""A stream of audio to a page, over a WebSocket; `protocol` lists the messages.

Whoever sends something else is cut off, and so is who does not read. The audio is that of
`wavenet generate` with the same seed, sample for sample.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from wavenet.errors import UsageError, WavenetError, printable
from wavenet.generation.live import Moment
from wavenet.generation.live_notes import LiveNotes
from wavenet.generation.live_recording import LiveRecording
from wavenet.generation.provenance import synthetic_tags
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed
from wavenet.model.distributions.base import Sampling
from wavenet.studio.models import Models, NoPlaceError
from wavenet.studio.outgoing import Outgoing
from wavenet.studio.player import FOREVER, Player, Voice
from wavenet.studio.preparation import Prepared, label_number, prepared
from wavenet.studio.protocol import (
    MalformedError,
    Start,
    bend_of,
    keys_of,
    message_of,
    optional,
    required,
    sample_of,
    sampling_of,
    seed_of,
    wav_of,
)
from wavenet.studio.uploads import Uploads

# A page may have so much more made than it has played.
MOST_AHEAD_SECONDS = 5.0
# What it sends of a microphone: at once, before its time, and how fast: no clock is exact.
MOST_AT_ONCE_SECONDS, MOST_EARLY_SECONDS, MOST_PACE = 0.25, 1.0, 1.05
# A page has so long to say what it wants to hear. Once it hears it and says nothing for so long, it
# gives its place to others.
START_SECONDS, IDLE_SECONDS = 60.0, 600.0
MOST_BRANCHES, MOST_ERROR = 12, 300
# Connections at once, and of these those whose streams are being prepared.
MOST_SESSIONS, MOST_PREPARED = 100, 4
# From what a page hears while it asks for a change to where that begins: what is made for it is on
# its way until then. Where many listen, a block takes nearly as long as it sounds.
LISTENING_MARGIN, PLAYING_MARGIN = 0.08, 0.03
# Why the WebSocket itself may have been closed, by its codes.
_DAMAGE = {1002: "what is no message", 1007: "text that is not UTF-8", 1009: "too long a message"}


def routes(models: Models, uploads: Uploads, report: Callable[[str], None]) -> list[BaseRoute]:
    sessions = set[Session]()
    preparing = asyncio.Semaphore(MOST_PREPARED)

    async def stream(websocket: WebSocket) -> None:
        if len(sessions) >= MOST_SESSIONS:
            report(f"a page was turned away: {MOST_SESSIONS} are connected already")
            await websocket.close(1013)
            return
        session = Session(websocket, models, uploads, report, preparing)
        sessions.add(session)
        try:
            await session.run()
        finally:
            sessions.discard(session)

    return [WebSocketRoute("/stream", stream)]


class Session:
    """A page's connection, and its stream from the time that it was started."""

    def __init__(
        self,
        websocket: WebSocket,
        models: Models,
        uploads: Uploads,
        report: Callable[[str], None],
        preparing: asyncio.Semaphore,
    ) -> None:
        self._websocket, self._models, self._uploads = websocket, models, uploads
        self._report, self._preparing = report, preparing
        self._outgoing = Outgoing(websocket)
        self._player: Player | None = None
        self._voice: Voice | None = None
        # A page may leave while a thread gets its place or its voice.
        self._lock, self._has_left = threading.Lock(), False
        # Samples of the prompt that are heard first.
        self._lead_in = 0
        self._branches: list[Moment] = []
        # Samples of the microphone so far.
        self._recorded = 0
        # As the page has chosen it last.
        self._sampling = Sampling()

    async def run(self) -> None:
        """Serve the page until it leaves, or is cut off."""
        await self._websocket.accept()
        try:
            async with anyio.create_task_group() as group:
                for work in (self._listen, self._outgoing.send, self._outgoing.watch):
                    group.start_soon(self._until_it_ends, work, group.cancel_scope)
        finally:
            self._leave()
        with suppress(RuntimeError, WebSocketDisconnect, OSError), anyio.move_on_after(1):
            await self._websocket.close(1008)

    async def _until_it_ends(
        self, work: Callable[[], Awaitable[None]], scope: anyio.CancelScope
    ) -> None:
        """Do one part of the work; with it the others end."""
        try:
            await work()
        except WebSocketDisconnect:
            pass
        except (MalformedError, TimeoutError) as e:
            self._report(f"a page was cut off: {e}")
        except Exception as e:
            self._report(f"a stream ended: {type(e).__name__}: {printable(e)}")
        finally:
            scope.cancel()

    async def _listen(self) -> None:
        handlers = {
            "start": self._start,
            "credit": self._credit,
            "change": self._change,
            "keys": self._keys,
            "branch": self._branch,
            "resume": self._resume,
        }
        while True:
            try:
                with anyio.fail_after(START_SECONDS if self._voice is None else IDLE_SECONDS):
                    message = await self._websocket.receive()
            except TimeoutError:
                raise TimeoutError("it has said nothing for too long") from None
            if message["type"] == "websocket.disconnect":
                if damage := _DAMAGE.get(message.get("code", 0)):
                    raise MalformedError(damage)
                raise WebSocketDisconnect
            if data := message.get("bytes"):
                await self._microphone(data)
                continue
            given = message_of(message.get("text"))
            handler = handlers.get(required(given, "type", str))
            if handler is None:
                raise MalformedError("a message of an unknown type")
            try:
                await handler(given)
            except NoPlaceError as e:
                self._outgoing.put({"type": "refused", "message": str(e)})
            except (WavenetError, HTTPException) as e:
                # Where a stream is there already, it goes on as it was.
                kind = "error" if self._voice is None else "notice"
                line = e.detail if isinstance(e, HTTPException) else str(e)
                # It may quote what the page sent.
                self._outgoing.put({"type": kind, "message": line[:MOST_ERROR]})

    async def _start(self, given: dict[str, Any]) -> None:
        if self._player is not None:
            raise MalformedError("a second stream on one connection")
        start = Start.of(given)
        try:
            # Models are loaded one after the other, for whose end nobody else waits.
            player = await run_in_threadpool(self._take, start.model)
            async with self._preparing:
                begins = await run_in_threadpool(prepared, player, self._uploads, start)
            await self._begin(player, start, begins)
        except BaseException:
            self._give_back()
            raise

    async def _begin(self, player: Player, start: Start, begins: Prepared) -> None:
        stream, prompt, lead_in, end, live = begins
        self._lead_in, self._sampling = len(lead_in), start.sampling
        finite = end != FOREVER
        about = {
            "type": "started",
            "seed": start.seed,
            "rate": player.model.sample_rate,
            "samples": self._lead_in + end if finite else None,
            "lead_in": self._lead_in,
            "engine": player.engine,
            "listeners": player.listeners,
            "capacity": player.capacity,
            "comment": _comment(player.model, start.seed),
        }

        def begin() -> None:
            deliver = self._outgoing.deliver
            voice = player.begin(stream, prompt.x, deliver, end=end, live_input=live)
            with self._lock:
                # It is not there any more where the page has left, or gave up to wait for this.
                is_wanted = self._player is player
                self._voice = voice if is_wanted else None
            if not is_wanted:
                player.leave(voice)
                return
            self._outgoing.deliver(about)
            if len(lead_in):
                self._outgoing.deliver(lead_in)

        await _done(player.submit(begin))

    def _take(self, name: str) -> Player:
        """A place among a model's listeners, which is given back at once if the page has left."""
        player = self._models.take(name)
        with self._lock:
            self._player, has_left = player, self._has_left
        if has_left:
            self._give_back()
        return player

    async def _credit(self, given: dict[str, Any]) -> None:
        player, voice = self._playing()
        until, position = sample_of(given, "until"), sample_of(given, "position")
        until = min(until, position + player.samples(MOST_AHEAD_SECONDS))
        player.grant(voice, until - self._lead_in, position - self._lead_in)

    async def _change(self, given: dict[str, Any]) -> None:
        player, voice = self._playing()
        live_input, label = voice.live_input, optional(given, "label", str)
        number, features = 0, None
        if label is not None:
            number = label_number(player.model.config.model.labels, label)
            if live_input is None and player.model.config.model.follows_frames:
                raise UsageError("label", label, "is heard from the next start on")
            if live_input is None:
                features = player.generator.projection.features(label=number)
        # Checked here, where errors are reported.
        sampling = sampling_of(given, self._sampling)
        player.generator.distribution.check(sampling)
        self._sampling = sampling

        def change() -> None:
            voice.live.now.sampling = sampling
            if features is not None:
                voice.live.now.features = features
            if label is not None and live_input is not None:
                live_input.change_label(number)

        await self._go_back(given, change)

    async def _keys(self, given: dict[str, Any]) -> None:
        _, voice = self._playing()
        notes, (pressed, released), bend = voice.live_input, keys_of(given), bend_of(given)
        if not isinstance(notes, LiveNotes):
            raise MalformedError("keys of a stream that has none")

        def play() -> None:
            time = voice.live.now.time
            if bend is not None:
                notes.bend(time, bend)
            for note in released:
                notes.release(time, note)
            for note, velocity in pressed:
                with suppress(UsageError):
                    notes.press(time, note, velocity)

        await self._go_back(given, play)

    async def _microphone(self, data: bytes) -> None:
        player, voice = self._playing()
        recording, wav = voice.live_input, wav_of(data)
        if not isinstance(recording, LiveRecording):
            raise MalformedError("samples of a microphone that is not followed")
        self._recorded += len(wav)
        most = MOST_EARLY_SECONDS + MOST_PACE * (time.monotonic() - voice.began)
        if len(wav) > player.samples(MOST_AT_ONCE_SECONDS) or self._recorded > player.samples(most):
            raise MalformedError("more samples than a microphone has")
        before = recording.note, recording.skipped
        # Not in the player's thread, where others would wait for it.
        await run_in_threadpool(recording.add, wav, voice.live.now.time)
        player.wake()
        note, skipped = recording.note, recording.skipped
        if (note, skipped) != before:
            self._outgoing.put({"type": "note", "note": note, "skipped": skipped})

    async def _branch(self, given: dict[str, Any]) -> None:
        player, voice = self._playing()
        seed, number = seed_of(given), len(self._branches)
        if voice.live_input is not None:
            raise MalformedError("a branch of what is live, whose past is not kept")
        if number == MOST_BRANCHES:
            raise UsageError("branch", None, f"there are {MOST_BRANCHES} already", "start again")

        def branch() -> None:
            self._branches.append(player.live.moment(voice.live, voice.live.now.time))
            voice.live.now.seed = seed

        comment = _comment(player.model, seed)
        await self._go_back(given, branch, seed=seed, branch=number, comment=comment)

    async def _resume(self, given: dict[str, Any]) -> None:
        player, voice = self._playing()
        seed, number = seed_of(given), required(given, "number", int)
        if not 0 <= number < len(self._branches):
            raise MalformedError("a branch that there is not")
        moment = self._branches[number]

        comment = _comment(player.model, seed)

        def resume() -> None:
            # What the listener has chosen since holds.
            sampling, features = voice.live.now.sampling, voice.live.now.features
            player.live.go_on_from(voice.live, moment)
            now = voice.live.now
            now.seed, now.sampling, now.features = seed, sampling, features
            player.grant(voice, now.time, now.time)
            fields = {"seed": seed, "branch": number, "comment": comment, "again": True}
            self._outgoing.deliver({"type": "from", "sample": self._lead_in + now.time, **fields})

        await _done(player.submit(resume))

    async def _go_back(
        self, given: dict[str, Any], change: Callable[[], None], **fields: Any
    ) -> None:
        """Change a stream where its listener is, and make anew what lies after that."""
        player, voice = self._playing()
        position = sample_of(given, "position") - self._lead_in
        margin = player.samples(LISTENING_MARGIN if voice.live_input is None else PLAYING_MARGIN)

        def go_back() -> None:
            moment = player.live.moment(voice.live, position + margin)
            player.live.go_on_from(voice.live, moment)
            change()
            sample = self._lead_in + voice.live.now.time
            self._outgoing.deliver({"type": "from", "sample": sample, **fields})

        await _done(player.submit(go_back))

    def _playing(self) -> tuple[Player, Voice]:
        if self._player is None or self._voice is None:
            raise MalformedError("something of a stream that has not started")
        return self._player, self._voice

    def _leave(self) -> None:
        """Give the place back, now or as soon as there is one."""
        with self._lock:
            self._has_left = True
        self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            player, voice = self._player, self._voice
            self._player = self._voice = None
        if player is None:
            return
        if voice is not None:
            player.submit(lambda: player.leave(voice))
        self._models.release(player)


def _comment(model: Model, seed: int) -> str:
    """What a file of such a stream says of its origin."""
    made_from = followed(model.config.model)
    return synthetic_tags(model.name, model, seed, made_from=made_from)["comment"]


async def _done(task: "Future[None]") -> None:
    """Wait until a player has done something. Whoever sends much waits with it for each block."""
    await asyncio.wrap_future(task)
