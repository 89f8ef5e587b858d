"""Events to a service on another machine (`fedsim serve` there), with the guarantees of the database's sink."""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fedsim.core.errors import ScenarioError
from fedsim.metrics.event_json import to_json
from fedsim.metrics.events import Event
from fedsim.metrics.sinks.spooled import Spooled, UnwelcomeError

log = logging.getLogger(__name__)

SPOOL = "spool-service.jsonl"
"""Name of its spool inside a run folder."""

PATH = "/api/events"
TIMEOUT_S = 4.0
"""Less than the recorder waits before a checkpoint: a service that hangs has its events spooled by then."""
BATCH_BYTES, BATCH_EVENTS = 4_000_000, 1_000
"""What is sent at once, unless a single event is larger."""


NEVER = (400, 413, 422)
"""Answers that will not change: this event is none to that service, or too large for it."""


class RefusedError(Exception):
    """The service answered, and did not take the events."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"it answered {status}: {text}")
        self.status = status


class HttpSink(Spooled):
    """Sends events to the service at `url`, and to the spool while it is away or refuses.

    Redirections are not followed and proxies not used: the token goes to this address and nowhere else.
    Raises ScenarioError at once for an address that is none.
    """

    def __init__(self, url: str, spool: str | Path, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._parts = split(url)
        super().__init__(spool, url)
        self._token = token
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._runs = Path(spool).absolute().parent.parent

    def __str__(self) -> str:
        return f"the service {self._parts.scheme}://{self._parts.netloc}"

    def _take(self, events: Sequence[Event]) -> None:
        first = self._connection is None
        self._send(events)
        if first:
            self._deliver_others(self._runs, self._send)

    def _send(self, events: Sequence[Event]) -> None:
        for batch in batches(events):
            try:
                self._post(batch)
            except RefusedError as error:
                if error.status not in NEVER:
                    raise
                self._send_singly(batch)

    def _send_singly(self, batch: Sequence[str]) -> None:
        """Send events one by one; what will never be taken is set aside, so that the others do not wait for it."""
        for text in batch:
            try:
                self._post([text])
            except RefusedError as error:
                if error.status not in NEVER:
                    raise
                aside = self._spool.path.with_suffix(".refused")
                log.warning("%s never takes one of the events (%s); it is kept in %s", self, error, aside)
                with open(aside, "a", encoding="utf-8") as file:
                    file.write(f"{text}\n")

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, batch: Sequence[str]) -> None:
        """Send one batch; the answer means that it is durable. A connection that idled away is opened anew once."""
        body = f"[{','.join(batch)}]".encode()
        headers = {"content-type": "application/json", "user-agent": "fedsim"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        reused = self._connection is not None
        try:
            status, text = self._exchange(body, headers)
        except (http.client.HTTPException, ConnectionError):
            self._let_go()
            if not reused:
                raise
            status, text = self._exchange(body, headers)
        if status == http.client.FORBIDDEN:
            raise UnwelcomeError(f"it answered {status}: {_plain(text)}")
        if status != http.client.OK:
            raise RefusedError(status, text)

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        if self._connection is None:
            self._connection = _connect(self._parts, self._timeout_s)
        self._connection.request("POST", self._parts.path.rstrip("/") + PATH, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(2_000).decode("utf-8", "replace")


def split(url: str) -> SplitResult:
    """Return the parts of a service's address. Raises ScenarioError for anything but http(s)://HOST[:PORT][/PREFIX]."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.username or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ScenarioError(f"metrics.service: {url!r} is no address of a service; write http://HOST:PORT")
    return parts


def secret(token_env: str | None) -> str | None:
    """Return the token that an environment variable holds. Raises ScenarioError when it holds none."""
    if token_env is None:
        return None
    token = os.environ.get(token_env, "").strip()
    if not token:
        raise ScenarioError(f"metrics.token_env: the environment variable {token_env} is not set")
    if not (token.isascii() and token.isprintable()):
        raise ScenarioError(f"metrics.token_env: what {token_env} holds cannot be sent as a token")
    return token


def batches(events: Sequence[Event]) -> Iterator[list[str]]:
    """Yield events as lists of JSON texts, in order, none larger than the service takes unless one event alone is."""
    waiting: list[str] = []
    size = 0
    for event in events:
        text = to_json(event)
        if waiting and (size + len(text) > BATCH_BYTES or len(waiting) == BATCH_EVENTS):
            yield waiting
            waiting, size = [], 0
        waiting.append(text)
        size += len(text) + 1
    if waiting:
        yield waiting


def _plain(text: str) -> str:
    """Return the line that a service says in its answer; the answer itself where it is none of a service's.

    >>> _plain('{"detail": "not yours"}'), _plain("Forbidden")
    ('not yours', 'Forbidden')
    """
    try:
        said = json.loads(text)
    except ValueError:
        return text
    return str(said["detail"]) if isinstance(said, dict) and "detail" in said else text


def _connect(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = str(parts.hostname)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
