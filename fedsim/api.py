"""The Python face: run a scenario, get tidy frames."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fedsim.scenario import Scenario, from_dict, load

if TYPE_CHECKING:
    from fedsim.engine.run import Run


def read(source: str | os.PathLike[str] | Mapping[str, Any] | Scenario, overrides: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a file or a mapping; `strategy__beta=0.3` overrides `strategy.beta`."""
    options = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in overrides.items()]
    if isinstance(source, Scenario):
        assert not options, "a validated scenario takes no overrides"
        return source
    return from_dict(source, options) if isinstance(source, Mapping) else load(source, options)


def run(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **overrides: Any,
) -> Run:
    """Run a scenario and return what it came to.

    Parameters
    ----------
    source : a scenario file, or its content as a mapping.
    out, overwrite : as `--out` and `--overwrite` of `fedsim run`.
    overrides : values by dotted key, as `--set`; in a keyword write two underscores for a dot.

    Raises
    ------
    ScenarioError : with every problem of the scenario at once.
    FedsimError : another stop with a reason.

    Examples
    --------
    ::

        run = fedsim.run("scenarios/quickstart.yaml", rounds=20, strategy__server_lr=0.5)
        run.rounds.query("metric == 'test_accuracy'").plot(x="round", y="value")
    """
    from fedsim.engine.run import execute

    scenario = read(source, overrides)
    return execute(scenario, out=None if out is None else os.fspath(out), overwrite=overwrite)
