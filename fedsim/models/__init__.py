"""Models: what is trained. Configs here; `building` makes torch modules of them, `starting` their first parameters.

Importing this room loads no torch.
"""

from fedsim.models.configs import Cnn, LeNet, Linear, Mlp, Model, Point, ResNet18, smallest_side

__all__ = ["Cnn", "LeNet", "Linear", "Mlp", "Model", "Point", "ResNet18", "catalogue", "smallest_side"]


def catalogue() -> dict[str, type]:
    """Return the models by the word that chooses them in `model: {name: ...}`.

    >>> sorted(catalogue())
    ['cnn', 'lenet', 'linear', 'mlp', 'point', 'resnet18-gn']
    """
    return {
        "linear": Linear,
        "mlp": Mlp,
        "lenet": LeNet,
        "cnn": Cnn,
        "resnet18-gn": ResNet18,
        "point": Point,
    }
