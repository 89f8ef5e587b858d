"""What every entry under `model:` is: a frozen config that builds a torch module, and says how it can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from fedsim.core import Layout
from fedsim.core.contracts import Parameters
from fedsim.models.starting import Init, drawn

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Model(ABC):
    """The options of one model. Concrete classes carry `name: Literal["..."]`, the word in the scenario.

    A model's file loads torch only where it builds the module, so that reading a scenario does not.
    """

    name: str
    """The word that chooses this model."""

    trained_by: ClassVar[Literal["stack", "vmap", "quadratic"]] = "vmap"
    """The kernel by which clients train together: `stack` for linear layers with ReLU between them (batched products, a
    hand-written backward pass), `vmap` for any other module (torch.func), `quadratic` for a point's closed form."""
    convolves: ClassVar[bool] = False
    """Whether it convolves images: it needs examples (channels, height, width), with sides of at least `smallest_side`,
    and on a CPU most of its work gains nothing from training clients together."""

    @property
    def smallest_side(self) -> int:
        """The smallest side of the images that it takes, where it convolves images."""
        return 1

    @abstractmethod
    def module(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """Return the module: (B, *input_shape) -> (B, num_classes). Its values do not count: `start` gives them.

        Raises
        ------
        ScenarioError : it cannot take examples of this shape.
        """

    @abstractmethod
    def start(self, layout: Layout, seed: int, *numbers: int) -> Parameters:
        """Return the parameters of round 0 (d,), a function of (seed, numbers).

        Gossip with independent starts gives the node as a number.
        """


@dataclass(frozen=True, kw_only=True)
class Network(Model):
    """A model whose starting weights are drawn."""

    init: Init = "glorot"
    """Law of the starting weights: glorot, kaiming or caffe_xavier with zero biases, or torch, PyTorch's defaults."""

    def start(self, layout: Layout, seed: int, *numbers: int) -> Parameters:
        """Return the parameters of round 0 (d,), drawn by the law `init` from (seed, numbers)."""
        return drawn(self.init, layout, seed, *numbers)
