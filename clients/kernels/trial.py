"""Tries a module of somebody's own on a few examples: whether it can be trained, and many clients of it at once.

A lane trains its clients as one batch by torch.func, with rows that only fill up. That is the same as one after the
other only where a module draws nothing, moves no buffer and keeps the examples of a batch apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.clients.kernels.vmap import VmapStepper
from fedsim.core import ScenarioError
from fedsim.core.foreign.door import Foreign
from fedsim.core.foreign.failures import told
from fedsim.core.foreign.reference import defined
from fedsim.models import Model
from fedsim.models.modules import draws
from fedsim.models.modules.building import trained
from fedsim.models.modules.chain import is_chain
from fedsim.models.modules.held import Held, running
from fedsim.task import Loss

_KEY = 1
_CLOSE = 1e-3
"""Gradients further apart than this share of the largest are different gradients."""


@dataclass(frozen=True)
class Found:
    """The kernel that can train a module, and why no faster one can.

    `resting` are normalisations that use their running statistics where a batch is a single example, which has none.
    """

    kernel: str
    reason: str = ""
    resting: tuple[nn.Module, ...] = ()


def look(config: Model, module: nn.Module, x: Tensor, y: Tensor, loss: Loss, outputs: int) -> Found:
    """Try a module, where it is, with some examples x (B, *input_shape) and y (B, ...); it is left as it was.

    Raises
    ------
    ScenarioError : it cannot take the examples, answers in another shape, or seeds global generators.
    """
    held = Held(module, config.buffer_mode)
    before, called = held.read(), _called(config, module)
    with draws.kept(x.device):
        draws.turn(_KEY, x.device)
        try:
            output = _answer(called, module, x, y, loss, outputs)
            drew, moved = draws.drawn_since(_KEY, x.device), held.moved(before)
            if draws.reseeded(_KEY):
                raise ScenarioError(
                    f"model: {called} seeds torch's global generator in its forward pass; leave that out: its "
                    "draws are keyed by seed, round, client and step"
                )
            if not output.requires_grad:
                raise ScenarioError(f"model: {called}: its answer has no gradient (detached, or under no_grad)")
            if moved:
                few = tuple(running(module))
                few = () if not few or _takes_one(module, x) else few
                return Found("sequential", f"its buffers move while it trains ({', '.join(moved[:3])})", few)
            if drew:
                return Found("sequential", "it draws random numbers while it trains, keyed by client and step")
            if loss.stacked and is_chain(module, x):
                return Found("stack")
            return _in_lanes(module, x, y, loss)
        finally:
            held.load(before)


def _called(config: Model, module: nn.Module) -> str:
    """Return a model's name; of somebody's own also FILE:LINE of what answers, or of what made the module."""
    if not isinstance(config, Foreign):
        return config.name
    forward = type(module).forward
    theirs = not forward.__module__.startswith("torch.")
    return f"{config.name} ({(theirs and defined(forward)) or config.thing.place})"


def _answer(called: str, module: nn.Module, x: Tensor, y: Tensor, loss: Loss, outputs: int) -> Tensor:
    try:
        output = module(x)
    except Exception as error:
        raise ScenarioError(f"model: {called} cannot take a batch of shape {tuple(x.shape)}: {told(error)}") from error
    if not isinstance(output, Tensor):
        raise ScenarioError(f"model: {called} returns {type(output).__name__} from its forward pass, not a tensor")
    shape = f"model: {called} returns shape {tuple(output.shape)} for {len(x)} examples"
    if y.dim() == 1 and y.dtype == torch.int64 and output.shape != (len(x), outputs):
        raise ScenarioError(f"{shape}; it must be (examples, classes) = {(len(x), outputs)}")
    try:
        each = loss.of(output, y)
    except Exception as error:
        raise ScenarioError(f"{shape}, which {loss.kind} cannot hold against targets {tuple(y.shape)}") from error
    if each.shape != (len(x),):
        raise ScenarioError(f"{shape}; {loss.kind} then gives {tuple(each.shape)}, and must give one number an example")
    return output


def _takes_one(module: nn.Module, x: Tensor) -> bool:
    """Return whether a single example makes a batch: of it PyTorch refuses to take statistics."""
    try:
        module(x[:1])
    except ValueError:
        return False
    return True


def _in_lanes(module: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> Found:
    """Hold the gradient of two clients by torch.func against that of each alone, the second one's batch filled up."""
    weights = trained(module)
    kept = [weight.detach().clone() for weight in weights]
    generator = torch.Generator().manual_seed(0)
    short = max(1, len(x) // 2)
    try:
        with torch.no_grad():  # layers that start at zero would hide what happens before them
            for weight in weights:
                weight.add_(torch.empty(weight.shape).uniform_(-0.1, 0.1, generator=generator).to(x.device))
        scale = torch.zeros((2, len(x)), device=x.device)
        scale[0], scale[1, :short] = 1.0 / len(x), 1.0 / short
        stacked = {n: w.detach().expand(2, *w.shape) for n, w in module.named_parameters() if w.requires_grad}
        stepper = VmapStepper(module, loss)
        together, _ = stepper.gradient(stacked, torch.stack([x, x]), torch.stack([y, y]), scale)
        for client, count in enumerate((len(x), short)):
            mean = loss.mean(module(x[:count]), y[:count])
            alone = torch.autograd.grad(mean, weights, allow_unused=True, materialize_grads=True)
            for (name, _), wanted in zip(stacked.items(), alone, strict=True):
                got = together[name][client]
                if not torch.allclose(got, wanted, rtol=0.0, atol=_CLOSE * float(wanted.abs().max()) + 1e-7):
                    return Found("sequential", "the examples of a batch act on each other, and lanes fill batches up")
    except Exception as error:
        first = " ".join(f"{type(error).__name__}: {error}".split("\n")[0].split())[:160]
        return Found("sequential", f"torch.func cannot map it over clients: {first}")
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, kept, strict=True):
                weight.copy_(value)
    return Found("vmap")
