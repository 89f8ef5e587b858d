"""Local training of many clients: which kernel carries it out, in lanes of what size, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fedsim.clients import batches
from fedsim.clients.augment import refuse_what_is_no_image
from fedsim.clients.clipping import shorten
from fedsim.clients.foreign.kernel import Carried, ForeignKernel, Opens
from fedsim.clients.foreign.model import Loaded
from fedsim.clients.kernels import Kernel, LaneResult
from fedsim.clients.kernels.choice import KernelChoice, fit, plan
from fedsim.clients.kernels.lane import LaneKernel
from fedsim.clients.kernels.quadratic import QuadraticKernel
from fedsim.clients.kernels.sequential import SequentialKernel
from fedsim.clients.kernels.source import Source, source
from fedsim.clients.kernels.stack import StackStepper
from fedsim.clients.kernels.stream import Lane
from fedsim.clients.kernels.tensors import fresh
from fedsim.clients.kernels.trial import look
from fedsim.clients.kernels.vmap import VmapStepper
from fedsim.clients.numerics import pin
from fedsim.core import CapacityError, ClientData, Layout, LocalWork, ScenarioError, Targets
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.sums import Vector
from fedsim.data import QuadraticData
from fedsim.models import Model
from fedsim.models.modules.building import build, layout, values
from fedsim.models.modules.flops import forward_flops
from fedsim.models.modules.held import Held
from fedsim.models.modules.information import information
from fedsim.task import Loss, usual_loss

_GROUP_BYTES = 1 << 22
"""Deltas that the plain loop hands over at a time."""
TRIED = 4
"""Examples on which a module of somebody's own is tried."""


class Trainer:
    """Trains the clients of a run, lane by lane; a pure function of (seed, round, client) and the parameters.

    Building one pins the numerics of the process (`fedsim.clients.numerics.pin`): one torch thread, one branch of MKL.

    `foreign` is local work that is not ours; without it clients train by SGD.

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
        foreign: Opens | None = None,
    ) -> None:
        if (config.trained_by == "quadratic") != isinstance(data, QuadraticData):
            raise ScenarioError("model.name: `point` and `dataset: quadratic` belong together")
        refuse_what_is_no_image(work.augment, data.input_shape)
        self.fingerprint = pin(device)
        self._config, self._work, self._data, self._seed = config, work, data, seed
        self._device = torch.device(device)
        self._counts = data.num_examples
        targets = Targets.of(data)
        self._loss = usual_loss(targets) if loss is None else loss
        self._outputs = self._loss.outputs(targets)
        module = build(config, data.input_shape, self._outputs, seed)
        self.layout: Layout = layout(module, config.buffer_mode)
        if work.clip_update is not None and self.layout.buffers.size and not self.layout.buffers.local:
            raise ScenarioError(
                "client.clip_update: the model's buffers travel too, unclipped; use model.buffers: local"
            )
        self._own = values(module, config.buffer_mode) if config.keeps_values else None
        self._whole: Trainer | None = None
        self._information: tuple[torch.nn.Module, Source] | None = None
        brought = config.brought or foreign is not None
        self._held = Held.of(module.to(self._device), config.buffer_mode) if brought else None
        self.plan: KernelChoice
        self._kernel: Kernel
        if foreign is not None:
            self.plan = KernelChoice("foreign", 1, foreign.describe())
            loaded = Loaded(module, self.layout, config.buffer_mode, self._device)
            self._kernel = ForeignKernel(foreign.open(loaded, data, work, seed))
        else:
            found = (
                look(config, module, *self._sample(), self._loss, self._outputs)
                if config.brought or self._loss.brought
                else None
            )
            self.plan = plan(
                config, work, module, data.input_shape, device, self._loss, tokens=targets.integers, found=found
            )
            self._kernel = self._make(module, () if found is None else found.resting)
        self._ready: Iterator[LaneResult] | None = None
        alone = self.plan.kernel == "sequential"
        self.group = fit(_GROUP_BYTES, 4 * self.layout.size) if alone else self.plan.lane

    def _sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a few examples of the client that has most of them."""
        client = int(np.argmax(self._counts))
        positions = np.arange(TRIED) % max(1, int(self._counts[client]))
        found = source(self._data, self._device).rows(np.array([client]), positions[None])
        return found[0][0], found[1][0]

    def _make(self, module: torch.nn.Module, few: tuple[torch.nn.Module, ...] = ()) -> Kernel:
        if isinstance(self._data, QuadraticData):
            return QuadraticKernel(self._data, self._work, self._seed)
        common = (self.layout, self._data, self._work, self._seed, self._device)
        if self.plan.kernel == "sequential":
            return SequentialKernel(module, self._loss, *common, held=self._held, own=self._config.brought, few=few)
        if self.plan.kernel == "stack":
            return LaneKernel(StackStepper(self.layout, self._loss), *common)
        return LaneKernel(VmapStepper(module.to(self._device), self._loss), *common)

    def describe(self) -> str:
        """Return how clients train, in one line for the log and the summary."""
        return f"{self.plan.kernel}, {self.plan.lane} clients a lane on {self._device} ({self.plan.reason})"

    def initial(self, *numbers: int) -> Parameters:
        """Return the model of round 0, (d + b,); gossip with independent starts gives the node as a number."""
        drawn = self._config.start(self.layout, self._seed, *numbers)
        if self._own is None:
            assert drawn is not None, "a model without values of its own has a law"
            return drawn
        buffers = self._own[self.layout.size :]
        if drawn is None and numbers and self._config.start_file is None:
            data, mode = self._data, self._config.buffer_mode
            again = build(self._config, data.input_shape, self._outputs, self._seed, *numbers)
            drawn = values(again, mode)[: self.layout.size]
        return self._own.copy() if drawn is None else np.concatenate([drawn, buffers])

    def named(self, params: Parameters) -> dict[str, npt.NDArray[Any]]:
        """Return a model (d + b,) as tensors by name, each buffer as the module holds it."""
        found: dict[str, npt.NDArray[Any]] = dict(self.layout.views(params))
        if self._held is not None:
            found |= self._held.named(params[self.layout.size :], self.layout.buffers.names)
        return found

    @property
    def example_flops(self) -> float:
        """What an example costs in layers with weights, forward; a module of somebody's own as if all were linear."""
        if self._config.brought or self._config.trained_by == "quadratic":
            return 2.0 * self.layout.size
        module = build(self._config, self._data.input_shape, self._outputs, self._seed)
        return forward_flops(module, self._data.input_shape, tokens=Targets.of(self._data).integers)

    def rate(self, round: int) -> float:
        """Return the learning rate of a round's first local step."""
        return self._work.rate(round)

    def gradient(self, params: Parameters, clients: Ids) -> npt.NDArray[np.float32]:
        """Return the gradient of each client's objective (C, d) at a model, over all its examples."""
        if self._whole is None:
            work = LocalWork(local_epochs=1, batch_size=max(1, int(self._counts.max(initial=1))), lr=1.0)
            data = replace(self._data, noise=0.0) if isinstance(self._data, QuadraticData) else self._data
            self._whole = Trainer(self._config, work, data, self._seed, str(self._device), self._loss)
        lanes = self._whole.lanes(params, clients, 1)
        return np.concatenate([-lane.deltas for lane in lanes])

    def fisher(self, params: Parameters, deltas: npt.NDArray[np.float32], clients: Ids) -> npt.NDArray[np.float32]:
        """Return the diagonal Fisher information (C, d) of each client's examples, at its model params + delta."""
        if isinstance(self._data, QuadraticData):
            return np.repeat(self._data.curvature[clients, None], self.layout.size, axis=1).astype(np.float32)
        if self._information is None:
            module = build(self._config, self._data.input_shape, self._outputs, self._seed).to(self._device).eval()
            self._information = module, source(self._data, self._device)
        module, examples = self._information
        found = np.zeros(deltas.shape, np.float32)
        for place, client in enumerate(clients):
            count = int(self._counts[client])
            if count == 0:
                continue
            x, _ = examples.rows(clients[place : place + 1], np.arange(count)[None])
            local = fresh(params[: self.layout.size] + deltas[place], self._device)
            parts = torch.split(local, list(self.layout.sizes))
            shapes = zip(self.layout.names, parts, self.layout.shapes, strict=True)
            weights = {name: part.view(shape) for name, part, shape in shapes}
            total = information(module, self._loss, weights, x[0])
            found[place] = (total / count).float().cpu().numpy()
        return found

    def way(self, round: int, steps: Ids) -> Vector:
        """Return the sum of the learning rates of a client's local steps in a round, for each of `steps` (C,)."""
        if not self._work.rate_by_step:
            return steps * np.float64(self._work.rate(round))
        rates = [self._work.rate(round, step) for step in range(1, int(steps.max(initial=0)) + 1)]
        found: Vector = np.concatenate([[0.0], np.cumsum(rates)])[steps]
        return found

    @property
    def carries(self) -> bool:
        """Whether clients go on in their batches where they were, so that `Given.taken` is wanted."""
        return self._work.carry_batches

    def cost(self, clients: Ids) -> npt.NDArray[np.int64]:
        """Return the predicted cost of each client's round (C,): the examples it goes through."""
        if isinstance(self._data, QuadraticData):
            return np.full(len(clients), self._work.local_steps or self._work.epochs or 1, np.int64)
        return batches.processed(self._work, self._counts[clients])

    def asked(self, params: Parameters, clients: Ids, round: int) -> list[Lane]:
        """Return the lanes in which clients (C,), ids ascending, train from the parameters (d,) and nothing else.

        A module with buffers has none: `lanes` looks after them.
        """
        if self._held is not None:
            return []
        cuts = range(0, len(clients), self.group)
        return [Lane(self._kernel, params, clients[first : first + self.group], round, self.group) for first in cuts]

    def supply(self, ready: Iterator[LaneResult]) -> None:
        """Have the next call of `lanes` bring these results, of lanes that were `asked` and trained with others."""
        self._ready = ready

    def lanes(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        *,
        buffers: npt.NDArray[np.float32] | None = None,
        given: Callable[[Ids], Given] | None = None,
        foreign: Carried | None = None,
    ) -> Iterator[LaneResult]:
        """Train clients (C,), ids ascending, and yield the results lane by lane in that order.

        `params` is (d + b,), or (C, d + b) with a start for each client; `kept` (C, w) is what the clients' optimisers
        kept (`LaneResult.kept`), and `buffers` (C, b) the buffers that clients keep. `given` tells of some clients what
        they train with beside the model, `foreign` what foreign work begins with. The arrays of a result hold until the
        next one is asked for; its deltas are the ways from `params`, no longer than `client.clip_update`.

        Raises
        ------
        CapacityError : a lane does not fit on the GPU.
        """
        ready, self._ready = self._ready, None
        if ready is not None:
            for result in ready:
                yield self._clipped(result)
            return
        for first in range(0, len(clients), self.group):
            lane = slice(first, first + self.group)
            common = params if params.ndim == 1 else params[lane]
            beside = PLAIN if given is None else given(clients[lane])
            starts = common if beside.start is None else self._with(beside.start, common[..., self.layout.size :])
            if buffers is not None:
                starts = self._with(starts, buffers[lane])
            before = None if kept is None else kept[lane]
            try:
                result = (
                    self._kernel.train(starts, clients[lane], round, before, beside, foreign)
                    if isinstance(self._kernel, ForeignKernel)
                    else self._train(starts, clients[lane], round, before, beside)
                )
            except torch.OutOfMemoryError as error:
                raise CapacityError(self._too_long(min(self.plan.lane, len(clients)))) from error
            if beside.start is not None:
                result.deltas.__iadd__(beside.start - common[..., : self.layout.size])
            yield self._clipped(result)

    def _clipped(self, result: LaneResult) -> LaneResult:
        """Shorten the deltas where `client.clip_update` says so, in place."""
        if self._work.clip_update is not None:
            shorten(result.deltas, self._work.clip_update)
        return result

    def _with(self, starts: Parameters, buffers: npt.NDArray[np.float32]) -> Parameters:
        """Return (C, d + b): the parameters of `starts`, and the buffers, in common or each client's own."""
        params = starts[..., : self.layout.size]
        count = len(params) if params.ndim > 1 else len(buffers)
        parts = (params, self.layout.size), (buffers, buffers.shape[-1])
        return np.concatenate([np.broadcast_to(part, (count, width)) for part, width in parts], axis=1)

    def _train(
        self, starts: Parameters, clients: Ids, round: int, kept: npt.NDArray[np.float32] | None, given: Given
    ) -> LaneResult:
        """Train a lane. Only the plain loop moves buffers: what trains together has been seen to leave them alone."""
        if self._held is None or self.plan.kernel == "sequential":
            return self._kernel.train(starts, clients, round, kept, given)
        rows = np.broadcast_to(starts[..., self.layout.size :], (len(clients), self._held.size))
        self._held.load(fresh(rows[0], self._device))
        result = self._kernel.train(starts[..., : self.layout.size], clients, round, kept, given)
        return replace(result, buffers=rows)

    def _too_long(self, lane: int) -> str:
        if lane == 1:
            return f"out of memory on {self._device} with a single client: a smaller client.batch_size or model fits"
        return (
            f"out of memory on {self._device} with {lane} clients in a lane: write `lane: {max(1, lane // 2)}` "
            "(or less) into the section `client:` of the scenario"
        )
