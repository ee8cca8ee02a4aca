"""The studio as a server that runs until it is interrupted."""

import asyncio
import errno
import logging
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn

from wavenet.errors import UsageError, printable
from wavenet.studio.safety import is_loopback
from wavenet.studio.server import create_app
from wavenet.studio.studio import Studio

# Of a message of a page over its WebSocket, and of connections at once.
MOST_MESSAGE_BYTES, MOST_CONNECTIONS = 1 << 16, 256
# Connections that ask for nothing, or take no answer, are let go after so long. There are so many
# of them at the most, and those that wait longest give way.
WAIT_SECONDS, MOST_WAITING = 20.0, 128
# Open connections are closed so long after Ctrl-C.
LAST_SECONDS = 2
# Of Python's threads, from one to the next: five times as often as usual.
SWITCH_SECONDS = 0.001


class Server(uvicorn.Server):
    """Calls `on_start` when pages can be opened; `report` gets a line for what goes wrong.

    Whoever holds connections and says nothing does not keep others out.
    """

    def __init__(
        self, config: uvicorn.Config, on_start: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._on_start, self._report = on_start, report
        # Those that wait for a request or to be closed: with the last request, and since when.
        self._waiting: dict[Any, tuple[Any, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # What it would log are tracebacks.
        asyncio.get_running_loop().set_exception_handler(
            lambda _, about: self._report(printable(about.get("exception") or about["message"]))
        )
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            # A second Ctrl-C hurries, but what pages have sent is deleted all the same.
            await self.lifespan.shutdown()

    async def on_tick(self, counter: int) -> bool:
        self._let_go()
        return await super().on_tick(counter)

    def _let_go(self) -> None:
        now, before = time.monotonic(), self._waiting
        self._waiting = {}
        for connection in self.server_state.connections:
            # Of HTTP; what became a WebSocket has a limit for each part of what it says.
            request = getattr(connection, "cycle", connection)
            is_idle = request is None or getattr(request, "response_complete", False)
            if is_idle or connection.transport.is_closing():
                last, since = before.get(connection, (request, now))
                self._waiting[connection] = request, since if last is request else now
        longest_first = sorted(self._waiting.items(), key=lambda item: item[1][1])
        too_many = len(longest_first) - MOST_WAITING
        for i, (connection, (_, since)) in enumerate(longest_first):
            if i < too_many or now - since > WAIT_SECONDS:
                connection.transport.abort()


def serve(
    studio: Studio, host: str, port: int, *, opens_browser: bool, say: Callable[[str], None]
) -> None:
    """Serve pages until Ctrl-C. `say` is called with their address.

    Raises UsageError for an address that cannot be listened at.
    """
    # The thread that makes sound wants to go on at once when it is back from compiled code; by
    # default it waits for others for ten times as long as it takes to make a block ready.
    sys.setswitchinterval(SWITCH_SECONDS)
    listening = _listening(host, port)
    place = listening.getsockname()
    # A name of this machine may have an address that is reached from elsewhere, or an address a
    # name that others have as well.
    is_private = is_loopback(host) and is_loopback(place[0])
    token = "" if is_private else secrets.token_urlsafe(16)
    address = _address(host, place[1], token)

    def on_start() -> None:
        say(f"the studio is at {address}\nCtrl-C ends it")
        if opens_browser:
            # Some browsers return when they are closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    try:
        create_server(studio, token, on_start).run([listening])
    except KeyboardInterrupt:
        # It has ended in order before this is raised.
        pass
    finally:
        listening.close()


def create_server(studio: Studio, token: str, on_start: Callable[[], None]) -> Server:
    """What answers pages, of which `token` is asked for unless it is empty."""
    # What it would log are tracebacks; the studio has a line for each of them.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        create_app(studio, token),
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE_BYTES,
        # Audio does not get smaller.
        ws_per_message_deflate=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    return Server(config, on_start, studio.report)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises UsageError."""
    if not 0 <= port <= 65_535:
        raise UsageError("port", port, "must be 0 to 65535")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UsageError("host", host, "is no address of this machine") from None
    listening = socket.socket(family, kind, protocol)
    try:
        # A studio that has just ended does not keep its port from the next one.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(MOST_CONNECTIONS)
    except OSError as e:
        listening.close()
        if e.errno == errno.EADDRINUSE:
            reason = "is taken, by another studio or program"
            raise UsageError("port", port, reason, "choose another") from None
        if e.errno in (errno.EACCES, errno.EPERM):
            raise UsageError("port", port, "may not be used by you", "choose another") from None
        reason = f"cannot be listened at ({e.strerror or e})"
        raise UsageError("host", host, reason) from None
    return listening


def _address(host: str, port: int, token: str) -> str:
    """What to open in a browser."""
    # What listens everywhere is found under the machine's name.
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
