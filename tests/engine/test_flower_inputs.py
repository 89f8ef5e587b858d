"""SuperNodes read their own copies of a scenario's files: one that has read something else is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fedsim.core.config.inputs import Input
from fedsim.core.errors import InputsChangedError
from fedsim.engine.flower.client_app import NodeApp
from fedsim.engine.flower.grid import FlowerGrid

OURS = Input(("data", "path"), "", "/server/d.npz", "a" * 64)
THEIRS = Input(("data", "path"), "", "/phone/d.npz", "b" * 64)


class Link:
    """One SuperNode, in this process, that has read some files."""

    def __init__(self, read: Sequence[Input]) -> None:
        self.app = NodeApp(cast("Any", None), lambda context: read)
        self.replies: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        return [7]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        context = Context(1, 7, {"partition-id": 0, "num-partitions": 1}, RecordDict(), {})
        for message in messages:
            self.replies["q"] = self.app(message, context)
            self.replies["q"].metadata.__dict__["_reply_to_message_id"] = "q"
        return list(self.replies)

    def pull_messages(self, ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(name) for name in list(ids) if name in self.replies]


@pytest.fixture(autouse=True)
def inside_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower says in every process of an app which task it is."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def meet(read: Sequence[Input]) -> FlowerGrid:
    return FlowerGrid(cast("Grid", Link(read)), 1, stateful=False, inputs=[OURS])


def test_a_node_that_has_read_other_data_is_refused_with_the_file() -> None:
    with pytest.raises(InputsChangedError, match=r"partition-id 0: data\.path: /phone/d\.npz .* was aaaaaaaa, is bbbb"):
        meet([THEIRS])


@pytest.mark.parametrize("read", [[OURS], []], ids=["the same", "none of its own"])
def test_a_node_that_has_read_the_same_or_reads_nothing_is_welcome(read: list[Input]) -> None:
    assert meet(read).num_nodes == 1
