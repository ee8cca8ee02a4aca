"""What a page says over its WebSocket ends its own stream at the most: others' sound goes on."""

import json
import random
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.studio.serving_helpers import (
    LONGEST_SECONDS,
    Listener,
    Served,
    answers_until_closed,
    player_of,
    raw_websocket,
    send_frame,
    wait_until,
)
from wavenet.generation.live import LiveStream, LiveStreams, Moment
from wavenet.studio import outgoing, serving, streaming

MALFORMED: list[Any] = [
    *("", "{", "nul", "[]", "1", '"start"', "NaN", "{}", '{"type": 1}', '{"type": null}'),
    *('{"type": ["start"]}', '{"type": "stop"}', '{"type": "__class__"}', "\x00", "\ud7ff"),
    *("[" * 19_000, '{"a":' * 3000 + "1" + "}" * 3000, " " * 20_001, "{" + " " * 60_000 + "}"),
    *(b"", b"\0\0", b'{"type": "start"}', 60_000 * b"\xff"),
    {"type": "start"},
    {"type": "start", "model": 1},
    {"type": "start", "model": ["MODEL"]},
    {"type": "start", "model": "MODEL", "seed": True},
    {"type": "start", "model": "MODEL", "seed": 1.5},
    {"type": "start", "model": "MODEL", "seed": "1"},
    {"type": "start", "model": "MODEL", "temperature": float("nan")},
    {"type": "start", "model": "MODEL", "temperature": float("inf")},
    {"type": "start", "model": "MODEL", "temperature": "hot"},
    {"type": "start", "model": "MODEL", "temperature": 10**400},
    {"type": "start", "model": "MODEL", "top_k": 1.5},
    {"type": "start", "model": "MODEL", "top_k": True},
    {"type": "start", "model": "MODEL", "seconds": float("-inf")},
    {"type": "start", "model": "MODEL", "live": 1},
    {"type": "start", "model": "MODEL", "label": {}},
    {"type": "start", "model": "MODEL", "prompt": ["x"]},
    {"type": "start", "model": "MODEL", "text": 4},
    {"type": "credit", "until": 100, "position": 0},
    {"type": "change", "position": 0},
    {"type": "keys", "position": 0, "pressed": [], "released": []},
    {"type": "branch", "position": 0, "seed": 1},
    {"type": "resume", "number": 0, "seed": 1},
]
# To a stream that has started.
MALFORMED_LATER: list[Any] = [
    {"type": "start", "model": "MODEL"},
    {"type": "credit"},
    {"type": "credit", "until": -1, "position": 0},
    {"type": "credit", "until": 1.5, "position": 0},
    {"type": "credit", "until": True, "position": 0},
    {"type": "credit", "until": 2**53, "position": 0},
    {"type": "credit", "until": 10**400, "position": 0},
    {"type": "credit", "until": 5, "position": -1},
    {"type": "change", "position": None},
    {"type": "change", "position": 0, "temperature": float("nan")},
    {"type": "keys", "position": 0, "pressed": [[60, 100]]},
    {"type": "keys", "position": 0, "released": [0.5]},
    {"type": "keys", "position": 0, "bend": "up"},
    {"type": "keys", "position": 0, "bend": 131},
    {"type": "branch", "position": "0"},
    {"type": "resume", "number": 0},
    {"type": "resume", "number": -1},
    {"type": "resume", "number": True},
    # Of a microphone that is not followed.
    b"\0\0",
    b"\0",
]
# What is wrong in itself is answered, and the page may go on.
WRONG: list[dict[str, Any]] = [
    {"type": "start", "model": "../../etc/passwd"},
    {"type": "start", "model": "MODEL", "seed": 2**64},
    {"type": "start", "model": "MODEL", "seed": 10**400},
    {"type": "start", "model": "MODEL", "temperature": -1},
    {"type": "start", "model": "MODEL", "temperature": 1e300},
    {"type": "start", "model": "MODEL", "top_k": 10**400},
    {"type": "start", "model": "MODEL", "top_p": 0},
    {"type": "start", "model": "MODEL", "seconds": -1},
    {"type": "start", "model": "MODEL", "prompt": "../x"},
    {"type": "start", "model": "MODEL", "upload": "\x00" * 1000},
    {"type": "start", "model": "MODEL", "text": "C4 " * 5000},
    {"type": "start", "model": "MODEL", "live": "keys"},
    {"type": "start", "model": "demo-flute", "text": "C4:86000"},
    {"type": "start", "model": "demo-flute", "text": "C4:1e300"},
    {"type": "start", "model": "demo-flute", "text": ":" * 10_000},
    {"type": "start", "model": "demo-flute", "text": "C5", "transpose": 1e300},
]


def as_text(message: Any, server: Served) -> str | bytes:
    if isinstance(message, dict):
        message = json.dumps(message)
    return message if isinstance(message, bytes) else message.replace("MODEL", server.model)


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_what_no_page_says_cuts_it_off_with_a_line(
    server: Served, other: Listener, number: int
) -> None:
    with server.connect(max_size=None) as page:
        page.send(as_text(MALFORMED[number], server))
        assert answers_until_closed(page) == []
    wait_until(lambda: server.log)
    (line,) = server.log
    assert line.startswith("a page was cut off: ")
    assert len(line) < 120


@pytest.mark.parametrize("number", range(len(MALFORMED_LATER)))
def test_a_stream_whose_page_says_such_a_thing_ends(
    server: Served, other: Listener, number: int
) -> None:
    listener = server.listener(seed=3)
    listener.hear(100)
    listener.socket.send(as_text(MALFORMED_LATER[number], server))
    answers_until_closed(listener.socket)
    wait_until(lambda: server.log)
    (line,) = server.log
    assert line.startswith("a page was cut off: ")


@pytest.mark.parametrize(
    ("samples", "line"),
    [
        (bytes(3), "samples that are not of 16 bits"),
        (bytes(40_000), "more samples than a microphone has"),
        (bytes(4000), "more samples than a microphone has"),
    ],
)
def test_a_microphone_that_is_none_is_cut_off(
    server: Served, other: Listener, samples: bytes, line: str
) -> None:
    with server.connect() as page:
        page.send(json.dumps({"type": "start", "model": "demo-flute", "live": "microphone"}))
        assert json.loads(page.recv(LONGEST_SECONDS))["type"] == "started"
        with suppress(ConnectionClosed):
            for _ in range(200):
                page.send(samples)
        answers_until_closed(page)
    wait_until(lambda: server.log)
    assert server.log == [f"a page was cut off: {line}"]
    other.require_undisturbed()


def test_what_is_wrong_in_itself_is_answered_in_a_line(server: Served, other: Listener) -> None:
    with server.connect() as page:
        for message in WRONG:
            started = time.monotonic()
            page.send(as_text(message, server))
            answer = json.loads(page.recv(LONGEST_SECONDS))
            assert answer["type"] == "error", message
            assert len(answer["message"]) <= 300
            assert "\n" not in answer["message"]
            assert time.monotonic() - started < 10
    assert server.log == []


def rubbish(generator: random.Random, depth: int = 0) -> Any:
    """Some JSON, or what Python takes for JSON."""
    numbers = [0, 1, -1, 2**31, 2**53, 2**63, 10**300, 0.5, -0.0, 1e308, 5e-324]
    texts = ["", "a", "\x00", "\u202e", "MODEL", "..", "C4", "a" * 3000, "\ud800"]
    others = [None, True, False, float("nan"), float("inf"), [], {}]
    kind = generator.randrange(5 if depth < 4 else 3)
    if kind < 3:
        return generator.choice((numbers, texts, others)[kind])
    parts = [rubbish(generator, depth + 1) for _ in range(generator.randrange(4))]
    return parts if kind == 3 else dict(zip("abcd", parts, strict=False))


NAMES = {
    "start": ("model", "seed", "temperature", "top_k", "top_p", "label", "prompt", "upload"),
    "credit": ("until", "position"),
    "change": ("position", "temperature", "top_k", "top_p", "label"),
    "keys": ("position", "pressed", "released", "bend"),
    "branch": ("position", "seed"),
    "resume": ("number", "seed"),
}
SENSIBLE = {"model": "MODEL", "seed": 3, "position": 100, "until": 2000, "number": 0, "top_k": 4}


def fuzzed(generator: random.Random) -> str | bytes:
    """A message of which something is wrong, or nothing."""
    kind = generator.choice([*NAMES, rubbish(generator)])
    message: dict[str, Any] = {"type": kind}
    for name in NAMES.get(kind, ("position",)) if isinstance(kind, str) else ():
        if name in SENSIBLE and generator.random() < 0.7:
            message[name] = SENSIBLE[name]
        elif generator.random() < 0.6:
            message[name] = rubbish(generator)
    text = json.dumps(message)
    if generator.random() < 0.1:
        text = text[: generator.randrange(len(text))]
    return text.encode() if generator.random() < 0.05 else text


def say_rubbish(server: Served, messages: int, seed: int) -> int:
    """Send so many messages over as many connections as that takes, and return how many."""
    generator, connections = random.Random(seed), 0
    while messages > 0:
        connections += 1
        with server.connect() as page, suppress(ConnectionClosed):
            if generator.random() < 0.5:
                page.send(json.dumps({"type": "start", "model": server.model, "seed": 1}))
            for _ in range(generator.randrange(1, 9)):
                page.send(as_text(fuzzed(generator), server))
                messages -= 1
            page.send("the end")
            answers_until_closed(page)
    return connections


@pytest.mark.parametrize(
    "messages",
    [
        300,
        pytest.param(2000, marks=pytest.mark.slow),
        pytest.param(10_000, marks=pytest.mark.long),
    ],
)
def test_thousands_of_malformed_messages_disturb_nobody(
    server: Served, other: Listener, messages: int
) -> None:
    done = threading.Event()
    lengths: list[int] = []

    def listen() -> None:
        while not done.is_set():
            other.hear(200)
            lengths.append(len(other.wav))

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        connections = say_rubbish(server, messages, seed=messages)
    finally:
        done.set()
        listening.join()
    assert connections >= messages / 8
    assert len(lengths) > 10
    assert len(server.log) <= connections
    assert all(line.startswith("a page was cut off: ") for line in server.log), set(server.log)


def test_changes_in_a_flood_leave_others_their_sound(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page has one task in a block, however many it sends."""
    moment = LiveStreams.moment

    def slow(self: LiveStreams, live: LiveStream, sample: int) -> Moment:
        time.sleep(0.005)
        return moment(self, live, sample)

    monkeypatch.setattr(LiveStreams, "moment", slow)
    page = raw_websocket(server)
    send_frame(page, {"type": "start", "model": server.model, "seed": 3})
    wait_until(lambda: len(player_of().voices) == 2)
    # So that it does not say something before it is told that it may.
    page.recv(4096)
    for _ in range(1500):
        send_frame(page, {"type": "change", "position": 0, "temperature": 0.5})
    started = time.monotonic()
    other.hear(2000)
    assert time.monotonic() - started < 2
    assert len(player_of()._tasks) < 5
    page.close()
    assert server.log == []


@pytest.mark.parametrize("limit", [("SEND_SECONDS", 0.5), ("MOST_QUEUED_BYTES", 300_000)])
def test_a_page_that_asks_and_never_reads_is_cut_off(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, float]
) -> None:
    """Though it says that it has heard what it never read."""
    monkeypatch.setattr(outgoing, *limit)
    monkeypatch.setattr(serving, "WAIT_SECONDS", 0.3)
    page, until = raw_websocket(server), 0
    send_frame(page, {"type": "start", "model": server.model, "seed": 3})
    deadline = time.monotonic() + LONGEST_SECONDS
    while not server.log and time.monotonic() < deadline:
        until += 40_000
        send_frame(page, {"type": "credit", "until": until, "position": until})
        other.hear(80)
    assert server.log == ["a page was cut off: it does not read what it asked for"]
    # Its place is given back, and nothing waits for it to read the rest.
    wait_until(lambda: server.connections == 1)
    player = player_of()
    assert (player.listeners, len(player.voices)) == (1, 1)
    page.close()


def test_credit_that_is_taken_back_ends_nobody(server: Served, other: Listener) -> None:
    page = server.listener(seed=3)
    for i in range(2000):
        page.say("credit", until=4000 if i % 2 else 0, position=0)
        if i % 100 == 0:
            other.hear(800)
    page.close()
    assert server.log == []


def test_frames_without_end_are_cut_off(server: Served, other: Listener) -> None:
    page = raw_websocket(server)

    def send() -> None:
        send_frame(page, 60_000 * b" ", first=0x01)
        for _ in range(1000):
            send_frame(page, 60_000 * b" ", first=0x00)

    with pytest.raises(ConnectionError):
        send()
    page.close()
    assert server.log == ["a page was cut off: too long a message"]


def test_connections_have_a_limit(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_SESSIONS", 5)
    pages = [server.connect() for _ in range(4)]
    with pytest.raises(InvalidStatus):
        server.connect()
    assert server.log == ["a page was turned away: 5 are connected already"]
    pages.pop().close()
    wait_until(lambda: server.connections == 4)
    pages.append(server.connect())
    for page in pages:
        page.close()


def test_a_page_that_never_says_what_it_wants_is_cut_off(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "START_SECONDS", 0.2)
    with server.connect() as page:
        assert answers_until_closed(page) == []
    assert server.log == ["a page was cut off: it has said nothing for too long"]
