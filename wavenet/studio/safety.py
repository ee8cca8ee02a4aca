"""Who may talk to the studio, and what its pages may do.

A page from elsewhere that a browser shows must not reach the studio, though it runs on the same
machine: so the name that a request is addressed to (Host) is checked, and so is the page that it
comes from (Origin). Where the studio listens beyond this machine a token is asked for as well,
which a browser keeps in a cookie. What the studio's own pages may load is in their policy: nothing
but what the studio itself serves.
"""

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from wavenet.errors import printable

COOKIE = "wavenet-studio"
# A Host header: a name or an address, and a port. What is kept of it has no brackets.
_HOST = re.compile(r"(?:\[([0-9a-f:]+)\]|([0-9a-z.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
# Part of an answer must have left after so long, or it is not waited for any more.
SEND_SECONDS = 30.0
HEADERS = {
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "media-src 'self' blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # Everything may change with the next version of the program, and it comes from this machine.
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Safety:
    """Refuses what does not come from the studio's own pages, and sets their policy.

    `token` is asked for unless it is empty. Then any name will do for Host, since whoever knows the
    token was told the address; without it the studio is on this machine alone. `report` gets a line
    for each refusal.
    """

    def __init__(self, app: ASGIApp, token: str, report: Callable[[str], None]) -> None:
        self.app, self.token, self.report = app, token, report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        began = False

        async def send_with_policy(message: Message) -> None:
            nonlocal began
            began = True
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    added.setdefault(name, value)
            if scope["type"] != "http":
                await send(message)
                return
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except TimeoutError:
                raise TimeoutError("the page does not read what it asked for") from None

        try:
            await self._answer(scope, receive, send_with_policy)
        except (ClientDisconnect, WebSocketDisconnect):
            self.report(f"{scope['path']!r:.80}: the page left while it sent something")
        except Exception as e:
            # Nothing that a page asks for ends the studio, or fills its log.
            line = f"{type(e).__name__}: {printable(e)}"
            self.report(f"{scope['path']!r:.80}: {line:.300}")
            if scope["type"] == "http" and not began:
                reason = "something went wrong; the terminal says what"
                await _refuse(scope, send_with_policy, 500, reason)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope, headers):
            status, reason = refusal
            self.report(f"refused {scope['path']!r:.80}: {reason}")
            await _refuse(scope, send, status, reason)
        elif self.token and scope["path"] == "/" and self._token_in_address(scope):
            # The address that is seen, kept and passed on is then one without the token.
            await _answer(send, 303, location="/", set_cookie=self._cookie())
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """The HTTP status and the reason why a request is refused; None if it is not."""
        host = headers.get("host", "")
        if not self.token and not is_loopback(_name(host)):
            return 421, f"it is addressed to {host!r:.80}, not to this machine"
        # Browsers send it with every WebSocket and with whatever changes anything.
        origin = headers.get("origin")
        # The tunnel that brings a page here may have added TLS.
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, f"it comes from a page of {origin!r:.80}"
        # To browsers, what another server on this machine shows is of the same site. A page may
        # have a link to the studio, but not have it compute anything.
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and scope["path"] != "/":
            return 403, "it comes from another page"
        if self.token and not (self._token_in_address(scope) or self._token_in_cookie(headers)):
            return 401, "it lacks the token: open the address that `wavenet studio` printed"
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def _token_in_address(self, scope: Scope) -> bool:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return self._is_token(query.get("token", [""])[-1])

    def _token_in_cookie(self, headers: Headers) -> bool:
        # Whatever else there is, of other servers on the machine, does not hide it.
        return self._is_token(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))

    def _cookie(self) -> str:
        return f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"


def _name(host: str) -> str:
    """The name in a Host header, without the port; "" for what is no such header."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted: the server answers with 403.
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
    else:
        body = json.dumps({"error": reason}).encode()
        # Whoever goes on has to connect again, so that it costs a connection for each line.
        await _answer(send, status, body, content_type="application/json", connection="close")


async def _answer(send: Send, status: int, body: bytes = b"", **headers: str) -> None:
    """Send a whole answer; of its headers, _ stands for the - in their names."""
    lines = {**headers, "content-length": str(len(body))}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
