"""Nodes behind a grid of Flower's own: its simulation, or SuperNodes connected to a SuperLink.

Flower numbers nodes at random. Each is asked once which part of the clients it holds (its `partition-id`); from then on
it is known by that, and the round is as on every other grid: messages by node, replies in the order of the nodes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fedsim.core.config.inputs import Input, changes
from fedsim.core.errors import ClusterLostError, InputsChangedError
from fedsim.engine.flower.client_app import NODE, TIMING, WHERE
from fedsim.engine.nodes.grid import HostLostError, NodeGrid, Notice
from fedsim.strategies.flower import codec

PAUSE_S, LOOK_S, PATIENCE_S = 0.02, 1.0, 10.0
"""Seconds between two questions for replies, between two looks at who is connected, and between two words about it."""
MEETING_S = 120.0
"""How long to wait for all nodes to be connected."""
LOST = (ErrorCode.NODE_UNAVAILABLE, ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE)


@dataclass
class _Asked:
    key: str
    node: int
    content: RecordDict
    kind: str
    attempts: int = 1


class FlowerGrid(NodeGrid):
    """Fixed nodes over another Flower grid.

    Parameters
    ----------
    link : Flower's grid.
    stateful : nodes hold client memories, so that a lost node cannot simply be asked again.
    check : raises when what runs the nodes has ended.
    inputs : the files that the server has read; nodes that read their own must have read the same.
    """

    attempts = 3

    def __init__(
        self,
        link: Grid,
        num_nodes: int,
        *,
        stateful: bool,
        check: Callable[[], None] = lambda: None,
        notice: Notice | None = None,
        training: str = "",
        inputs: Sequence[Input] = (),
    ) -> None:
        identity = TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id
        super().__init__(num_nodes, notice)
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = identity  # Flower's own, for its own grid
        self.link = link
        self.stateful = stateful
        self.training = training
        self.check = check
        self.inputs = inputs
        self._asked: dict[str, _Asked] = {}
        self._waiting: deque[_Asked] = deque()
        self._parts = num_nodes
        self._ids: dict[int, int] = {}
        self._met: set[int] = set()
        self._meet()

    def _part(self, node: int) -> int:
        """Return which SuperNode holds a node: where there are fewer of them, each holds several."""
        return node % self._parts

    def _meet(self) -> None:
        """Wait until every SuperNode that is needed is connected; ask new ones which part of the nodes is theirs."""
        began = said = time.monotonic()
        questions: dict[str, int] = {}
        while len(self._ids) < self._parts:
            self.check()
            new = [n for n in sorted(self.link.get_node_ids()) if n not in self._met]
            self._met.update(new)
            for flower_id in new:
                question = Message(codec.pack(WHERE, {}), dst_node_id=flower_id, message_type=MessageType.QUERY)
                for message_id in self.link.push_messages([question]):
                    questions[message_id] = flower_id
            for reply in self.link.pull_messages(list(questions)) if questions else ():
                flower_id = questions.pop(reply.metadata.reply_to_message_id)
                if not reply.has_error():
                    told = codec.unpack(reply.content)[1]
                    self._welcome(flower_id, int(told["part"]), int(told["parts"]))
                    self._same_files(int(told["part"]), told.get("files", ()))
                elif reply.error.code not in LOST:
                    raise ClusterLostError(f"a SuperNode could not be asked: {reply.error.reason}")
            now = time.monotonic()
            missing = ", ".join(str(part) for part in range(self._parts) if part not in self._ids)
            if missing and now - began > MEETING_S:
                raise ClusterLostError(f"no SuperNode with partition-id {missing} connected within {MEETING_S:.0f} s")
            if missing and now - said > PATIENCE_S:
                said = now
                text = f"waiting for SuperNodes with partition-id {missing} for {now - began:.0f} s"
                self.notice(text, kind="waiting")
            if missing:
                time.sleep(PAUSE_S)

    def _welcome(self, flower_id: int, part: int, parts: int) -> None:
        if part < 0:
            raise ClusterLostError(
                "a SuperNode does not say which clients it holds; start it with "
                f"--node-config 'partition-id=K num-partitions={self.num_nodes}'"
            )
        self._parts = min(parts or self.num_nodes, self.num_nodes)
        if part < self._parts:
            self._ids.setdefault(part, flower_id)

    def _same_files(self, part: int, files: Sequence[Sequence[Any]]) -> None:
        """Refuse a SuperNode that has read other data than the server."""
        read = [Input(tuple(key), role, path, sha256) for key, role, path, sha256 in files]
        lines = changes(self.inputs, read) if read else []
        if lines:
            where = f"SuperNode with partition-id {part}"
            raise InputsChangedError("\n".join(f"{where}: {line} there, and the server's counts" for line in lines))

    def submit(self, batch: dict[str, Message]) -> None:
        """Send messages on, in Flower's own envelopes."""
        for key, message in batch.items():
            kind = message.metadata.message_type
            self._waiting.append(_Asked(key, self.node_of(message), message.content, kind))
        self._send()

    def _send(self) -> None:
        """Send what waits, one message at a time to each SuperNode.

        Flower would work on two at once, and keep the memories of only one.
        """
        busy = {self._part(asked.node) for asked in self._asked.values()}
        waiting, self._waiting = self._waiting, deque()
        envelopes, sent = [], []
        for asked in waiting:
            part = self._part(asked.node)
            if part in busy:
                self._waiting.append(asked)
                continue
            busy.add(part)
            asked.content[NODE] = ConfigRecord({"index": asked.node})
            envelopes.append(Message(asked.content, dst_node_id=self._ids[part], message_type=asked.kind))
            sent.append(asked)
        if envelopes:
            self._asked.update(zip(self.link.push_messages(envelopes), sent, strict=True))

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Collect the replies; ask a replacement when a node without memories is lost."""
        wanted, contents = set(message_ids), self._collect()
        self.host_seconds = {}
        for node, content in contents.values():
            if TIMING in content:
                self.host_seconds[f"node-{node}"] = float(str(content.config_records.pop(TIMING)["seconds"]))
        return {key: content for key, (_, content) in contents.items() if key in wanted}

    def _collect(self) -> dict[str, tuple[int, RecordDict]]:
        """Wait for everything that is under way; return contents by key, nodes ascending."""
        found: dict[str, tuple[int, RecordDict]] = {}
        began = looked = said = time.monotonic()
        while self._asked or self._waiting:
            self.check()
            self._send()
            for reply in self.link.pull_messages(list(self._asked)):
                asked = self._asked.pop(reply.metadata.reply_to_message_id)
                if not reply.has_error():
                    found[asked.key] = asked.node, reply.content
                elif reply.error.code in LOST:
                    self._lose(asked, reply.error.reason)
                else:
                    raise ClusterLostError(f"node {asked.node} failed: {reply.error.reason}")
            now = time.monotonic()
            if now - looked > LOOK_S:
                looked = now
                self._look()
            if now - said > PATIENCE_S:
                said = now
                nodes = ", ".join(str(node) for node in sorted({asked.node for asked in self._asked.values()}))
                self.notice(f"waiting for node {nodes} for {now - began:.0f} s", kind="waiting")
            if self._asked:
                time.sleep(PAUSE_S)
        return dict(sorted(found.items(), key=lambda item: item[1][0]))

    def _look(self) -> None:
        """Find out whether a node that owes an answer is still connected."""
        connected = set(self.link.get_node_ids())
        for message_id, asked in list(self._asked.items()):
            if self._ids.get(self._part(asked.node)) not in connected:
                del self._asked[message_id]
                self._lose(asked, "its SuperNode is no longer connected")

    def _lose(self, asked: _Asked, reason: str | None) -> None:
        """Take leave of a node: roll back if it held memories, else ask the one that comes in its place."""
        part = self._part(asked.node)
        self._ids.pop(part, None)
        text = f"node {asked.node} was lost: {reason}"
        if self.stateful:
            raise HostLostError(f"{text}; its clients' memories are gone")
        if asked.attempts >= self.attempts:
            raise ClusterLostError(f"{text}, {asked.attempts} times")
        self.notice(f"{text}; its work goes to the next SuperNode with partition-id {part}", kind="retry")
        asked.attempts += 1
        self._meet()
        self._waiting.append(asked)

    def replace_lost(self) -> None:
        """Wait for new nodes in place of lost ones, and let the others finish what they were asked."""
        self._waiting.clear()
        lost = [key for key, asked in self._asked.items() if self._part(asked.node) not in self._ids]
        for message_id in lost:
            del self._asked[message_id]
        self._meet()
        self._collect()

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of the nodes: save and restore (a folder that all of them see, a round), or audit (weights)."""
        self._collect()
        for node, given in arguments.items():
            if method == "audit":
                content = codec.pack(method, {"name": given[1]}, weights=given[0])
            else:
                folder, round = given
                assert folder is None or isinstance(folder, Path)
                content = codec.pack(method, {"folder": None if folder is None else str(folder), "round": round})
            self._waiting.append(_Asked(f"{method}-{node}", node, content, MessageType.QUERY))
        return {node: codec.unpack(content)[2]["result"] for node, content in self._collect().values()}

    def describe(self) -> dict[str, Any]:
        """Return the nodes and the training path."""
        return {"kind": "flower", "nodes": self.num_nodes, "training": self.training}

    def close(self) -> None:
        """Nothing to release: Flower ends its own."""
