"""A Flower ClientApp as local work: what trains is somebody else's, who is asked and what is made of it is ours.

The app gets what Flower's FedAvg would send it: the model's `state_dict()` as `arrays`, and `config` with
`server-round` and `lr`. It answers with `arrays` and with `metrics` that hold `num-examples`. Its `Context.state` is
the client's state, kept where the client lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fedsim.clients.foreign.generators import generators, put_back
from fedsim.clients.foreign.kernel import Shared, Trained, numbers
from fedsim.clients.foreign.model import Loaded
from fedsim.core import ClientData, LocalWork
from fedsim.core.contracts import Parameters
from fedsim.core.flower_project import Project
from fedsim.core.foreign.failures import ForeignError
from fedsim.core.system.files import atomic_folder
from fedsim.engine.nodes.app_folder import App
from fedsim.engine.nodes.app_host import RUN_ID, AppHost
from fedsim.engine.nodes.grid import FIRST_NODE_ID
from fedsim.strategies.flower.arrays import ArrayView

EXAMPLES = "num-examples"
RATES = ("lr", "learning-rate", "learning_rate")
"""Options of an app that its ServerApp would send to clients as `lr`."""


@dataclass(frozen=True)
class AppWork:
    """An app's ClientApp, before it is at a host. The sources travel along, for machines that lack the folder."""

    project: Project
    run_config: Mapping[str, Any]
    train_config: Mapping[str, Any]
    sources: Mapping[str, bytes]

    @classmethod
    def of(cls, project: Project, run_config: Mapping[str, Any], train_config: Mapping[str, Any]) -> AppWork:
        """Return the app's work, with the options and the config that a scenario gives."""
        sources = {name: path.read_bytes() for name, path in project.sources().items()}
        return cls(project, {**project.options, **run_config}, train_config, sources)

    def open(self, model: Loaded, data: ClientData, work: LocalWork, seed: int) -> _Ready:
        """Return the app, loaded; what cannot be loaded is a ScenarioError."""
        app = App(self.folder(), "", self.project.client, self.run_config)
        return _Ready(AppHost(app, seed), self, model, data.num_clients, work)

    def describe(self) -> str:
        """Return what trains."""
        return f"the ClientApp of {self.project.folder.name}"

    def folder(self) -> Path:
        """Return the app's folder here: where it is, or, on a machine that lacks it, a copy of its sources."""
        place = self.project.folder
        if all((place / name).is_file() and (place / name).read_bytes() == text for name, text in self.sources.items()):
            return place
        digest = sha256(b"\0".join(name.encode() + b"\0" + text for name, text in sorted(self.sources.items())))
        copy = Path(gettempdir(), f"fedsim-app-{digest.hexdigest()[:16]}")
        if not copy.is_dir():
            with atomic_folder(copy) as folder:
                for name, text in self.sources.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(text)
        return copy


class _Ready:
    """An app at a host."""

    def __init__(self, host: AppHost, plan: AppWork, model: Loaded, num_clients: int, work: LocalWork) -> None:
        self._host, self._plan, self._model, self._num_clients, self._work = host, plan, model, num_clients, work
        self._where = str(plan.project.module or plan.project.folder)
        rates = (plan.run_config[name] for name in RATES if name in plan.run_config)
        self._lr = next((float(rate) for rate in rates if isinstance(rate, int | float)), None)

    def train(self, client: int, round: int, start: Parameters, state: bytes | None, shared: Shared) -> Trained:
        """Train one client; see `Work.train`."""
        config: dict[str, Any] = {"lr": self._work.rate(round) if self._lr is None else self._lr}
        config |= {**self._plan.train_config, "server-round": round}
        self._model.load(start)
        arrays = ArrayRecord()
        for name, values in self._model.state().items():
            arrays[name] = ArrayView(values)
        content = RecordDict({"arrays": arrays, "config": ConfigRecord(config)})
        message = Message(content, dst_node_id=FIRST_NODE_ID + client, message_type=MessageType.TRAIN)
        message.metadata.__dict__["_message_id"] = f"{round:x}-{client:x}"
        before = generators()
        try:
            reply, after = self._host.handle(message, self._context(client, state), (client + 1, round))
        finally:
            put_back(before)
        if after is None:
            raise ForeignError(self._blamed(str(reply.error.reason)))
        return self._taken(reply.content, start, _packed(after.state))

    def _context(self, client: int, state: bytes | None) -> Context:
        return Context(
            run_id=RUN_ID,
            node_id=FIRST_NODE_ID + client,
            node_config={"partition-id": client, "num-partitions": self._num_clients},
            state=RecordDict() if state is None else _unpacked(state),
            run_config=dict(self._plan.run_config),
        )

    def _blamed(self, reason: str) -> str:
        """Return one line of a traceback: the app's last own line, and what was raised there."""
        lines = reason.strip().splitlines()
        own = [k for k, line in enumerate(lines) if line.strip().startswith(f'File "{self._host.folder}')]
        raised = [k for k, line in enumerate(lines) if not line.startswith(" ") and k > max(own, default=0)]
        text = " ".join(" ".join(lines[raised[0] if raised else 0 :]).split())
        if not own:
            return f"{self._where}: {text}"
        file, line = lines[own[-1]].strip().removeprefix('File "').split('", line ')
        return f"{file}:{line.partition(',')[0]}: {text}"

    def _taken(self, content: RecordDict, start: Parameters, state: bytes) -> Trained:
        """Check a reply."""
        found = list(content.array_records.values())
        told = list(content.metric_records.values())
        if len(found) != 1:
            raise ForeignError(f"{self._where}: the reply should hold one ArrayRecord, it holds {len(found)}")
        metrics = {name: value for record in told for name, value in record.items() if not isinstance(value, list)}
        examples = metrics.pop(EXAMPLES, None)
        if not isinstance(examples, int | float) or not examples >= 0:
            raise ForeignError(f"{self._where}: the reply's metrics should hold {EXAMPLES!r}, got {examples}")
        arrays = {name: array.numpy() for name, array in found[0].items()}
        moved = self._model.take(arrays, self._where, "of the arrays in the reply,")
        delta = self._model.finite(moved - start[: self._model.layout.size], self._where)
        return Trained(delta, self._model.buffers(), 1, int(examples), numbers(metrics, self._where), state)


def _packed(state: RecordDict) -> bytes:
    data: bytes = recorddict_to_proto(state).SerializeToString(deterministic=True)
    return data


def _unpacked(data: bytes) -> RecordDict:
    return recorddict_from_proto(ProtoRecordDict.FromString(data))
