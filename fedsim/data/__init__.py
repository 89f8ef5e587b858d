"""Datasets, and how their examples are dealt to clients. One file per dataset, named by its word in a scenario."""

from fedsim.core.tagged import Tagged
from fedsim.data.cifar import Cifar
from fedsim.data.digits import Digits
from fedsim.data.hub import Hub
from fedsim.data.idx import Idx
from fedsim.data.npz import Npz
from fedsim.data.partition import partitions
from fedsim.data.partitioned import Partitioned
from fedsim.data.quadratic import Quadratic, QuadraticData
from fedsim.data.synthetic import Synthetic, SyntheticData

__all__ = [
    "Cifar",
    "Digits",
    "Hub",
    "Idx",
    "Npz",
    "Partitioned",
    "Quadratic",
    "QuadraticData",
    "Synthetic",
    "SyntheticData",
    "catalogue",
    "partitions",
]


def catalogue() -> dict[str, type]:
    """Return the config class of each dataset by its word in `data: {dataset: ...}`."""
    return Tagged("dataset").members(Digits | Synthetic | Quadratic | Idx | Cifar | Npz | Hub)
