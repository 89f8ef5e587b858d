"""How clients send their vectors: `uplink: {codec: topk, k: 0.01, feedback: ef21}`. One codec a file.

Every module here that defines a `Codec` with a field `codec` is discovered by itself. What the server reads of a vector
is what enters sums and memories; how feedback is carried out stands in `fedsim.clients.uplink`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.core.uplink.codec import Codec
from fedsim.core.uplink.foreign import DOOR


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return every codec by the word that names it in `uplink: {codec: ...}`.

    >>> sorted(catalogue())
    ['float16', 'none', 'qsgd', 'randk', 'sign', 'topk']
    """
    return discover(__name__, __path__, "codec")


AnyCodec = Annotated[Codec, OneOf("codec", catalogue, DOOR)]

__all__ = ["DOOR", "AnyCodec", "Codec", "catalogue"]
