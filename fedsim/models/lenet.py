"""LeNet-5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.models.config import Network
from fedsim.models.images import image_shape

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class LeNet(Network):
    """LeNet-5 with ReLU and max pooling (LeCun et al. 1998), for images of at least 12x12.

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998, fig. 2:
    convolutions of 6 and 16 filters (5x5), dense layers of 120 and 84. The first convolution is padded by 2, so 28x28
    images give the paper's 400 features.
    """

    name: Literal["lenet"] = "lenet"
    convolves: ClassVar[bool] = True

    @property
    def smallest_side(self) -> int:
        """Two 5x5 convolutions, the first padded, and two poolings."""
        return 12

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the network: (B, channels, H, W) -> logits (B, C)."""
        from torch import nn

        from fedsim.models.modules.pooling import halve

        channels, height, width = image_shape(self.name, input_shape, self.smallest_side)
        features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)

        class LeNetModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
                self.conv2 = nn.Conv2d(6, 16, 5)
                self.dense1 = nn.Linear(features, 120)
                self.dense2 = nn.Linear(120, 84)
                self.output = nn.Linear(84, num_outputs)

            def forward(self, x: Tensor) -> Tensor:
                h = halve(self.conv1(x))
                h = halve(self.conv2(h))
                h = self.dense1(h.flatten(1)).relu()
                logits: Tensor = self.output(self.dense2(h).relu())
                return logits

        return LeNetModule()
