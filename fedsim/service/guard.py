"""The door of the service: which hosts, whose token, how much, and what a browser may do with the answer."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedsim.service.tally import Tally, TooManyError
from fedsim.store.senders import NOBODY, named

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "fedsim_session"
OPEN_PATHS = ("/healthz", "/login", "/static/style.css")
"""What is answered without a token; nothing of it tells anything about a run."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Limits:
    """How much one request may bring."""

    body_bytes: int = 32_000_000
    query_bytes: int = 8_000
    login_bytes: int = 4_000
    login_s: float = 10.0


@dataclass(frozen=True)
class Access:
    """Who may come in. Without a token only names of this machine are answered, whatever page a browser has open.

    Attributes
    ----------
    token : the secret, or several with commas between them; None lets everybody on this machine in.
    hosts : names under which the service is called; empty allows any, which needs a token.
    """

    token: str | None = None
    hosts: Sequence[str] = LOOPBACK
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        assert self.token is None or self.token, "an empty token is none"
        assert self.token is not None or self.hosts, "without a token the hosts must be named"

    @property
    def tokens(self) -> list[str]:
        """Every token that opens; the whole text too, so that who is given the same variable may send it as it is."""
        parts = [part.strip() for part in (self.token or "").split(",")]
        return list(dict.fromkeys(part for part in (self.token or "", *parts) if part))

    def knows(self, given: str) -> bool:
        """Return whether this is a token, in a time that does not depend on what is wrong with it."""
        fits = [hmac.compare_digest(_digest(given), _digest(token)) for token in self.tokens]
        return any(fits)

    def sender(self, headers: Headers) -> str | None:
        """Return who asks, by the token that a request brings or the cookie that stands for it; None for a stranger."""
        if self.token is None:
            return NOBODY
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return named(given.strip())
        cookie = _digest(_cookie(headers))
        fitting = [token for token in self.tokens if hmac.compare_digest(cookie, _digest(session(token)))]
        return named(fitting[0]) if fitting else None


def session(token: str) -> str:
    """Return what the cookie of a browser that knows a token holds: of no use to find the token."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"fedsim session", sha256).hexdigest()


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


class _RefusedError(Exception):
    """The body is not read to its end."""


class Guard:
    """ASGI middleware that stands before everything else."""

    def __init__(self, app: ASGIApp, door: Access) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not pass; let the rest through with safe headers and a limited body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False
        refusal: Response | None = None

        async def safely(message: Message) -> None:
            nonlocal begun
            if refusal is not None and not begun:
                return  # whatever the application makes of half a body
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        sender = self._door.sender(headers)
        scope.setdefault("state", {})["sender"] = sender
        refused = self._refused(scope, headers, sender)
        if refused is not None:
            await refused(scope, receive, safely)
            return
        limit = self._door.limits.body_bytes
        if scope["path"] == "/login" and scope["method"] == "POST" and self._door.token is not None:
            try:
                async with asyncio.timeout(self._door.limits.login_s):
                    response = await self._login(receive)
            except TimeoutError:
                response = _plain(408, "the token did not come in time")
            await response(scope, receive, safely)
            return
        counted, tally = 0, Tally()

        async def measured() -> Message:
            nonlocal counted, refusal
            message = await receive()
            body = message.get("body", b"")
            counted += len(body)
            refusal = _too_large(limit) if counted > limit else _unparsable(tally, body)
            if refusal is not None:
                raise _RefusedError
            return message

        with suppress(_RefusedError):
            await self._app(scope, measured, safely)
        if refusal is not None and not begun:
            answer, refusal = refusal, None
            await answer(scope, receive, safely)

    def _refused(self, scope: Scope, headers: Headers, sender: str | None) -> Response | None:
        door = self._door
        if door.hosts and _name(headers.get("host", "")) not in door.hosts:
            return _plain(400, "this host name is not served; see `fedsim serve --host`")
        if len(scope.get("query_string", b"")) > door.limits.query_bytes:
            return _plain(414, f"the query is longer than {door.limits.query_bytes} bytes")
        if scope["path"] not in OPEN_PATHS and sender is None:
            if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
                return HTMLResponse(_LOGIN.format(note=""), 401, {"www-authenticate": "Bearer"})
            refusal = _plain(401, "a token is needed: Authorization: Bearer TOKEN")
            refusal.headers["www-authenticate"] = "Bearer"
            return refusal
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            return _plain(400, "content-length is no number")
        return _too_large(door.limits.body_bytes) if int(length) > door.limits.body_bytes else None

    async def _login(self, receive: Receive) -> Response:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._door.limits.login_bytes:
                return _too_large(self._door.limits.login_bytes)
            if not message.get("more_body"):
                break
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not self._door.knows(given):
            return HTMLResponse(_LOGIN.format(note="<p role=alert>That is not the token.</p>"), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, session(given), httponly=True, samesite="strict", max_age=30 * 24 * 3600)
        return answer


def is_near(host: str) -> bool:
    """Return whether an address is of this machine only.

    >>> [is_near(host) for host in ("127.0.0.2", "::1", "localhost", "127.evil.example", "127.1", "0.0.0.0")]
    [True, True, True, False, False, False]
    """
    try:
        return host in LOOPBACK or ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the name in a Host header, without its port.

    >>> _name("localhost:8080"), _name("[::1]:8080"), _name("LOCALHOST")
    ('localhost', '::1', 'localhost')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _plain(status: int, text: str) -> Response:
    return JSONResponse({"detail": text}, status)


def _unparsable(tally: Tally, piece: bytes) -> Response | None:
    """Return the answer to a body that is too much to parse, as soon as that is seen."""
    try:
        tally.take(piece)
    except TooManyError as error:
        return _plain(413, str(error))
    except ValueError as error:
        return _plain(400, str(error))
    return None


def _too_large(limit: int) -> Response:
    return _plain(413, f"the body is larger than {limit} bytes; send fewer events at once")


_LOGIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fedsim: token</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/style.css">
</head>
<body class="login">
<main>
<h1>fedsim</h1>
<p>This service is open to other machines and asks for its token.</p>
{note}
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Open</button>
</form>
</main>
</body>
</html>
"""
