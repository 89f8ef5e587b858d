"""A class of the user's as local work: `train(module, batches, start, round, rng, state) -> Work`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedsim.clients.batches import draw
from fedsim.clients.foreign.generators import no_unseeded, seeded
from fedsim.clients.foreign.guard import blamed, unchanged, where_defined
from fedsim.clients.foreign.kernel import Trained, checked, numbers
from fedsim.clients.foreign.states import UnkeepableError, decode, encode
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.source import Source, source
from fedsim.clients.kernels.tensors import fresh
from fedsim.core import ClientData, Layout, LocalWork, rng
from fedsim.core.client_work import ForeignCodeError, Work
from fedsim.core.contracts import Parameters
from fedsim.data import QuadraticData

ARGUMENTS = ("module", "batches", "start", "round", "rng", "state")


@dataclass(frozen=True)
class ClassWork:
    """A user's object with a method `train`, before it is at a host."""

    made: Any

    def open(
        self, module: nn.Module, layout: Layout, data: ClientData, work: LocalWork, seed: int, device: torch.device
    ) -> _Ready:
        """Return the work, ready to train."""
        return _Ready(self.made, module.to(device), layout, data, work, seed, device)

    def describe(self) -> str:
        """Return what trains."""
        return f"client.work is {type(self.made).__name__}"


def signature_problem(cls: Any) -> str | None:
    """Return why a class cannot be local work, None when it can.

    >>> signature_problem(int)
    'int has no method train(module, batches, start, round, rng, state)'
    """
    wanted = f"train({', '.join(ARGUMENTS)})"
    train = getattr(cls, "train", None)
    if not callable(train):
        return f"{cls.__name__} has no method {wanted}"
    found = inspect.signature(train)
    try:
        found.bind(*([None] * (len(ARGUMENTS) + inspect.isclass(cls))))
    except TypeError:
        return f"{where_defined(train)}: {cls.__name__}.train{found} cannot be called as {wanted}"
    return None


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
        self._drawn = draw(work, seed, round, ids, source.counts[ids])

    @property
    def examples(self) -> int:
        """Examples in all batches together."""
        return int(self._drawn.examples[0])

    def __len__(self) -> int:
        return int(self._drawn.steps[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return feed.alone(self._source, self._ids, self._drawn, 0)


class _Curved:
    """The examples of quadratics: x is a client's center (1, d), y its curvature (1,)."""

    def __init__(self, data: QuadraticData, device: torch.device) -> None:
        self._data, self._device = data, device
        self.counts = data.num_examples
        self.example_bytes = 4 * data.centers.shape[1]

    def rows(self, clients: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        x = self._data.rows(clients, positions).x
        curvature = np.broadcast_to(self._data.curvature[clients, None].astype(np.float32), positions.shape)
        return fresh(x, self._device), fresh(np.ascontiguousarray(curvature), self._device)


class _Ready:
    """A user's work at a host."""

    def __init__(
        self,
        made: Any,
        module: nn.Module,
        layout: Layout,
        data: ClientData,
        work: LocalWork,
        seed: int,
        device: torch.device,
    ) -> None:
        self._made, self._module, self._layout = made, module, layout
        self._source: Source = _Curved(data, device) if isinstance(data, QuadraticData) else source(data, device)
        self._work, self._seed, self._device = work, seed, device
        self._where = where_defined(made.train)
        code = getattr(getattr(made.train, "__func__", made.train), "__code__", None)
        self._folder = Path() if code is None else Path(code.co_filename).parent

    def train(self, client: int, round: int, start: Parameters, state: bytes | None) -> Trained:
        """Train one client; see `Work.train`."""
        batches = ClientBatches(self._source, self._work, self._seed, round, client)
        self._load(start)
        key = (self._seed, 3, round, client + 1)
        own = rng.stream(self._seed, "client work", round, client)
        try:
            with seeded(*key), no_unseeded(), unchanged(self._made, self._where):
                found = self._made.train(
                    self._module,
                    batches,
                    start,
                    round,
                    own,
                    None if state is None else decode(state),
                )
        except ForeignCodeError:
            raise
        except SystemExit as end:
            raise ForeignCodeError(f"{blamed(end, self._folder)} (sys.exit)") from end
        except Exception as error:
            raise ForeignCodeError(blamed(error, self._folder)) from error
        return self._taken(found, batches, start)

    def _load(self, start: Parameters) -> None:
        """Put the global parameters into the module, as it is before any training."""
        named = dict(self._module.named_parameters())
        self._module.train()
        with torch.no_grad():
            for name, values in self._layout.views(start).items():
                named[name].copy_(fresh(np.ascontiguousarray(values), self._device))
                named[name].grad = None

    def _taken(self, found: Any, batches: ClientBatches, start: Parameters) -> Trained:
        """Check what came back."""
        if not isinstance(found, Work):
            raise ForeignCodeError(
                f"{self._where}: should return fedsim.Work(delta or module, metrics, state), returned a "
                f"{type(found).__name__}"
            )
        try:
            state = None if found.state is None else encode(found.state)
        except UnkeepableError as error:
            raise ForeignCodeError(f"{self._where}: {error}") from error
        return Trained(
            checked(self._delta(found.delta, start), self._layout, self._where),
            len(batches),
            batches.examples,
            numbers(found.metrics, self._where),
            state,
        )

    def _delta(self, given: Any, start: Parameters) -> npt.NDArray[np.float32]:
        """Return what was given as a delta (d,) float32."""
        layout = self._layout
        if isinstance(given, nn.Module):
            named = {name: value.detach() for name, value in given.named_parameters()}
            return self._joined(named, "a module with the parameter") - start
        if isinstance(given, Mapping):
            return self._joined(given, "a delta with")
        values = _array(given)
        if values is None or values.shape != (layout.size,):
            got = f"a {type(given).__name__}" if values is None else f"shape {values.shape}"
            raise ForeignCodeError(f"{self._where}: returned a delta of {got}, expected shape ({layout.size},)")
        return values.astype(np.float32)

    def _joined(self, named: Mapping[str, Any], what: str) -> npt.NDArray[np.float32]:
        shapes = dict(zip(self._layout.names, self._layout.shapes, strict=True))
        arrays = {name: _array(named[name]) for name in shapes if name in named}
        for name, shape in shapes.items():
            values = arrays.get(name)
            if values is None or values.shape != shape:
                got = "nothing of that name" if values is None else f"shape {values.shape}"
                raise ForeignCodeError(f"{self._where}: returned {what} {name} of {got}, expected shape {shape}")
        return self._layout.flatten({name: values for name, values in arrays.items() if values is not None})


def _array(value: Any) -> npt.NDArray[Any] | None:
    """Return numbers as an array, None for what holds none."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return value
    return None
