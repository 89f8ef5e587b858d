"""Places for what is found wrong only when data are read: the line of the key that such an error names."""

from __future__ import annotations

from dataclasses import fields

from fedsim.core import Problem, ScenarioError
from fedsim.scenario.nodes import nearest
from fedsim.scenario.scenario import Scenario


def placed(scenario: Scenario, error: ScenarioError) -> ScenarioError:
    """Return the error with FILE:LINE:COL before each of its lines that begins with a key of the scenario."""
    if error.problems or scenario.origin is None:
        return error
    sections = {f.name for f in fields(Scenario)}
    origin = scenario.origin
    problems = []
    for line in str(error).splitlines():
        key, colon, message = line.partition(": ")
        known = bool(colon) and key.split(".")[0] in sections and " " not in key
        place = nearest(origin.tree, key.split(".")).place if known else origin.tree.place
        problems.append(
            Problem(
                place.file or origin.file, place.line, place.column, key if known else "", message if known else line
            )
        )
    return ScenarioError(problems)
