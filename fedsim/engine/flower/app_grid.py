"""The grid of somebody else's Flower app: what its ServerApp sends goes to the nodes' ClientApp as copies.

Node ids are fixed and replies come in the order of the messages. `push_messages` returns at once and `pull_messages`
never waits; limits of time count from when a message was sent. A node does one thing at a time, in the order in which
it was asked. Nodes are dealt to hosts, so that what an app keeps in its modules repeats too; only what the ServerApp
does not wait for in full, a pushed message or one whose limit draws near, may go to any host that is free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from logging import ERROR
from math import inf

from flwr.app import Context, Message, RecordDict
from flwr.server.superlink.linkstate import utils as flower
from flwr.server.utils.validator import validate_message
from flwr.supercore import log

from fedsim.core import ClusterLostError
from fedsim.engine.flower.app_world import World
from fedsim.engine.nodes.app_folder import App
from fedsim.engine.nodes.app_host import RUN_ID, copy_message
from fedsim.engine.nodes.grid import FIRST_NODE_ID, FixedGrid

HURRY = 0.25
"""The share of its limit that a message waits for its own host."""


@dataclass(frozen=True)
class Asked:
    """A message on its way: for which node, its place among that node's messages, and from when any host may do it."""

    message: Message
    node: int
    place: int
    free_at: float

    @property
    def key(self) -> str:
        """The message's id."""
        return self.message.metadata.message_id


class AppGrid(FixedGrid):
    """What a ServerApp sends and gets, and what hosts take from it and bring back; they are different threads.

    `settled` is called whenever nothing is under way any more, before the last reply is handed over.
    """

    def __init__(
        self,
        app: App,
        num_nodes: int,
        num_hosts: int,
        settled: Callable[[], None] | None = None,
        world: World | None = None,
    ) -> None:
        super().__init__(num_nodes)
        self.world = world
        self.num_hosts = num_hosts
        self._settled = settled
        self._contexts = [
            Context(
                run_id=RUN_ID,
                node_id=FIRST_NODE_ID + node,
                node_config={"partition-id": node, "num-partitions": num_nodes},
                state=RecordDict(),
                run_config=dict(app.config),
            )
            for node in range(num_nodes)
        ]
        self._changed = threading.Condition()
        self._count = 0
        self._places = [0] * num_nodes
        self._waiting: list[Asked] = []
        self._busy: set[int] = set()
        self._sent: dict[str, Message] = {}
        self._replies: dict[str, Message] = {}
        self._failure: BaseException | None = None
        self.closed = False

    # What the ServerApp calls

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes: all of them, or in a world those that are there."""
        with self._changed:
            self._check()
        if self.world is not None:
            self.available = self.world.present(look=True).tolist()
        return super().get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages off and return their ids at once; what Flower drops with a word in its log is dropped."""
        return self._push(messages, time.monotonic())

    def _push(self, messages: Iterable[Message], free_at: float) -> list[str]:
        ids, messages = [], list(messages)
        there = None if self.world is None else set(self.world.present(look=False).tolist())
        if self.world is not None:
            self.world.sent(messages)
        for message in messages:
            with self._changed:
                self._check()
                self._count += 1
                message.metadata.__dict__["_message_id"] = f"{self._count:x}"
                told = message.metadata
                if told.reply_to_message_id or told.ttl <= 0 or told.delivered_at:
                    raise ValueError(f"Invalid message: {message}")
                wrong = validate_message(message, is_reply_message=False)
                node = self.node_of(message)
                if not wrong and not 0 <= node < self.num_nodes:
                    wrong = [f"Invalid destination node ID for Message: {told.dst_node_id}"]
                if wrong:
                    log(ERROR, "; ".join(wrong))
                    continue
                if self.world is not None and there is not None:
                    self.world.asked(message, node)
                    if node not in there:
                        key, away = message.metadata.message_id, "node_unavail"
                        self._sent[key] = message
                        self._replies[key] = flower.create_message_error_unavailable_res_message(message.metadata, away)
                        ids.append(key)
                        continue
                self._places[node] += 1
                asked = Asked(copy_message(message), node, self._places[node], free_at)
                self._sent[asked.key] = asked.message
                self._waiting.append(asked)
                self._changed.notify_all()
            ids.append(asked.key)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there, in the order of the ids; what is lost is an error, as under Flower."""
        with self._changed:
            self._check()
            return list(self._pull(dict.fromkeys(message_ids)).values())

    def _pull(self, keys: Iterable[str]) -> dict[str, Message]:
        found = {}
        now = time.time()
        for key in keys:
            sent, reply = self._sent.get(key), self._replies.get(key)
            if sent is None or flower.message_ttl_has_expired(sent.metadata, now):
                found[key] = flower.create_message_error_unavailable_ins_message(key, RUN_ID)
            elif reply is not None and flower.message_ttl_has_expired(reply.metadata, now):
                found[key] = flower.create_message_error_unavailable_res_message(sent.metadata, "msg_unavail")
            elif reply is not None:
                found[key] = reply
        for key in found:
            self._sent.pop(key, None)
            self._replies.pop(key, None)
        return found

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push, and wait for the replies, not longer than `timeout`; return them in the order of the messages."""
        began = time.monotonic()
        limit = inf if timeout is None else began + timeout
        keys = self._push(messages, inf if timeout is None else began + HURRY * timeout)
        found: dict[str, Message] = {}
        with self._changed:
            while True:
                self._check()
                found.update(self._pull(key for key in keys if key not in found))
                left = min(limit - time.monotonic(), 1.0)
                if len(found) == len(keys) or left <= 0:
                    break
                self._changed.wait(left)
            for key in keys:
                if key not in found:  # the answer will not be asked for: the node still does what it was told
                    self._sent.pop(key)
        return [found[key] for key in keys if key in found]

    # What hosts call

    def take(self, host: int, patience_s: float = 1.0) -> tuple[Asked, Context] | None:
        """Wait for a message that a host may work on, for so long; return it with the node's context."""
        until = time.monotonic() + patience_s
        with self._changed:
            while not self.closed:
                now = time.monotonic()
                asked = self._next(host, now)
                if asked is not None:
                    self._waiting.remove(asked)
                    self._busy.add(asked.node)
                    return asked, self._contexts[asked.node]
                if now >= until:
                    break
                self._changed.wait(min([until, *(a.free_at for a in self._waiting if a.free_at > now)]) - now)
        return None

    def _next(self, host: int, now: float) -> Asked | None:
        """Return the first message that a host may do; of a node's messages only the first."""
        engaged = set(self._busy)
        for asked in list(self._waiting):
            if flower.message_ttl_has_expired(asked.message.metadata, time.time()):
                self._waiting.remove(asked)
                continue
            mine = asked.node % self.num_hosts == host or asked.free_at <= now
            if mine and asked.node not in engaged:
                return asked
            engaged.add(asked.node)
        return None

    def bring(self, asked: Asked, reply: Message, context: Context | None) -> None:
        """Hand over a reply, and the node's context where it is another one now."""
        reply.metadata.__dict__.update(_message_id=f"r{asked.key}", _reply_to_message_id=asked.key)
        with self._changed:
            if context is not None:
                self._contexts[asked.node] = context
            self._busy.discard(asked.node)
            if self.world is not None:
                self.world.brought(asked.node, reply)
            if asked.key in self._sent:
                self._replies[asked.key] = reply
            if self._settled is not None and not self._busy and not self._waiting:
                self._settled()
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let everybody know that a host cannot go on."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    # What the run calls

    def check(self) -> None:
        """Raise when a host has failed."""
        if self._failure is not None:
            raise self._failure

    def _check(self) -> None:
        self.check()
        if self.closed:
            raise ClusterLostError("the run of this app has ended")

    def close(self) -> None:
        """End it: hosts get nothing more, and a ServerApp that goes on is told so."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
