"""What pages ask for and send: no path leads outside, and what is wrong is one line."""

import json
import socket
import time
from urllib.parse import quote

import pytest

from tests.studio.serving_helpers import Served, head, status_of
from wavenet.studio import server as studio_server
from wavenet.studio import studio, uploads

STATIC = studio_server.STATIC

TRICKS = [
    *("../safety.py", "%2e%2e/safety.py", "..%2fsafety.py", "%2e%2e%2fsafety.py", "..\\safety.py"),
    *("..%5csafety.py", "%252e%252e/safety.py", "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd"),
    *("main.js%00", "%00", ".", "..", "", "%ff%fe", "a" * 5000, "a/" * 2000, "~root"),
    *("C:%5cwindows", "%e2%80%ae", "%ef%bc%8e%ef%bc%8e/safety.py", "main.js::$DATA", "CON"),
    *("%0d%0aSet-Cookie:x=1", "main.js%20", "file:///etc/passwd"),
]


@pytest.mark.parametrize("trick", TRICKS)
def test_no_path_leads_outside(server: Served, trick: str) -> None:
    folders = ("static", "api/uploads", "api/runs", f"api/runs/{server.model}/samples", "api")
    for folder in folders:
        status, lines, body = server.ask(f"/{folder}/{trick}", rate="8000")
        assert status in (400, 404, 405), (folder, status)
        assert lines["content-type"] == "application/json"
        assert "set-cookie" not in lines
        assert b"import " not in body
        assert b"root:" not in body
    for path in (f"/{trick}", f"/static/../{trick}"):
        status, _, body = server.ask(path)
        assert status in (400, 404) or trick in ("", ".", "..", "%2e%2e")
        assert b"import hmac" not in body
        assert b"root:" not in body
    for asked in (f"/api/stack?start={trick}", f"/api/stack/paths?lag=1&start={trick}"):
        assert server.ask(asked)[0] == 400
    body = json.dumps({"start": trick, "on": trick})
    assert server.ask("/api/stack/measure", "POST", body)[0] == 400
    body = json.dumps({"folder": trick, "begin": trick, "minutes": 1, "name": trick})
    assert server.ask("/api/trainings", "POST", body)[0] == 400
    assert server.log == []


def test_a_link_in_the_static_folder_is_the_only_way_to_what_is_there(server: Served) -> None:
    """Each of its files is served, by its name, and the folder is not listed."""
    for path in STATIC.rglob("*.*"):
        status, _, body = server.ask(f"/static/{path.relative_to(STATIC).as_posix()}")
        assert (status, body) == (200, path.read_bytes())
    assert server.ask("/static")[0] == 404
    assert server.ask("/static/")[0] == 404


def chunked(path: str, host: str) -> bytes:
    return head("POST", path, f"Host: {host}", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("path", ["/api/trainings", "/api/stack/measure", "/api/runs/x/stop"])
def test_an_endless_body_is_cut(server: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as page:

        def send() -> None:
            page.sendall(chunked(path, server.host))
            for _ in range(100):
                page.sendall(b"ffff\r\n" + 0xFFFF * b" " + b"\r\n")
                time.sleep(0.01)

        with pytest.raises(ConnectionError):
            send()
    assert len(server.log) <= 1
    assert "more than 100,000 bytes" in server.error(path, "POST", 200_000 * b" ")


def test_a_body_that_drips_is_cut(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "JSON_SECONDS", 0.2)
    monkeypatch.setattr(uploads, "PART_SECONDS", 0.2)
    for path in ("/api/trainings", "/api/uploads?name=a.wav"):
        answer = server.raw(chunked(path, server.host) + b"1\r\n{\r\n", 2.0)
        assert status_of(answer) == 408
        assert b"too slowly" in answer
    assert server.uploaded == set()


BODIES = [
    b"[]",
    b"null",
    b"\xff\xfe",
    b"{",
    b"NaN",
    b"[" * 50_000,
    b'{"a":' * 15_000,
    b"1" * 90_000,
    b'{"folder": {"a": [1]}}',
    b'{"minutes": 1e400, "folder": 1, "begin": []}',
    b'{"start": {}, "on": [], "pitch": NaN}',
    b'{"start": "\\ud800", "on": "\\u0000", "pitch": -Infinity}',
    b'{"name": "\\ud800\\u202e\\n", "begin": "tiny", "minutes": true}',
    *(b'{"start": ' + depth * b"[" + depth * b"]" + b"}" for depth in (900, 960, 980, 990, 995)),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_hostile_bodies_are_one_line_each(server: Served, body: bytes) -> None:
    for path in ("/api/trainings", "/api/stack/measure", "/api/runs/x/stop", "/api/runs/x/resume"):
        started = time.monotonic()
        assert len(server.error(path, "POST", body)) < 400
        assert time.monotonic() - started < 2
    assert server.log == []


QUERIES = [
    "layers=" + "9" * 5000,
    "layers=-1",
    "layers=1e400",
    "layers=NaN",
    "layers=true",
    "layers=%00",
    "layers=1&layers=2",
    "dilations=" + "1," * 20_000,
    "dilations=" + "999999999999," * 900,
    "kernel_size=999999999999",
    "residual_channels=999999999999",
    "levels=999999999999",
    "sample_rate=0",
    "pitch=1e400",
    "pitch=-1",
    "pitch=NaN",
    "newest=1",
    "newest=99999999999999",
    "lag=999999999999",
    "lag=-1",
    "x" * 5000 + "=1",
    "&".join(f"a{i}=1" for i in range(5000)),
    "start=" + "%f0%9f%92%a9" * 1000,
    "growth=../../etc/passwd",
    "output=%22%3E%3Cscript%3E",
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_hostile_queries_are_one_line_each(server: Served, query: str) -> None:
    for path in ("/api/stack", "/api/stack/paths"):
        started = time.monotonic()
        assert len(server.error(f"{path}?{query}")) < 500
        assert time.monotonic() - started < 2
    if not query.startswith(("newest", "lag", "pitch", "layers", "start", "growth", "output")):
        assert server.log == []


def test_the_largest_stack_takes_seconds_and_others_are_answered_meanwhile(server: Served) -> None:
    settings = server.ask("/api/stack/options")[2]
    high = {k: s["high"] for k, s in json.loads(settings)["settings"].items() if "high" in s}
    largest = "&".join(f"{name}={quote(str(value))}" for name, value in high.items())
    started = time.monotonic()
    status, _, body = server.ask(f"/api/stack?{largest}")
    assert time.monotonic() - started < 10
    assert status in (200, 400)
    assert len(body) < 5_000_000
