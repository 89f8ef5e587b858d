"""LeNet-5."""

from __future__ import annotations

from torch import Tensor, nn

from fedsim.models.images import image_shape
from fedsim.models.pooling import halve


class LeNetModule(nn.Module):
    """Convolutions of 6 and 16 filters (5x5), dense layers of 120 and 84: (B, channels, H, W) -> logits (B, C).

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998, fig. 2; with
    ReLU and max pooling as is usual today. The first convolution is padded by 2, so 28x28 images give the paper's 400
    features.
    """

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape("lenet", input_shape, 12)
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.dense1 = nn.Linear(features, 120)
        self.dense2 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        h = halve(self.conv1(x))
        h = halve(self.conv2(h))
        h = self.dense1(h.flatten(1)).relu()
        logits: Tensor = self.output(self.dense2(h).relu())
        return logits
