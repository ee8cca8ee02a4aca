"""What is to be sent to a page, in turn; who does not read it is cut off."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import anyio
import numpy as np
from starlette.websockets import WebSocket

from wavenet.errors import printable

# What is sent must leave within so long.
SEND_SECONDS = 20.0
# What waits to be sent of one stream. More does where a page asks for it and does not read.
MOST_QUEUED, MOST_QUEUED_BYTES = 5000, 8_000_000


class Outgoing:
    """The messages that wait for one page."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket, self._loop = websocket, asyncio.get_running_loop()
        # None is the end.
        self._messages: asyncio.Queue[bytes | dict[str, Any] | None] = asyncio.Queue()
        self._bytes, self._is_overfull = 0, asyncio.Event()

    async def send(self) -> None:
        """Send what comes, up to its end. Raises TimeoutError where it does not leave."""
        while (message := await self._messages.get()) is not None:
            self._bytes -= len(message) if isinstance(message, bytes) else 0
            try:
                with anyio.fail_after(SEND_SECONDS):
                    if isinstance(message, bytes):
                        await self._websocket.send_bytes(message)
                    else:
                        await self._websocket.send_text(json.dumps(message))
            except TimeoutError:
                raise TimeoutError("it does not read what it asked for") from None

    async def watch(self) -> None:
        """Raise TimeoutError once too much waits."""
        await self._is_overfull.wait()
        raise TimeoutError("it does not read what it asked for")

    def put(self, *messages: bytes | dict[str, Any] | None) -> None:
        """Have messages sent, from the event loop's thread."""
        for message in messages:
            self._bytes += len(message) if isinstance(message, bytes) else 0
            self._messages.put_nowait(message)
        if self._bytes > MOST_QUEUED_BYTES or self._messages.qsize() > MOST_QUEUED:
            self._is_overfull.set()

    def deliver(self, item: Any) -> None:
        """Have something sent from any thread: a message, samples (time,), or how a stream ended.

        None is its end, and after an error nothing more comes.
        """
        messages: list[Any] = [item]
        if isinstance(item, np.ndarray):
            messages = [item.astype("<f4").tobytes()]
        elif item is None:
            messages = [{"type": "end"}]
        elif isinstance(item, Exception):
            text = f"the stream has ended: {printable(item)}"
            messages = [{"type": "error", "message": text}, None]
        # The studio may be ending.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.put, *messages)
