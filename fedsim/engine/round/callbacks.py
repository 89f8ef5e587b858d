"""What the caller of a run wants to be told after each evaluation: functions that look on, and may end the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedsim.core.errors import FedsimError, ScenarioError
from fedsim.core.foreign.failures import failed

Callback = Callable[..., Any]
"""f(round, metrics): True ends the run, whatever else it returns does not."""


@dataclass
class Callbacks:
    """Functions that are told of every evaluation once, in the order of rounds, when the round is recorded and saved.

    They are given numbers of their own, no part of a run's state. `reason` is why the run should end.
    """

    functions: Sequence[Callback] = ()
    reason: str | None = None
    waiting: deque[tuple[int, dict[str, float]]] = field(default_factory=deque)
    told: int = -1

    @classmethod
    def of(cls, given: Callback | Sequence[Callback]) -> Callbacks:
        """Return one function, or several, as callbacks. Raises ScenarioError for what cannot be called."""
        functions = [given] if callable(given) else list(given)
        for one in functions:
            if not callable(one):
                raise ScenarioError(f"callbacks: give functions f(round, metrics), got {one!r}")
        return cls(functions)

    def __bool__(self) -> bool:
        return bool(self.functions)

    def await_turn(self, round: int, metrics: Mapping[str, float]) -> None:
        """Keep an evaluation until `tell`. One that a run comes to again, after it went back, is not told twice."""
        if self.functions and round > self.told:
            self.told = round
            self.waiting.append((round, {name: float(value) for name, value in metrics.items()}))

    def tell(self) -> None:
        """Call the functions with what waits. Raises ForeignError with the file and line of one that raises."""
        while self.waiting:
            round, metrics = self.waiting.popleft()
            for one in self.functions:
                name = getattr(one, "__name__", type(one).__name__)
                try:
                    answer = one(round, dict(metrics))
                except FedsimError:
                    raise
                except Exception as error:
                    raise failed(f"round {round}, callback {name}", error) from error
                if isinstance(answer, bool | np.bool_) and answer and self.reason is None:
                    self.reason = f"the callback {name} said so after the evaluation of round {round}"
