"""Models: what is trained, one file each; `modules` makes torch modules of them, `starting` draws their parameters.

Importing this room loads no torch.
"""

from __future__ import annotations

from functools import cache

from fedsim.core.config.catalogue import discover
from fedsim.models.config import Model

__all__ = ["Model", "catalogue"]


@cache
def catalogue() -> dict[str, type[Model]]:
    """Return the models by the word that chooses them in `model: {name: ...}`.

    >>> sorted(catalogue())
    ['cnn', 'embedding-gru', 'lenet', 'linear', 'linear-regression', 'mlp', 'point', 'resnet18-gn', 'transformer-tiny']
    """
    return discover(__name__, __path__, "name")
