"""What convolutional models ask of an example's shape."""

from __future__ import annotations

from fedsim.core import ScenarioError


def image_shape(model: str, input_shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """Return (channels, height, width), or refuse what is no image or smaller than `smallest` on a side.

    Raises
    ------
    ScenarioError : with the shape that was given and what is needed.
    """
    if len(input_shape) != 3:
        raise ScenarioError(
            f"model.name: {model} needs images (channels, height, width), got examples of shape {input_shape}; "
            "linear and mlp take any shape"
        )
    channels, height, width = input_shape
    if width in (1, 3, 4) and min(channels, height) > 4:
        raise ScenarioError(
            f"data: examples of shape {input_shape} look like images with channels last; "
            f"give ({width}, {channels}, {height})"
        )
    if min(height, width) < smallest:
        raise ScenarioError(
            f"model.name: {model} needs images of at least {smallest}x{smallest}, the data has {height}x{width}; "
            "a smaller model takes them: linear, mlp, or cnn with fewer channels listed"
        )
    return channels, height, width
