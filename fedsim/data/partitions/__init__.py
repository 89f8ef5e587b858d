"""How examples are dealt to clients: every example to exactly one client, every client at least one example.

One file a partition, named by its word in a scenario: a new one touches one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.data.partitions.config import Dealing, Partition
from fedsim.data.partitions.foreign import DOOR
from fedsim.data.partitions.iid import Iid

IID = Iid()
"""The default partition."""


@cache
def catalogue() -> dict[str, type[Partition]]:
    """Return the config class of each partition by its `kind`."""
    return discover(__name__, __path__, "kind")


def dealing() -> Mapping[str, type[Dealing]]:
    """Return those that deal pooled examples, by their `kind`."""
    return {kind: cls for kind, cls in catalogue().items() if issubclass(cls, Dealing)}


AnyDealing = Annotated[Dealing, OneOf("kind", dealing, DOOR)]
"""Ways to deal pooled examples to clients."""

AnyPartition = Annotated[Partition, OneOf("kind", catalogue, DOOR)]
"""The same, for data that may say whose each example is."""
