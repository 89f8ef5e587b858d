"""What every entry under `model:` is: a frozen config that builds a torch module, and says how it can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from fedsim.core import Layout
from fedsim.core.contracts import Parameters
from fedsim.models.starting import Init, Weights, drawn

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Ge(1)]
BufferMode = Literal["average", "local", "frozen"]


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

    tokens: ClassVar[bool] = False
    """Whether it takes token ids; other shipped models get whole numbers as float32."""
    brought: ClassVar[bool] = False
    """Whether the module is somebody's own: it may have buffers, parts that do not train and draws of its own, and how
    clients train is found by trying."""

    @property
    def buffer_mode(self) -> BufferMode:
        """What becomes of buffers; the shipped models have none."""
        return "average"

    @property
    def keeps_values(self) -> bool:
        """Whether the module's own values count, so that it is made under a keyed generator."""
        return self.brought

    @property
    def start_file(self) -> Weights | None:
        """The file of the starting values, if they come from one."""
        return None

    def with_files(self, folder: str) -> Model:
        """Return the model with the content of its files, relative to `folder`: hosts read none."""
        return self

    @property
    def smallest_side(self) -> int:
        """The smallest side of the images that it takes, where it convolves images."""
        return 1

    @abstractmethod
    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the module: (B, *input_shape) -> (B, num_outputs). Its values do not count: `start` gives them.

        Raises
        ------
        ScenarioError : it cannot take examples of this shape.
        """

    @abstractmethod
    def start(self, layout: Layout, seed: int, *numbers: int) -> Parameters | None:
        """Return the parameters of round 0 (d,), a function of (seed, numbers); None: those of the module itself.

        Gossip with independent starts gives the node as a number.
        """


@dataclass(frozen=True, kw_only=True)
class Network(Model):
    """A model whose starting weights are drawn, kept or loaded."""

    init: Init | Weights = "glorot"
    """Starting weights: glorot, kaiming or caffe_xavier with zero biases, torch (PyTorch's defaults), module (the
    module's own, keyed by the seed), or `{file: w.safetensors}`."""

    @property
    def keeps_values(self) -> bool:
        """Whether the module's own values count."""
        return self.brought or self.init == "module" or self.start_file is not None

    @property
    def start_file(self) -> Weights | None:
        """The file of the starting values, if they come from one."""
        return self.init if isinstance(self.init, Weights) else None

    def with_files(self, folder: str) -> Network:
        """Return the model with the content of its file."""
        return self if self.start_file is None else replace(self, init=self.start_file.read(folder))

    def start(self, layout: Layout, seed: int, *numbers: int) -> Parameters | None:
        """Return the parameters of round 0 (d,), drawn by the law `init` from (seed, numbers); None: the module's."""
        if isinstance(self.init, Weights) or self.init == "module":
            return None
        return drawn(self.init, layout, seed, *numbers)


@dataclass(frozen=True, kw_only=True)
class OwnModule(Network):
    """A module of somebody's own: any `nn.Module`, with buffers, frozen parts and dropout."""

    init: Init | Weights = "module"
    """Starting weights: module (its own, keyed by the seed), a law for all that trains (glorot, torch, kaiming,
    caffe_xavier), or `{file: w.safetensors}`."""
    buffers: BufferMode = "average"
    """Running statistics and other buffers: average (over who came, by the objective weights), local (each client keeps
    its own, as FedBN: Li et al. 2021), frozen (they stay as they started)."""
    brought: ClassVar[bool] = True

    @property
    def buffer_mode(self) -> BufferMode:
        """What becomes of buffers."""
        return self.buffers
