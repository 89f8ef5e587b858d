"""Server optimisers: transforms of the update, applied before it is added to the parameters. One a file.

Every module here that defines a `Transform` with a field `kind` is discovered by itself, and may stand under
`strategy.server_optimizer`. After it comes the step of the server, with x the parameters and T the transform:

    x <- x + rate (T(v) - server_weight_decay x),      rate = server_lr times what server_schedule says of the round
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.core.server.adam import Adam
from fedsim.core.server.foreign import DOOR
from fedsim.core.server.momentum import Momentum
from fedsim.core.server.transform import Moments, Server, Transform


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return every transform by the word that names it in `server_optimizer: {kind: ...}`."""
    return discover(__name__, __path__, "kind")


ServerOptimizer = Annotated[Transform, OneOf("kind", catalogue, DOOR)]

__all__ = ["Adam", "Moments", "Momentum", "Server", "ServerOptimizer", "Transform", "catalogue"]
