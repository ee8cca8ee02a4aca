"""A studio that listens on this machine, and those who talk to it: some of them as no page does."""

import http.client
import io
import json
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import wavenet
from tests.helpers import SMALL, as_checkpoint, network, tone
from wavenet.glossary import Array
from wavenet.studio.player import Player
from wavenet.studio.recordings import identity
from wavenet.studio.serving import Server, create_server
from wavenet.studio.studio import Studio

LONGEST_SECONDS = 20.0


def wait_until(holds: Callable[[], object], seconds: float = LONGEST_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split()[1])


def wav_bytes(seconds: float = 0.2, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    sf.write(content, tone(seconds, rate), rate, format="WAV")
    return content.getvalue()


class Served:
    """A studio that is served, with one tiny model. `log` has what it reported."""

    def __init__(self, studio: Studio, server: Server, port: int, log: list[str]) -> None:
        self.studio, self.server, self.port, self.log = studio, server, port, log
        self.root = root = studio.root
        self.host = f"127.0.0.1:{port}"
        self.checkpoint = root / "tiny.safetensors"
        self.model = identity(self.checkpoint)

    @property
    def uploaded(self) -> set[str]:
        """The names of the files of all uploads."""
        return {path.name for path in (self.root / "temporary").glob("*/*")}

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def raw(self, content: bytes, seconds: float = 5.0) -> bytes:
        """All that is answered to some bytes until the connection is closed, or nothing comes."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as connection:
            connection.sendall(content)
            answer = b""
            with suppress(TimeoutError, ConnectionError):
                while part := connection.recv(1 << 16):
                    answer += part
        return answer

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the body of an answer. Headers have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_SECONDS)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            lines = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, lines, answer.read()
        finally:
            connection.close()

    def error(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> str:
        """The one line that a request is refused with."""
        status, lines, answer = self.ask(path, method, body, **headers)
        assert 400 <= status < 500, (status, answer[:200])
        assert lines["content-type"] == "application/json"
        line = json.loads(answer)["error"]
        assert isinstance(line, str)
        assert line
        assert "\n" not in line
        assert "Traceback" not in line
        return line

    def connect(self, **options: Any) -> ClientConnection:
        """A WebSocket for a stream."""
        options = {"proxy": None, "compression": None, "close_timeout": 1, **options}
        return connect(f"ws://{self.host}/api/stream", **options)

    def listener(self, seed: int, **settings: Any) -> "Listener":
        return Listener(self, seed, settings)


class Listener:
    """A page that behaves: it listens to a stream, and asks for as much as it has room for."""

    def __init__(self, served: Served, seed: int, settings: dict[str, Any]) -> None:
        self.served, self.seed = served, seed
        self.socket = served.connect()
        self.wav = np.zeros(0, np.float32)
        self.say("start", model=served.model, seed=seed, **settings)
        self.started = json.loads(self.socket.recv(LONGEST_SECONDS))

    def say(self, kind: str, **message: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **message}))

    def hear(self, samples: int) -> Array:
        """So many samples more."""
        until = len(self.wav) + samples
        self.say("credit", until=until, position=len(self.wav))
        while len(self.wav) < until:
            block = self.socket.recv(LONGEST_SECONDS)
            assert isinstance(block, bytes), block
            self.wav = np.concatenate([self.wav, np.frombuffer(block, "<f4")])
        return self.wav

    def require_undisturbed(self) -> None:
        """Go on, and be played what `wavenet.generate` makes."""
        self.hear(800)
        model = wavenet.load(self.served.checkpoint)
        expected = wavenet.generate(model, len(self.wav) / model.sample_rate, self.seed)
        np.testing.assert_array_equal(self.wav, np.asarray(expected))

    def close(self) -> None:
        self.socket.close()


def raw_websocket(server: Served) -> socket.socket:
    """A WebSocket of which nobody reads anything."""
    page = socket.socket()
    page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page.connect(("127.0.0.1", server.port))
    lines = [
        "GET /api/stream HTTP/1.1",
        f"Host: {server.host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    page.sendall("\r\n".join([*lines, "", ""]).encode())
    assert page.recv(4096).startswith(b"HTTP/1.1 101 ")
    return page


def send_frame(page: socket.socket, message: Any, first: int = 0x81) -> None:
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    head = struct.pack("!BBH", first, 0x80 | 126, len(content))
    # With a mask of zeros.
    page.sendall(head + bytes(4) + content)


def answers_until_closed(page: ClientConnection) -> list[str | bytes]:
    """All that comes, which is nothing more within a while."""
    answers = []
    while True:
        try:
            answers.append(page.recv(LONGEST_SECONDS))
        except ConnectionClosed:
            return answers


def player_of() -> Player:
    """Who plays to those that listen now."""
    (player,) = (player for player in _players() if player.listeners)
    return player


def nobody_listens() -> bool:
    return all(player.listeners == 0 and not player.voices for player in _players())


def _players() -> list[Player]:
    threads: list[Any] = threading.enumerate()
    return [thread._target.__self__ for thread in threads if thread.name == "wavenet-player"]


@contextmanager
def served(root: Path, token: str = "") -> Iterator[Served]:
    """Serve a studio with one tiny model, in a thread."""
    log: list[str] = []
    as_checkpoint(network(SMALL)).save(root / "tiny.safetensors")
    listening = socket.create_server(("127.0.0.1", 0))
    # So that what is not read is soon noticed.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    studio = Studio(root, [root / "tiny.safetensors"], log.append)
    begun = threading.Event()
    (root / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(root / "temporary"))
        server = create_server(studio, token, begun.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert begun.wait(LONGEST_SECONDS)
        yield Served(studio, server, listening.getsockname()[1], log)
    finally:
        server.should_exit = True
        thread.join(LONGEST_SECONDS)
        listening.close()
    assert not thread.is_alive()
    assert list((root / "temporary").iterdir()) == []
