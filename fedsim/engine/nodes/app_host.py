"""Where a Flower app's ClientApp runs: one message at a time, on copies, with seeded generators.

The same class does it in this process and in a Ray actor, so that an app gives the same result in both.
"""

from __future__ import annotations

import copy
import logging
import sys
import traceback
from io import TextIOBase
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from fedsim.clients import numerics
from fedsim.clients.foreign.generators import seed_generators
from fedsim.core import ScenarioError
from fedsim.engine.nodes.app_folder import App, load

RUN_ID, SERVER_ID = 1, 1
"""The number of the run, and the server's node id as Flower has it."""

Heard = list[tuple[str, str]]
"""What was printed: stdout or stderr, and text, in order."""


class AppHost:
    """Runs the ClientApp of an app for any of its nodes."""

    def __init__(self, app: App, seed: int) -> None:
        numerics.pin()
        identify()
        self.seed = seed
        self.folder = app.folder
        self.app: ClientApp = load(app, "clientapp")

    def handle(self, message: Message, context: Context, key: tuple[int, ...]) -> tuple[Message, Context | None]:
        """Return the reply to a message and the node's context after it; without one the node stays as it was.

        What the app raises becomes an error reply and leaves no trace in the context, as under Flower. `key` is what
        the app's random draws depend on.
        """
        mine = Context(**{**vars(context), "state": copied(context.state), "run_config": dict(context.run_config)})
        seed_generators(self.seed, *key)
        try:
            reply: Any = self.app(message, mine)
        except SystemExit as end:
            return self._failed(message, f"the ClientApp called sys.exit({end.code!r})", end), None
        except Exception as error:  # whatever somebody else's code raises
            return self._failed(message, "", error), None
        if not isinstance(reply, Message):
            return self._failed(message, f"the ClientApp returned a {type(reply).__name__}, not a Message"), None
        return copy_message(reply), mine

    def _failed(self, message: Message, text: str, error: BaseException | None = None) -> Message:
        """Return the error reply to a message: what is known, from the app's own first frame on."""
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            own = [k for k, frame in enumerate(frames) if Path(frame.filename).is_relative_to(self.folder)]
            stack = "".join(traceback.StackSummary.from_list(frames[own[0] if own else 0 :]).format())
            last = text or "".join(traceback.format_exception_only(error)).strip()
            text = f"Traceback (most recent call last):\n{stack}{last}"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, text), reply_to=message)


class RemoteAppHost:
    """An `AppHost` in a process of its own: what the app prints and logs there is handed over with the replies."""

    def __init__(self, app: App, seed: int) -> None:
        self._heard: Heard = []
        sys.stdout, sys.stderr = _Ear("stdout", self._heard), _Ear("stderr", self._heard)
        for handler in logging.getLogger("flwr").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stdout)
        self._problem: ScenarioError | None = None
        try:
            self._host = AppHost(app, seed)
        except ScenarioError as problem:
            self._problem = problem

    def ready(self) -> tuple[str | None, Heard]:
        """Return why the app could not be loaded, if so, and what it printed on the way."""
        return None if self._problem is None else str(self._problem), self._take()

    def handle(self, message: Message, context: Context, key: tuple[int, ...]) -> tuple[Message, Context | None, Heard]:
        """Answer a message."""
        return *self._host.handle(message, context, key), self._take()

    def _take(self) -> Heard:
        heard = list(self._heard)
        self._heard.clear()
        return heard


class _Ear(TextIOBase):
    """A stream that remembers what is written to it."""

    encoding = "utf-8"

    def __init__(self, name: str, heard: Heard) -> None:
        self.stream, self.heard = name, heard

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.heard.append((self.stream, text))
        return len(text)


def identify() -> None:
    """Say who this process is: a Message cannot be made outside a Flower task, and this engine is one."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, SERVER_ID


def copied(content: RecordDict) -> RecordDict:
    """Return records that share nothing that can be changed: what one side edits, the other does not see.

    >>> sent = RecordDict({"config": ConfigRecord({"lr": 1.0, "steps": [1, 2]})})
    >>> got = copied(sent)
    >>> got["config"]["lr"] *= 0.5
    >>> got["config"]["steps"].append(3)
    >>> sent["config"]
    {'lr': 1.0, 'steps': [1, 2]}
    """
    records: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {}
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            arrays = {
                key: Array(array.dtype, tuple(array.shape), array.stype, array.data) for key, array in record.items()
            }
            records[name] = ArrayRecord(arrays)
        else:
            values: Any = {key: list(value) if isinstance(value, list) else value for key, value in record.items()}
            records[name] = type(record)(values)
    return RecordDict(records)


def copy_message(message: Message) -> Message:
    """Return a message as the other side gets it: equal, and with nothing in common."""
    metadata = copy.copy(message.metadata)
    delivered = metadata.delivered_at
    if message.has_error():
        made = Message(error=copy.copy(message.error), metadata=metadata)  # type: ignore[call-overload]
    else:
        made = Message(content=copied(message.content), metadata=metadata)  # type: ignore[call-overload]
    made.metadata.delivered_at = delivered
    result: Message = made
    return result
