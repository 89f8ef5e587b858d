"""The dataset `fashion-mnist`, once it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedsim.data.fetched.images import FetchedImages


@dataclass(frozen=True, kw_only=True)
class FashionMnist(FetchedImages):
    """Fashion-MNIST: 28 x 28 articles of clothing in [0, 1]; `fedsim data get fashion-mnist` fetches it.

    60,000 to train, 10,000 to test.

    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
    2017.
    """

    dataset: Literal["fashion-mnist"] = "fashion-mnist"
