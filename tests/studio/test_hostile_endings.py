"""Pages that vanish, engines and disks that fail, signals: each ends only what it must."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import SMALL, as_checkpoint, fails, network
from tests.studio.serving_helpers import (
    LONGEST_SECONDS,
    Listener,
    Served,
    answers_until_closed,
    nobody_listens,
    player_of,
    raw_websocket,
    send_frame,
    wait_until,
)
from wavenet.errors import EngineError
from wavenet.generation.live import LiveStreams
from wavenet.generation.streams import Generator
from wavenet.studio import models, streaming
from wavenet.studio.models import Models
from wavenet.studio.player import Player
from wavenet.studio.server import create_app
from wavenet.studio.studio import Studio


def vanish(page: socket.socket) -> None:
    """Close a socket without a word: what has not been read is reset."""
    page.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    page.close()


@pytest.mark.parametrize("seconds", [0, 0.001, 0.01, 0.05])
def test_whoever_vanishes_gives_the_place_back(
    server: Served, other: Listener, seconds: float
) -> None:
    for _ in range(5):
        page = raw_websocket(server)
        send_frame(page, {"type": "start", "model": server.model, "seed": 3})
        send_frame(page, {"type": "credit", "until": 10_000, "position": 0})
        time.sleep(seconds)
        vanish(page)
    wait_until(lambda: player_of().listeners == 1 and len(player_of().voices) == 1)
    other.hear(400)
    # A credit may come before there is a stream.
    assert all(line.startswith("a page was cut off: ") for line in server.log)
    assert len(server.log) <= 5


def test_whoever_vanishes_while_a_model_loads_leaves_no_place(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(*_: Any) -> Any:
        loading.set()
        assert go_on.wait(LONGEST_SECONDS)
        return models_load(server.checkpoint)

    models_load = models.load
    monkeypatch.setattr(models, "load", load)
    # As a training does, which makes it another one.
    os.utime(server.checkpoint, (1, time.time()))
    page = raw_websocket(server)
    send_frame(page, {"type": "start", "model": server.model, "seed": 3})
    assert loading.wait(LONGEST_SECONDS)
    vanish(page)
    go_on.set()
    wait_until(lambda: not server.connections)
    wait_until(nobody_listens)
    monkeypatch.setattr(models, "load", models_load)
    listener = server.listener(seed=5)
    # The thread that loaded it may just give its place back.
    wait_until(lambda: player_of().listeners == 1)
    listener.require_undisturbed()
    listener.close()


def test_hundreds_come_and_go(server: Served, other: Listener) -> None:
    for i in range(500):
        page = raw_websocket(server)
        if i % 2:
            send_frame(page, {"type": "start", "model": server.model, "seed": 3})
        (vanish if i % 3 else socket.socket.close)(page)
    wait_until(lambda: server.connections == 1)
    wait_until(lambda: player_of().listeners == 1 and len(player_of().voices) == 1)
    assert server.log == []


def test_a_task_that_fails_ends_its_stream(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = server.listener(seed=3)
    listener.hear(400)

    def fail(*_: Any) -> None:
        raise RuntimeError("no such moment")

    monkeypatch.setattr(LiveStreams, "moment", fail)
    listener.say("change", position=0, temperature=0.5)
    answers_until_closed(listener.socket)
    monkeypatch.undo()
    assert server.log == ["a stream ended: RuntimeError: no such moment"]


@pytest.mark.parametrize(
    "error", [RuntimeError("it broke"), MemoryError(), ValueError("two\nlines")]
)
def test_a_stream_that_cannot_begin_ends_alone(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    for place, name in ((Generator, "stream"), (LiveStreams, "join")):
        with monkeypatch.context() as patch, server.connect() as page:
            patch.setattr(place, name, fail)
            page.send(json.dumps({"type": "start", "model": server.model, "seed": 1}))
            assert answers_until_closed(page) == []
    wait_until(lambda: player_of().listeners == 1)
    assert len(server.log) == 2
    assert all(line.startswith(f"a stream ended: {type(error).__name__}") for line in server.log)
    assert not any("\n" in line for line in server.log)


@pytest.mark.parametrize("error", [RuntimeError("it broke"), MemoryError()])
def test_an_engine_that_fails_ends_those_that_it_advanced(
    server: Served, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    advanced, waiting = server.listener(seed=1), server.listener(seed=2)
    for listener in (waiting, advanced):
        listener.hear(400)

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "advance", fail)
        advanced.say("credit", until=10_000, position=400)
        answers = answers_until_closed(advanced.socket)
    assert len(answers) == 1
    assert json.loads(answers[0])["message"].startswith("the stream has ended: ")
    (line,) = server.log
    assert line.startswith(f"tiny.safetensors cannot go on: {type(error).__name__}")
    # Who waited, and who comes, is played to.
    waiting.require_undisturbed()
    third = server.listener(seed=3)
    third.require_undisturbed()
    third.close()
    waiting.close()
    wait_until(nobody_listens)


def test_a_stream_that_cannot_be_let_go_ends_those_that_were_one_with_it(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For nobody knows what became of their state."""
    played = Models(server.studio)
    player = played.take(server.model)
    received: list[list[Any]] = [[], [], []]
    no_prompt = np.zeros(0, np.int64)

    def begin() -> None:
        streams = [player.generator.stream(seed, 0, {}) for seed in range(3)]
        for stream, hear in zip(streams, received, strict=True):
            player.begin(stream, no_prompt, hear.append)
        # These advance as one.
        for voice in player.voices[:2]:
            voice.credit = player.samples(0.02)

    player.submit(begin).result(LONGEST_SECONDS)
    wait_until(lambda: received[0] and received[1])
    first, _, third = player.voices

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(player.generator.engine, "select", fail)
        player.submit(lambda: player.leave(first)).result(LONGEST_SECONDS)
    assert player.voices == [third]
    assert [type(each[-1]) for each in received[:2]] == [np.ndarray, MemoryError]
    third.credit = 100
    player.submit(lambda: None)
    wait_until(lambda: received[2])
    played.close()
    assert server.log == ["tiny.safetensors cannot go on: MemoryError: "]


def error_at_start(server: Served) -> str:
    with server.connect() as page:
        page.send(json.dumps({"type": "start", "model": server.model, "seed": 1}))
        return str(json.loads(page.recv(LONGEST_SECONDS)).get("message", ""))


def test_checkpoints_that_are_damaged_deleted_or_replaced(server: Served, other: Listener) -> None:
    whole = server.checkpoint.read_bytes()
    other.hear(400)
    try:
        for content in (b"", whole[:100], whole[: len(whole) // 2], b"\xff" * 1000):
            server.checkpoint.write_bytes(content)
            os.utime(server.checkpoint, (1, len(content)))
            assert error_at_start(server).startswith(str(server.checkpoint))
        server.checkpoint.unlink()
        assert error_at_start(server) == "no such model"
        as_checkpoint(network(SMALL, 1)).save(server.checkpoint)
        assert error_at_start(server) == ""
    finally:
        server.checkpoint.write_bytes(whole)
        os.utime(server.checkpoint, (1, time.time() + 5))
    assert server.log == []


def test_a_model_that_takes_all_memory_is_reported(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(models, "load", fail)
    os.utime(server.checkpoint, (1, time.time() + 10))
    assert error_at_start(server).endswith("there is not enough memory to play it")
    monkeypatch.undo()
    assert error_at_start(server) == ""


def test_the_end_waits_for_no_model(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(*_: Any) -> None:
        loading.set()
        assert go_on.wait(LONGEST_SECONDS)
        raise MemoryError

    monkeypatch.setattr(models, "load", load)
    played = Models(Studio(server.root, [server.checkpoint]))
    ending = threading.Thread(target=lambda: [loading.wait(LONGEST_SECONDS), played.close()])
    ending.start()
    with pytest.raises(EngineError, match="the studio is ending"):
        played.take(server.model)
    ending.join()
    go_on.set()


def test_who_listens_does_not_wait_for_others_models(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait for them."""
    go_on = threading.Event()
    take = Models.take

    def slow(self: Models, name: object) -> Player:
        assert name == server.model or go_on.wait(LONGEST_SECONDS)
        return take(self, name)

    monkeypatch.setattr(models.Models, "take", slow)
    monkeypatch.setattr(streaming, "MOST_SESSIONS", 80)
    pages = [server.connect() for _ in range(60)]
    try:
        for page in pages:
            page.send(json.dumps({"type": "start", "model": "demo-flute", "seed": 1}))
        other.hear(400)
        for path in ("/", "/static/main.js", "/api/models", "/api/stack"):
            started = time.monotonic()
            assert server.ask(path)[0] == 200
            assert time.monotonic() - started < 3
    finally:
        for page in pages:
            vanish(page.socket)
        go_on.set()
        wait_until(lambda: server.connections == 1)


def test_a_log_that_cannot_be_written_ends_nothing(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise BrokenPipeError

    app = create_app(Studio(server.root, report=fail))
    middleware: Any = app.user_middleware[0]
    middleware.kwargs["report"]("a line")


def started_studio(root: Path, *arguments: str) -> "tuple[subprocess.Popen[str], int]":
    """`wavenet studio` in a process of its own, and its port."""
    command = [sys.executable, "-m", "wavenet", "studio", "--no-browser", "--port", "0", *arguments]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("the studio is at http://127.0.0.1:"), line
    return process, int(line.strip(" /\n").rpartition(":")[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_studio_while_it_plays(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    as_checkpoint(network(SMALL)).save(tmp_path / "tiny.safetensors")
    process, port = started_studio(tmp_path, "tiny.safetensors")
    try:
        here: Any = None
        served = Served(Studio(tmp_path), here, port, [])
        listener = served.listener(seed=1)
        listener.hear(400)
        silent = raw_websocket(served)
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        started = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=LONGEST_SECONDS)
        assert time.monotonic() - started < 6
        for page in (silent, half, listener.socket):
            page.close()
    finally:
        process.kill()
        process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 0
        assert "the studio has stopped" in out
    else:
        assert process.returncode == -signal.SIGTERM
    assert len(err.splitlines()) <= 1, err
    assert "Traceback" not in err + out
    assert list((tmp_path / "temporary").glob("wavenet-studio-*")) == []


def test_where_it_cannot_listen_is_reported_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    studio: Callable[..., str] = lambda *options: fails("studio", "--no-browser", *options)  # noqa: E731
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = studio("--port", port)
        assert f"--port {port}: is taken, by another studio or program" in line
    for number in (70_000, -1):
        assert f"--port {number}: must be 0 to 65535" in studio("--port", number)
    for host in ("nowhere.invalid", "a" * 300, "..", "[::1", "1.2.3.4.5"):
        assert "is no address of this machine" in studio("--port", 0, "--host", host)
    assert "cannot be listened at" in studio("--port", 0, "--host", "192.0.2.1")
