"""Whoever is no page of the studio is refused in one line, and its pages are answered."""

import base64
import hmac
import json
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.studio.serving_helpers import Served, head, status_of, wait_until, wav_bytes
from wavenet.studio import safety, serving
from wavenet.studio.safety import HEADERS

STATIC = Path(safety.__file__).parent / "static"
# Besides the port, which is added.
FOREIGN_HOSTS = [
    *("evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "[::1].x", "[::1]evil.com"),
    *("user@127.0.0.1", "127.0.0.1@evil.com", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::]"),
    *("localhost.", "localhost,evil.com", "10.0.0.1", "[::ffff:10.0.0.1]", "", "\xe9", "[::1"),
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_whoever_names_another_host_is_refused(server: Served, host: str) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode()
    for given in (host, f"{host}:{server.port}"):
        for request in (
            head("GET", "/", f"Host: {given}"),
            head("POST", "/api/trainings", f"Host: {given}", "Content-Length: 2") + b"{}",
            head("GET", "/api/stream", f"Host: {given}", *upgrade, key),
        ):
            assert status_of(server.raw(request)) in (400, 403, 421)
    # A line for each that is a request at all.
    assert len(server.log) <= 6
    assert all(line.startswith("refused ") and "\n" not in line for line in server.log)


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "127.0.0.1", "[::1]", "127.0.0.2"])
def test_names_of_this_machine_are_answered(server: Served, name: str) -> None:
    for host in (name, f"{name}:1234"):
        answer = server.raw(head("GET", "/", f"Host: {host}", "Connection: close"))
        assert status_of(answer) == 200
    assert server.log == []


def test_a_request_without_a_host_or_with_two_is_refused(server: Served) -> None:
    local = f"Host: {server.host}"
    assert status_of(server.raw(head("GET", "/"))) == 400
    assert status_of(server.raw(head("GET", "/", local, "Host: evil.com"))) == 400
    assert status_of(server.raw(b"GET / HTTP/1.0\r\n\r\n")) == 421


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.com", "null", "", "http://127.0.0.1", "http://127.0.0.1:1", "http://["),
        *("ftp://HOST", "http://HOST.evil.com", "http://HOST@evil.com", "http://x@HOST", "HOST"),
        *("http://localhost:PORT", "file://", "http://HOST/", "http://HOST http://HOST", "\xe9"),
    ],
)
def test_other_origins_are_refused(server: Served, origin: str) -> None:
    origin = origin.replace("HOST", server.host).replace("PORT", str(server.port))
    for method, path in (("GET", "/api/models"), ("POST", "/api/uploads"), ("POST", "/api/x")):
        assert "comes from a page" in server.error(path, method, Origin=origin)
    with pytest.raises(InvalidStatus) as refusal:
        server.connect(additional_headers={"Origin": origin})
    assert refusal.value.response.status_code == 403
    assert len(server.log) == 4


def test_pages_of_the_studio_itself_are_answered(server: Served) -> None:
    for origin in (f"http://{server.host}", f"https://{server.host}"):
        assert server.ask("/api/models", Origin=origin)[0] == 200
        server.connect(origin=origin).close()
    # A program, not a page.
    assert server.ask("/api/models")[0] == 200
    assert server.log == []


def test_other_pages_may_link_to_the_studio_and_nothing_more(server: Served) -> None:
    for site in ("cross-site", "same-site"):
        assert server.ask("/", Sec_Fetch_Site=site)[0] == 200
        assert "another page" in server.error("/api/stack?layers=40", Sec_Fetch_Site=site)
        assert "another page" in server.error("/static/main.js", Sec_Fetch_Site=site)
    for site in ("same-origin", "none"):
        assert server.ask("/static/main.js", Sec_Fetch_Site=site)[0] == 200


def test_a_refusal_costs_its_connection(server: Served) -> None:
    """So a thousand lines in the log take a thousand connections."""
    foreign = head("GET", "/", "Host: evil.com")
    assert server.raw(50 * foreign).count(b"HTTP/1.1 ") == 1
    assert len(server.log) == 1


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "DELETE", "PUT", "PATCH", "FOO", "POST"])
def test_odd_methods_are_refused(server: Served, method: str) -> None:
    for path in ("/", "/static/main.js", "/api/models"):
        assert server.ask(path, method)[0] == 405
    assert server.log == []


def test_what_is_asked_for_its_head_has_no_body(server: Served) -> None:
    for path in ("/", "/static/main.js", "/api/models"):
        status, lines, body = server.ask(path, "HEAD")
        assert (status, body) == (200, b"")
        assert int(lines["content-length"]) > 100


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\0\1\2\3" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + 900_000 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + 900_000 * b"a" + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Content-Length: 7\r\n\r\n",
        b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    ],
)
def test_what_is_no_request_is_no_more_than_a_line(server: Served, request_bytes: bytes) -> None:
    answer = server.raw(request_bytes)
    assert not answer or status_of(answer) in (400, 404, 421)
    assert len(server.log) <= 1
    assert server.ask("/")[0] == 200


def test_without_the_token_nothing_is_answered(guarded: Served, token: str) -> None:
    for path in ("/", "/static/main.js", "/api/models", f"/?token={token[:-1]}", "/?token="):
        status, lines, body = guarded.ask(path)
        assert status == 401
        assert "set-cookie" not in lines
        assert token.encode() not in body
    for cookie in ("", f"wavenet-studio={token}x", f"other={token}", "wavenet-studio=", "=;;=\xe9"):
        assert guarded.ask("/api/models", Cookie=cookie)[0] == 401
        with pytest.raises(InvalidStatus):
            guarded.connect(additional_headers={"Cookie": cookie})
    assert not any(token in line for line in guarded.log)


def test_the_token_goes_from_the_address_into_a_cookie(guarded: Served, token: str) -> None:
    status, lines, body = guarded.ask(f"/?token={token}")
    # The address that a browser shows and remembers has no token.
    assert (status, lines["location"], body) == (303, "/", b"")
    pair, *attributes = lines["set-cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    # Whatever another server on the machine has put there.
    for cookie in (pair, f'x="{{a}}"; {pair}', f"a=b=c; ;=; {pair}; z"):
        assert guarded.ask("/", Cookie=cookie)[0] == 200
        guarded.connect(additional_headers={"Cookie": cookie}).close()
    # Any name will do, since whoever knows the token was told the address.
    assert guarded.ask("/", Cookie=pair, Host="studio.example")[0] == 200
    assert guarded.ask("/api/models", Cookie=pair, Origin="http://evil.com")[0] == 403
    assert guarded.ask(f"/?token={token}", Origin="http://evil.com")[0] == 403


def test_tokens_are_compared_in_constant_time(
    guarded: Served, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []

    def compare(*pair: Any) -> bool:
        compared.append(pair)
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert guarded.ask(f"/?token={token}", Cookie=f"wavenet-studio={token}")[0] == 401
    assert compared == 2 * [(token.encode(), token.encode())]


ANSWERS = {
    "/": 200,
    "/static/main.js": 200,
    "/static/nothing": 404,
    "/api/models": 200,
    "/api/nothing": 404,
    "/api/stack?layers=x": 400,
    "/api/uploads": 405,
    "/nothing": 404,
}


def require_policy(lines: dict[str, str]) -> None:
    assert {name: lines.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in lines["content-security-policy"]


@pytest.mark.parametrize(("path", "status"), ANSWERS.items())
def test_every_answer_has_the_policy(server: Served, path: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        found, lines, _ = server.ask(path, method)
        assert found == status
        require_policy(lines)


def test_refusals_redirects_and_failures_have_the_policy(
    guarded: Served, token: str, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_policy(guarded.ask("/")[1])
    require_policy(guarded.ask(f"/?token={token}")[1])
    require_policy(server.ask("/", Host="evil.com")[1])

    def fail(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(json, "dumps", json.dumps)
    monkeypatch.setattr("wavenet.studio.models.Models.list", fail)
    server.log.clear()
    status, lines, body = server.ask("/api/models")
    assert status == 500
    require_policy(lines)
    assert json.loads(body) == {"error": "something went wrong; the terminal says what"}
    assert server.log == [r"'/api/models': RuntimeError: two\nlines"]


def test_the_page_has_nothing_inline() -> None:
    for path in STATIC.rglob("*"):
        text = path.read_text() if path.suffix in (".html", ".js", ".svg") else ""
        for scripts in re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL):
            assert "src=" in scripts[0], path
            assert not scripts[1].strip(), path
        assert not re.search(r"<style\b", text), path
        assert not re.search(r"<[^>]*\s(on[a-z]+|style)\s*=", text), path
        assert "javascript:" not in text, path
        is_code = path.suffix == ".js"
        for word in ("eval(", "new Function", "innerHTML", "outerHTML", "insertAdjacentHTML"):
            assert not (is_code and word in text), (path, word)
        for word in ("document.write", 'setAttribute("style"', "https://", "importScripts"):
            assert not (is_code and word in text), (path, word)


def test_half_a_request_keeps_nobody_out(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_WAITING", 20)
    halves = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(120)]
    try:
        for half in halves:
            # On a busy machine the first are let go while the last come.
            with suppress(ConnectionError):
                half.sendall(b"GET / HTTP/1.1\r\nHost: local")
        # Those that wait longest are let go, down to a bound.
        wait_until(lambda: sum(map(is_closed, halves)) >= 100)
        started = time.monotonic()
        assert server.ask("/")[0] == 200
        assert time.monotonic() - started < 2
        monkeypatch.setattr(serving, "WAIT_SECONDS", 0.1)
        wait_until(lambda: all(map(is_closed, halves)))
    finally:
        for half in halves:
            half.close()


def test_a_request_that_drips_is_cut(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WAIT_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", server.port)) as drip:

        def send() -> None:
            for _ in range(100):
                drip.sendall(b"x")
                time.sleep(0.05)

        started = time.monotonic()
        with pytest.raises(ConnectionError):
            send()
        assert time.monotonic() - started < 3


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1000)
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_an_answer_that_nobody_reads_is_not_kept(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(serving, "WAIT_SECONDS", 0.3)
    sent = json.loads(server.ask("/api/uploads?name=a.wav", "POST", wav_bytes(120))[2])
    with socket.create_connection(("127.0.0.1", server.port)) as page:
        page.sendall(head("GET", f"/api/uploads/{sent['id']}?rate=192000", f"Host: {server.host}"))
        wait_until(lambda: server.log)
        assert "does not read" in server.log[0]
        assert server.ask("/")[0] == 200
        wait_until(lambda: not server.connections)
    assert len(server.log) == 1
