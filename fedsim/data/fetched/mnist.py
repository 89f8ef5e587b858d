"""The dataset `mnist`, once it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedsim.data.fetched.images import FetchedImages


@dataclass(frozen=True, kw_only=True)
class Mnist(FetchedImages):
    """MNIST: 28 x 28 handwritten digits in [0, 1], 60,000 and 10,000; `fedsim data get mnist` fetches it.

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
    """

    dataset: Literal["mnist"] = "mnist"
