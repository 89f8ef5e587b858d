"""Local training of many clients: which kernel carries it out, in lanes of what size, at what cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from fedsim.clients import batches
from fedsim.clients.kernels import Kernel, LaneResult
from fedsim.clients.kernels.choice import KernelChoice, fit, plan
from fedsim.clients.kernels.lane import LaneKernel
from fedsim.clients.kernels.quadratic import QuadraticKernel
from fedsim.clients.kernels.sequential import SequentialKernel
from fedsim.clients.kernels.stack import StackStepper
from fedsim.clients.kernels.stream import Lane
from fedsim.clients.kernels.vmap import VmapStepper
from fedsim.clients.numerics import pin
from fedsim.core import CapacityError, ClientData, Layout, LocalWork, ScenarioError, Targets
from fedsim.core.contracts import Ids, Parameters
from fedsim.data import QuadraticData
from fedsim.models import Model
from fedsim.models.modules.building import build, layout
from fedsim.task import Loss, usual_loss

_GROUP_BYTES = 1 << 22
"""Deltas that the plain loop hands over at a time."""


class Trainer:
    """Trains the clients of a run, lane by lane; a pure function of (seed, round, client) and the parameters.

    Building one pins the numerics of the process (`fedsim.clients.numerics.pin`): one torch thread, one branch of MKL.

    Raises
    ------
    ScenarioError : model and data do not fit together.
    """

    def __init__(
        self,
        config: Model,
        work: LocalWork,
        data: ClientData,
        seed: int,
        device: str = "cpu",
        loss: Loss | None = None,
    ) -> None:
        if (config.trained_by == "quadratic") != isinstance(data, QuadraticData):
            raise ScenarioError("model.name: `point` and `dataset: quadratic` belong together")
        self.fingerprint = pin(device)
        self._config, self._work, self._data, self._seed = config, work, data, seed
        self._device = torch.device(device)
        self._counts = data.num_examples
        targets = Targets.of(data)
        self._loss = usual_loss(targets) if loss is None else loss
        module = build(config, data.input_shape, self._loss.outputs(targets))
        self.layout: Layout = layout(module)
        self.plan: KernelChoice = plan(
            config, work, module, data.input_shape, device, self._loss, tokens=targets.integers
        )
        self._kernel = self._make(module)
        alone = self.plan.kernel == "sequential"
        self.group = fit(_GROUP_BYTES, 4 * self.layout.size) if alone else self.plan.lane

    def _make(self, module: torch.nn.Module) -> Kernel:
        if isinstance(self._data, QuadraticData):
            return QuadraticKernel(self._data, self._work, self._seed)
        common = (self.layout, self._data, self._work, self._seed, self._device)
        if self.plan.kernel == "sequential":
            return SequentialKernel(module, self._loss, *common)
        if self.plan.kernel == "stack":
            return LaneKernel(StackStepper(self.layout, self._loss), *common)
        return LaneKernel(VmapStepper(module.to(self._device), self._loss), *common)

    def describe(self) -> str:
        """Return how clients train, in one line for the log and the summary."""
        return f"{self.plan.kernel}, {self.plan.lane} clients a lane on {self._device} ({self.plan.reason})"

    def initial(self, *numbers: int) -> Parameters:
        """Return the parameters of round 0, (d,); gossip with independent starts gives the node as a number."""
        return self._config.start(self.layout, self._seed, *numbers)

    def cost(self, clients: Ids) -> npt.NDArray[np.int64]:
        """Return the predicted cost of each client's round (C,): the examples it goes through."""
        if isinstance(self._data, QuadraticData):
            return np.full(len(clients), self._work.local_steps or self._work.epochs or 1, np.int64)
        return batches.processed(self._work, self._counts[clients])

    def asked(self, params: Parameters, clients: Ids, round: int) -> list[Lane]:
        """Return the lanes in which clients (C,), ids ascending, train from the parameters (d,)."""
        cuts = range(0, len(clients), self.group)
        return [Lane(self._kernel, params, clients[first : first + self.group], round, self.group) for first in cuts]

    def lanes(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        velocity: npt.NDArray[np.float32] | None = None,
    ) -> Iterator[LaneResult]:
        """Train clients (C,), ids ascending, and yield the results lane by lane in that order.

        `params` is (d,), or (C, d) with a start for each client; so is `velocity`, the momentum that clients kept. The
        arrays of a result hold until the next one is asked for.

        Raises
        ------
        CapacityError : a lane does not fit on the GPU.
        """
        for first in range(0, len(clients), self.group):
            lane = slice(first, first + self.group)
            starts = params if params.ndim == 1 else params[lane]
            speeds = None if velocity is None else velocity[lane]
            try:
                result = self._kernel.train(starts, clients[lane], round, speeds)
            except torch.OutOfMemoryError as error:
                raise CapacityError(self._too_long(min(self.plan.lane, len(clients)))) from error
            yield result

    def _too_long(self, lane: int) -> str:
        if lane == 1:
            return f"out of memory on {self._device} with a single client: a smaller client.batch_size or model fits"
        return (
            f"out of memory on {self._device} with {lane} clients in a lane: write `lane: {max(1, lane // 2)}` "
            "(or less) into the section `client:` of the scenario"
        )
