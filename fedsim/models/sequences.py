"""What models of tokens have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedsim.core import ScenarioError
from fedsim.models.config import Network, Width


@dataclass(frozen=True, kw_only=True)
class Sequence(Network):
    """A model of rows of token ids."""

    tokens: ClassVar[bool] = True
    vocabulary: Width | None = None
    """How many tokens there are; the default is the number of outputs, as for the next token of a text."""
    outputs: Literal["all", "last"] = "all"
    """Outputs for every token, as for the next token of a text, or for the last one only, as to label a row."""

    def length(self, input_shape: tuple[int, ...]) -> int:
        """Return T, or refuse examples that are no rows of tokens.

        Raises
        ------
        ScenarioError : with the shape that was given.
        """
        if len(input_shape) != 1:
            raise ScenarioError(
                f"model.name: {self.name} needs rows of token ids (T,), got examples of shape {input_shape}"
            )
        return input_shape[0]
