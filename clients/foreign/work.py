"""A class of the user's as local work: `train(module, batches, start, round, rng, state) -> Work`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedsim.clients.augment import Augment
from fedsim.clients.batches import draw
from fedsim.clients.foreign.generators import seeded
from fedsim.clients.foreign.guard import unchanged
from fedsim.clients.foreign.kernel import Shared, Trained, numbers
from fedsim.clients.foreign.model import Loaded
from fedsim.clients.foreign.states import UnkeepableError, decode, encode
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.source import Source, source
from fedsim.clients.kernels.tensors import fresh
from fedsim.core import ClientData, LocalWork, rng
from fedsim.core.client_work import SHARED, ClientWork, Work
from fedsim.core.contracts import Parameters
from fedsim.core.foreign.chance import no_unseeded
from fedsim.core.foreign.failures import ForeignError, failed, told
from fedsim.core.foreign.reference import defined
from fedsim.data import QuadraticData

PURPOSE = 3
"""Sets these keys apart from those of a Flower app's nodes and of its server."""


@dataclass(frozen=True)
class ClassWork:
    """A user's class with a method `train`, before it is at a host; `folder` is where its paths start."""

    config: ClientWork
    folder: str = "."

    def open(self, model: Loaded, data: ClientData, work: LocalWork, seed: int) -> _Ready:
        """Return the work, ready to train."""
        return _Ready(self.config.build(self.folder), model, data, work, seed)

    def describe(self) -> str:
        """Return what trains."""
        return f"client.work is {self.config.name}"


class ClientBatches:
    """A client's batches of one round: (x, y) each, the same every time that they are gone through.

    Attributes
    ----------
    lr : the learning rate of the round, from `client.lr` and its schedule. num_examples : what the client holds.
    """

    def __init__(self, source: Source, work: LocalWork, seed: int, round: int, client: int) -> None:
        ids = np.array([client], np.int64)
        self.lr = work.rate(round)
        self.num_examples = int(source.counts[client])
        self._source, self._ids = source, ids
        self._augment = Augment.of(work, seed, round)
        self._drawn = draw(work, seed, round, ids, source.counts[ids])

    @property
    def examples(self) -> int:
        """Examples in all batches together."""
        return int(self._drawn.examples[0])

    def __len__(self) -> int:
        return int(self._drawn.steps[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return feed.alone(self._source, self._ids, self._drawn, 0, self._augment)


class _Curved:
    """The examples of quadratics: x is a client's center (1, d), y its curvature (1,)."""

    def __init__(self, data: QuadraticData, device: torch.device) -> None:
        self._data, self._device = data, device
        self.black: Tensor | None = None
        self.key = id(data)
        self.counts = data.num_examples
        self.example_bytes = 4 * data.centers.shape[1]

    def rows(self, clients: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        x = self._data.rows(clients, positions).x
        curvature = np.broadcast_to(self._data.curvature[clients, None].astype(np.float32), positions.shape)
        return fresh(x, self._device), fresh(np.ascontiguousarray(curvature), self._device)


class _Ready:
    """A user's work at a host."""

    def __init__(self, made: Any, model: Loaded, data: ClientData, work: LocalWork, seed: int) -> None:
        self._made, self._model, self._work, self._seed = made, model, work, seed
        self._source: Source = (
            _Curved(data, model.device) if isinstance(data, QuadraticData) else source(data, model.device)
        )
        self._where = defined(made.train)
        self._shared = SHARED in inspect.signature(made.train).parameters

    def train(self, client: int, round: int, start: Parameters, state: bytes | None, shared: Shared) -> Trained:
        """Train one client; see `Work.train`."""
        batches = ClientBatches(self._source, self._work, self._seed, round, client)
        self._model.load(start)
        params = start[: self._model.layout.size]
        own = rng.stream(self._seed, "client work", round, client)
        held = None if state is None else decode(state)
        beside = (
            {SHARED: {name: np.array(vector, np.float32) for name, vector in shared.items()}} if self._shared else {}
        )
        try:
            with seeded(self._seed, PURPOSE, round, client), no_unseeded(), unchanged(self._made, self._where):
                found = self._made.train(self._model.module, batches, params.copy(), round, own, held, **beside)
        except ForeignError:
            raise
        except SystemExit as end:
            raise ForeignError(told(end)) from end
        except Exception as error:
            raise ForeignError(told(error), failed("", error).details) from error
        return self._taken(found, batches, params)

    def _taken(self, found: Any, batches: ClientBatches, params: Parameters) -> Trained:
        """Check what came back."""
        if not isinstance(found, Work):
            raise ForeignError(
                f"{self._where}: should return fedsim.Work(delta or module, metrics, state), returned a "
                f"{type(found).__name__}"
            )
        try:
            state = None if found.state is None else encode(found.state)
        except UnkeepableError as error:
            raise ForeignError(f"{self._where}: {error}") from error
        return Trained(
            self._model.finite(self._delta(found.delta, params), self._where),
            self._model.buffers(),
            len(batches),
            batches.examples,
            numbers(found.metrics, self._where),
            state,
        )

    def _delta(self, given: Any, params: Parameters) -> npt.NDArray[np.float32]:
        """Return what was given as a delta (d,) float32."""
        layout = self._model.layout
        if given is self._model.module:
            return self._model.parameters(given) - params
        if isinstance(given, nn.Module):
            named = {name: value.detach().cpu().numpy() for name, value in given.state_dict().items()}
            return self._model.take(named, self._where, "of the module that is returned,") - params
        if isinstance(given, Mapping):
            return self._joined(given)
        values = _array(given)
        if values is None or values.shape != (layout.size,):
            got = f"a {type(given).__name__}" if values is None else f"shape {values.shape}"
            raise ForeignError(f"{self._where}: returned a delta of {got}, expected shape ({layout.size},)")
        return values.astype(np.float32)

    def _joined(self, named: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        layout = self._model.layout
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            values = _array(named.get(name))
            if values is None or values.shape != shape:
                got = "is missing" if values is None else f"has shape {values.shape}"
                raise ForeignError(f"{self._where}: of the delta, {name} {got}, expected {shape}")
            arrays[name] = values
        return layout.flatten(arrays)


def _array(value: Any) -> npt.NDArray[Any] | None:
    """Return numbers as an array, None for what holds none."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return value
    return None
